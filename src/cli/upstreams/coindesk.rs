//! CoinDesk's data API: the latest tick of an index, whose prices walk at random from a seed.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

/// The path of the latest tick.
pub(super) const PATH: &str = "/index/cc/v1/latest/tick";
/// The number of the first tick.
const FIRST: u64 = 1_320_983_773;
/// Instruments that have moved are remembered up to this many.
const INSTRUMENTS: usize = 64;

/// All markets.
pub(super) struct Exchange {
    seed: u64,
    /// Between two ticks; zero: one with each question.
    tick: Duration,
    begun: Instant,
    asked: u64,
    walks: HashMap<String, Walk>,
}

/// An instrument's price and its day, in cents.
struct Walk {
    random: StdRng,
    ticks: u64,
    value: i64,
    before: i64,
    open: i64,
    high: i64,
    low: i64,
}

impl Walk {
    fn new(seed: u64, instrument: &str) -> Self {
        let begin = match instrument {
            "BTC-USD" => 7_383_887,
            "ETH-USD" => 250_000,
            _ => 10_000,
        };
        // Each instrument goes its own way.
        let own = instrument.bytes().fold(seed, |all, byte| all.wrapping_mul(31).wrapping_add(byte.into()));
        let random = StdRng::seed_from_u64(own);
        Self { random, ticks: 0, value: begin, before: begin, open: begin, high: begin, low: begin }
    }

    /// Walks up to this many ticks from the beginning.
    fn to(&mut self, ticks: u64) {
        while self.ticks < ticks {
            self.ticks += 1;
            let step = (self.value / 1_000).max(1);
            self.before = self.value;
            self.value = (self.value + self.random.random_range(-step..=step)).max(1);
            (self.high, self.low) = (self.high.max(self.value), self.low.min(self.value));
        }
    }

    fn tick(&self, market: &str, instrument: &str, at: u64) -> Value {
        let flag = match self.value.cmp(&self.before) {
            std::cmp::Ordering::Less => "DOWN",
            std::cmp::Ordering::Equal => "UNCHANGED",
            std::cmp::Ordering::Greater => "UP",
        };
        let change = self.value - self.open;
        let percent = units(change * 1_000 * 100 / self.open.max(1)) / 10.0;
        json!({
            "TYPE": "266",
            "MARKET": market,
            "INSTRUMENT": instrument,
            "CCSEQ": FIRST + self.ticks,
            "VALUE": units(self.value),
            "VALUE_FLAG": flag,
            "VALUE_LAST_UPDATE_TS": at,
            "VALUE_LAST_UPDATE_TS_NS": 0,
            "CURRENT_DAY_OPEN": units(self.open),
            "CURRENT_DAY_HIGH": units(self.high),
            "CURRENT_DAY_LOW": units(self.low),
            "CURRENT_DAY_CHANGE": units(change),
            "CURRENT_DAY_CHANGE_PERCENTAGE": percent,
            "MOVING_24_HOUR_CHANGE_PERCENTAGE": percent,
        })
    }
}

/// Cents as the service writes them.
#[expect(clippy::cast_precision_loss, reason = "prices are far below 2^52 cents")]
fn units(cents: i64) -> f64 {
    cents as f64 / 100.0
}

impl Exchange {
    pub(super) fn new(seed: u64, tick: Duration) -> Self {
        Self { seed, tick, begun: Instant::now(), asked: 0, walks: HashMap::new() }
    }

    /// What the service answers to a question about some instruments of a market.
    pub(super) fn latest(&mut self, market: &str, instruments: &[&str]) -> Value {
        self.asked += 1;
        let ticks = match self.tick.as_micros() {
            0 => self.asked,
            tick => u64::try_from(self.begun.elapsed().as_micros() / tick).unwrap_or(u64::MAX),
        };
        let since_tick = Duration::from_micros(
            u64::try_from(self.begun.elapsed().as_micros().checked_rem(self.tick.as_micros()).unwrap_or_default())
                .unwrap_or_default(),
        );
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().saturating_sub(since_tick).as_secs();
        let mut data = Map::new();
        for instrument in instruments {
            if !self.walks.contains_key(*instrument) && self.walks.len() >= INSTRUMENTS {
                continue;
            }
            let seed = self.seed;
            let walk = self.walks.entry((*instrument).to_owned()).or_insert_with(|| Walk::new(seed, instrument));
            walk.to(ticks);
            data.insert((*instrument).to_owned(), walk.tick(market, instrument, at));
        }
        json!({ "Data": data, "Err": {} })
    }
}

/// An error in the service's words.
pub(super) fn error(status: u16, message: &str) -> Value {
    json!({ "Data": {}, "Err": { "type": 2, "message": message, "http_status_code": status } })
}

/// The same in other places.
pub(super) fn other_shape() -> Value {
    json!({ "Data": [{ "INSTRUMENT": "BTC-USD", "PRICE": "73838.87" }], "Err": {} })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_walk_the_same_way_from_the_same_seed() {
        let walked = |seed| {
            let mut exchange = Exchange::new(seed, Duration::ZERO);
            let ticks: Vec<_> = (0..50).map(|_| exchange.latest("cadli", &["BTC-USD"])).collect();
            ticks.iter().map(|tick| tick["Data"]["BTC-USD"]["VALUE"].as_f64().expect("a price")).collect::<Vec<_>>()
        };
        assert_eq!(walked(1), walked(1));
        assert_ne!(walked(1), walked(2));
        assert!(walked(1).windows(2).filter(|pair| (pair[0] - pair[1]).abs() > f64::EPSILON).count() > 40, "they move");
        assert!(walked(1).iter().all(|price| (60_000.0..90_000.0).contains(price)), "{:?}", walked(1));
    }

    #[test]
    fn ticks_are_numbered_and_the_day_holds_its_prices() {
        let mut exchange = Exchange::new(7, Duration::ZERO);
        for number in 1..100 {
            let answer = exchange.latest("cadli", &["BTC-USD", "ETH-USD"]);
            let tick = &answer["Data"]["BTC-USD"];
            assert_eq!(tick["CCSEQ"], FIRST + number);
            let cents = |key: &str| tick[key].as_f64().expect("a number");
            assert!(
                cents("CURRENT_DAY_LOW") <= cents("VALUE") && cents("VALUE") <= cents("CURRENT_DAY_HIGH"),
                "{tick}"
            );
            assert_eq!(answer["Data"]["ETH-USD"]["INSTRUMENT"], "ETH-USD");
        }
    }
}

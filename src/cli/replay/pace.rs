//! The schedule: when, after the start of the replay, each moment of the match is due.
//!
//! The periods follow each other directly: a period lasts until its last event, and the break after it takes no time.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::statsbomb::Event;

/// Slowest and fastest pace that can be asked for, besides 0.
const SPEEDS: std::ops::RangeInclusive<f64> = 0.01..=100_000.0;

/// How many times faster than the match the replay runs; 0 means that it does not wait at all.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speed(f64);

/// Why a `--speed` was not understood.
#[derive(Debug, thiserror::Error)]
#[error("the speed must be 0 (as fast as possible) or a number from {} to {}", SPEEDS.start(), SPEEDS.end())]
pub(crate) struct SpeedError;

impl FromStr for Speed {
    type Err = SpeedError;

    fn from_str(text: &str) -> Result<Self, SpeedError> {
        let factor = text.trim().parse::<f64>().map_err(|_| SpeedError)?;
        if factor == 0.0 || SPEEDS.contains(&factor) { Ok(Self(factor)) } else { Err(SpeedError) }
    }
}

impl Speed {
    /// The time on the wall that `match_time` takes.
    pub(crate) fn wall(self, match_time: Duration) -> Duration {
        if self.0 == 0.0 { Duration::ZERO } else { match_time.div_f64(self.0) }
    }
}

/// Where each period starts on one time line without breaks.
#[derive(Debug)]
pub(crate) struct TimeLine {
    starts: BTreeMap<u8, Duration>,
}

impl TimeLine {
    /// Measures the periods of a match from all its events, in whatever order they come.
    pub(crate) fn new(events: &[Event]) -> Self {
        let mut lengths: BTreeMap<u8, Duration> = BTreeMap::new();
        for event in events {
            let length = lengths.entry(event.period).or_default();
            *length = (*length).max(event.timestamp);
        }
        let mut start = Duration::ZERO;
        let starts = lengths
            .into_iter()
            .map(|(period, length)| {
                let begun = start;
                start += length;
                (period, begun)
            })
            .collect();
        Self { starts }
    }

    /// Playing time from the first whistle to `event`.
    pub(crate) fn at(&self, event: &Event) -> Duration {
        self.starts.get(&event.period).copied().unwrap_or_default() + event.timestamp
    }
}

/// The match clock as a reader knows it: `H1 45:12` is the first half's added time, `H2 45:12` the second half's start.
pub(crate) fn clock(event: &Event) -> String {
    let period = match event.period {
        1 => "H1",
        2 => "H2",
        3 => "E1",
        4 => "E2",
        _ => "SO",
    };
    format!("{period} {:02}:{:02}", event.minute, event.second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(period: u8, seconds: u64) -> Event {
        Event { period, timestamp: Duration::from_secs(seconds), ..Event::default() }
    }

    #[test]
    fn the_second_half_follows_the_first_without_a_break() {
        let events = [at(1, 0), at(1, 2880), at(2, 0), at(2, 60)];
        let line = TimeLine::new(&events);
        let due: Vec<u64> = events.iter().map(|event| line.at(event).as_secs()).collect();
        assert_eq!(due, [0, 2880, 2880, 2940]);
    }

    #[test]
    fn an_event_out_of_order_does_not_shorten_its_period() {
        let line = TimeLine::new(&[at(1, 2880), at(1, 1), at(2, 10)]);
        assert_eq!(line.at(&at(2, 10)).as_secs(), 2890);
    }

    #[test]
    fn at_speed_sixty_a_minute_of_the_match_takes_a_second() {
        let speed: Speed = "60".parse().expect("a speed");
        assert_eq!(speed.wall(Duration::from_secs(5640)), Duration::from_secs(94));
    }

    #[test]
    fn at_speed_zero_everything_is_due_at_once() {
        let speed: Speed = "0".parse().expect("a speed");
        assert_eq!(speed.wall(Duration::from_secs(5640)), Duration::ZERO);
    }

    #[test]
    fn a_speed_that_makes_no_sense_is_refused() {
        for text in ["-1", "nan", "inf", "fast", "", "1e-9", "1e9"] {
            assert!(text.parse::<Speed>().is_err(), "{text}");
        }
        let said = "-1".parse::<Speed>().expect_err("negative").to_string();
        assert_eq!(said, "the speed must be 0 (as fast as possible) or a number from 0.01 to 100000");
    }

    #[test]
    fn the_clock_tells_the_halves_apart() {
        let mut event = Event { period: 1, minute: 45, second: 7, ..Event::default() };
        assert_eq!(clock(&event), "H1 45:07");
        event.period = 2;
        assert_eq!(clock(&event), "H2 45:07");
    }
}

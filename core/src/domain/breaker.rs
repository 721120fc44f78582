//! When a source may be asked: a circuit breaker with back-off, one per source, without a clock of its own.
//!
//! ```text
//!   Closed ── `failures` in a row ──► Open ── its time is over ──► HalfOpen: one probe
//!     ▲                                ▲                             │        │
//!     │                                └────── the probe failed ─────┘        │
//!     └──────────────────────────────────────── the probe succeeded ──────────┘
//! ```

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Micros;

/// How patient a breaker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Failures in a row that open it; at least 1.
    pub failures: u32,
    /// How long it stays open at first; doubles with each failed probe.
    pub base: Duration,
    /// The longest it stays open, unless the source wishes otherwise.
    pub max: Duration,
    /// The longest wish of a source that is heard.
    pub max_wish: Duration,
    /// After how long a probe that nobody reported on counts as lost, and another may start.
    pub probe: Duration,
}

/// Whether a source may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "state")]
enum State {
    Closed { failures: u32, not_before: Option<Micros> },
    Open { failures: u32, until: Micros },
    HalfOpen { failures: u32, lost: Micros },
}

/// The breaker of one source. It can be stored, so that the processes of a fleet share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Breaker(State);

impl Default for Breaker {
    fn default() -> Self {
        Self(State::Closed { failures: 0, not_before: None })
    }
}

impl Breaker {
    /// Asks to ask the source now.
    ///
    /// # Errors
    /// The instant before which it must be left alone. A permit of an open breaker is a probe: report on it.
    pub fn ask(&mut self, now: Micros, policy: &BreakerPolicy) -> Result<(), Micros> {
        let (failures, wait) = match self.0 {
            State::Closed { not_before, .. } => return not_before.filter(|at| *at > now).map_or(Ok(()), Err),
            State::Open { failures, until } => (failures, until),
            State::HalfOpen { failures, lost } => (failures, lost),
        };
        if now < wait {
            return Err(wait);
        }
        self.0 = State::HalfOpen { failures, lost: now.plus(policy.probe) };
        Ok(())
    }

    /// The source gave what it should: everything before is forgiven.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// The source failed, and may have wished to be left alone for a time: its wish wins over our back-off.
    /// `jitter` in 0..=1 moves the back-off between half and the whole of its time.
    pub fn failed(&mut self, now: Micros, wish: Option<Duration>, jitter: f64, policy: &BreakerPolicy) {
        let failures = self.failures().saturating_add(1);
        let wish = wish.map(|wish| wish.min(policy.max_wish));
        let until = |wait| now.plus(wait);
        self.0 = if failures < policy.failures {
            State::Closed { failures, not_before: wish.map(until) }
        } else {
            let doublings = failures.saturating_sub(policy.failures.max(1)).min(31);
            let wait = policy.base.saturating_mul(1 << doublings).min(policy.max);
            let wait = wait.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0);
            State::Open { failures, until: until(wish.unwrap_or(wait)) }
        };
    }

    /// Failures in a row.
    #[must_use]
    pub const fn failures(&self) -> u32 {
        match self.0 {
            State::Closed { failures, .. } | State::Open { failures, .. } | State::HalfOpen { failures, .. } => {
                failures
            }
        }
    }

    /// Whether the source is only probed now and then.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        !matches!(self.0, State::Closed { .. })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const POLICY: BreakerPolicy = BreakerPolicy {
        failures: 3,
        base: Duration::from_secs(2),
        max: Duration::from_secs(60),
        max_wish: Duration::from_secs(600),
        probe: Duration::from_secs(10),
    };

    const fn at(seconds: i64) -> Micros {
        Micros(seconds * 1_000_000)
    }

    fn failed_times(times: u32, now: Micros) -> Breaker {
        let mut breaker = Breaker::default();
        for _ in 0..times {
            breaker.failed(now, None, 1.0, &POLICY);
        }
        breaker
    }

    #[test]
    fn few_failures_change_nothing() {
        let mut breaker = failed_times(2, at(0));
        assert!(!breaker.is_open());
        assert_eq!((breaker.ask(at(0), &POLICY), breaker.failures()), (Ok(()), 2));
    }

    #[test]
    fn after_some_failures_one_probe_is_let_through_and_closes_or_opens_it() {
        let mut breaker = failed_times(3, at(0));
        assert!(breaker.is_open());
        assert_eq!(breaker.ask(at(1), &POLICY), Err(at(2)));
        assert_eq!(breaker.ask(at(2), &POLICY), Ok(()), "the probe");
        assert_eq!(breaker.ask(at(2), &POLICY), Err(at(12)), "only one");
        let mut healed = breaker.clone();
        healed.succeeded();
        assert_eq!(healed, Breaker::default());
        breaker.failed(at(3), None, 1.0, &POLICY);
        assert_eq!(breaker.ask(at(3), &POLICY), Err(at(7)), "twice as long");
    }

    #[test]
    fn a_probe_that_nobody_reports_on_is_not_waited_for_for_ever() {
        let mut breaker = failed_times(3, at(0));
        assert_eq!(breaker.ask(at(2), &POLICY), Ok(()));
        assert_eq!(breaker.ask(at(12), &POLICY), Ok(()));
    }

    #[test]
    fn the_sources_wish_wins() {
        let mut breaker = Breaker::default();
        breaker.failed(at(0), Some(Duration::from_secs(30)), 0.5, &POLICY);
        assert!(!breaker.is_open());
        assert_eq!((breaker.ask(at(29), &POLICY), breaker.ask(at(30), &POLICY)), (Err(at(30)), Ok(())));
        let mut breaker = failed_times(9, at(0));
        breaker.failed(at(0), Some(Duration::from_secs(1)), 0.5, &POLICY);
        assert_eq!((breaker.ask(at(0), &POLICY), breaker.ask(at(1), &POLICY)), (Err(at(1)), Ok(())), "shorter");
        let mut breaker = Breaker::default();
        breaker.failed(at(0), Some(Duration::MAX), 0.5, &POLICY);
        assert_eq!(breaker.ask(at(600), &POLICY), Ok(()), "within reason");
    }

    #[test]
    fn jitter_moves_within_the_upper_half() {
        for (jitter, wait) in [(0.0, 1_000_000), (0.5, 1_500_000), (1.0, 2_000_000), (7.0, 2_000_000)] {
            let mut breaker = failed_times(2, at(0));
            breaker.failed(at(0), None, jitter, &POLICY);
            assert_eq!(breaker.ask(at(0), &POLICY), Err(Micros(wait)));
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Wait(u32),
        Ask,
        Succeed,
        Fail(Option<u32>),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0_u32..100_000).prop_map(Step::Wait),
            Just(Step::Ask),
            Just(Step::Succeed),
            prop::option::of(0_u32..2_000).prop_map(Step::Fail),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn whatever_happens_the_wait_is_bounded_and_the_breaker_heals(steps in steps(), jitter in 0.0..1.0_f64) {
            let (mut breaker, mut now, mut in_row) = (Breaker::default(), at(0), 0_u32);
            for step in steps {
                match step {
                    Step::Wait(ms) => now = now.plus(Duration::from_millis(ms.into())),
                    Step::Ask => {
                        if let Err(wait) = breaker.ask(now, &POLICY) {
                            prop_assert!(wait > now && wait <= now.plus(POLICY.max_wish));
                            prop_assert!(breaker.clone().ask(wait, &POLICY).is_ok());
                        }
                    }
                    Step::Succeed => { breaker.succeeded(); in_row = 0; }
                    Step::Fail(wish) => {
                        breaker.failed(now, wish.map(|s| Duration::from_secs(s.into())), jitter, &POLICY);
                        in_row += 1;
                    }
                }
                prop_assert_eq!(breaker.failures(), in_row);
                prop_assert_eq!(breaker.is_open(), in_row >= POLICY.failures);
                let stored = serde_json::to_string(&breaker).expect("JSON");
                prop_assert_eq!(&serde_json::from_str::<Breaker>(&stored).expect("a breaker"), &breaker);
            }
        }
    }
}

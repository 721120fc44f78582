//! When to try a request again: the pure decisions, without clock or network.

use std::time::Duration;

/// How long failures in a row (network errors, broken gateways) are retried before a run gives up.
pub(crate) const FAULT_PATIENCE: Duration = Duration::from_secs(60);
/// How long a request obeys the server's "later" before a run gives up.
pub(crate) const BUSY_PATIENCE: Duration = Duration::from_secs(600);
/// Wait asked for when a 429 or 503 names none.
const BUSY_DEFAULT: Duration = Duration::from_secs(1);
/// Shortest wait after a "later", so that `Retry-After: 0` cannot turn into a storm.
const BUSY_LEAST: Duration = Duration::from_millis(100);
/// First and longest wait of the exponential back-off.
const BACK_OFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(8));

/// What an answer's status means for the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// 2xx.
    Done,
    /// 429 or 503: the server is well but wants the request later.
    Later(Duration),
    /// 500, 502, 504 and the like: may pass by itself.
    Fault,
    /// Trying again would not help.
    Refused,
}

/// Judges a status and the text of `Retry-After`, which is read as whole seconds.
pub(crate) fn judge(status: u16, retry_after: Option<&str>) -> Verdict {
    match status {
        200..=299 => Verdict::Done,
        429 | 503 => {
            let asked = retry_after.and_then(|text| text.trim().parse().ok()).map(Duration::from_secs);
            Verdict::Later(asked.unwrap_or(BUSY_DEFAULT).max(BUSY_LEAST))
        }
        500..=599 => Verdict::Fault,
        _ => Verdict::Refused,
    }
}

/// The wait before retry number `retry` (from 0): doubling, capped, and shortened by up to half so that many clients do
/// not come back together. `chance` lies in 0..1.
pub(crate) fn back_off(retry: u32, chance: f64) -> Duration {
    let (first, longest) = BACK_OFF;
    let full = first.saturating_mul(2_u32.saturating_pow(retry)).min(longest);
    full.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_wait_is_obeyed() {
        assert_eq!(judge(429, Some("7")), Verdict::Later(Duration::from_secs(7)));
        assert_eq!(judge(503, Some(" 2 ")), Verdict::Later(Duration::from_secs(2)));
    }

    #[test]
    fn a_wait_not_named_or_not_understood_is_a_second() {
        assert_eq!(judge(429, None), Verdict::Later(Duration::from_secs(1)));
        assert_eq!(judge(503, Some("Wed, 21 Oct 2015 07:28:00 GMT")), Verdict::Later(Duration::from_secs(1)));
    }

    #[test]
    fn a_wait_of_zero_still_leaves_the_server_some_air() {
        assert_eq!(judge(429, Some("0")), Verdict::Later(Duration::from_millis(100)));
    }

    #[test]
    fn other_server_errors_may_pass_and_client_errors_do_not() {
        assert_eq!(judge(202, None), Verdict::Done);
        assert_eq!(judge(500, None), Verdict::Fault);
        assert_eq!(judge(502, None), Verdict::Fault);
        assert_eq!(judge(301, None), Verdict::Refused);
        assert_eq!(judge(422, Some("1")), Verdict::Refused);
    }

    #[test]
    fn the_back_off_doubles_up_to_its_cap() {
        let waits: Vec<u128> = (0..8).map(|retry| back_off(retry, 0.0).as_millis()).collect();
        assert_eq!(waits, [250, 500, 1000, 2000, 4000, 8000, 8000, 8000]);
        assert_eq!(back_off(u32::MAX, 0.0), Duration::from_secs(8));
    }

    #[test]
    fn chance_takes_off_up_to_half() {
        assert_eq!(back_off(2, 1.0), Duration::from_millis(500));
        assert_eq!(back_off(2, 0.5), Duration::from_millis(750));
    }
}

//! Dead letters as they are kept: JSON in a hash by id, and the ids in a sorted set by time of death.

use redis::RedisResult;
use serde::{Deserialize, Serialize};

use super::json;
use super::keys::Keys;
use super::scripts::Scripts;
use crate::domain::{JobId, Micros};
use crate::ports::{DeadLetter, JobKind};
use crate::redis::RedisHandle;

/// Letters in one script: more would hold up everybody else on this Redis.
pub(super) const CHUNK: usize = 64;

/// A dead letter as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Buried {
    job: String,
    #[serde(flatten)]
    payload: Bytes,
    reason: String,
    attempts: u32,
    pub(super) died_at: Micros,
}

/// JSON holds text; what is none is written in hexadecimal.
#[derive(Serialize, Deserialize)]
enum Bytes {
    #[serde(rename = "payload")]
    Text(String),
    #[serde(rename = "payload_hex")]
    Hex(String),
}

impl Buried {
    pub(super) fn new(letter: &DeadLetter, died_at: Micros) -> Self {
        let payload = match String::from_utf8(letter.payload.clone()) {
            Ok(text) => Bytes::Text(text),
            Err(error) => Bytes::Hex(crate::domain::hex(error.as_bytes())),
        };
        let job = letter.job.to_string();
        Self { job, payload, reason: letter.reason.clone(), attempts: letter.attempts, died_at }
    }

    /// The letter under this id in the queue of this kind, and when it was parked.
    pub(super) fn letter(self, kind: JobKind, id: String) -> (DeadLetter, Micros) {
        let payload = match self.payload {
            Bytes::Text(text) => text.into_bytes(),
            Bytes::Hex(digits) => unhex(&digits).unwrap_or_else(|| digits.into_bytes()),
        };
        let job = JobId::new(self.job);
        (DeadLetter { kind, id, job, payload, reason: self.reason, attempts: self.attempts }, self.died_at)
    }
}

/// Parks letters of one kind; one that is parked already stays as it is.
pub(super) async fn bury(
    redis: &RedisHandle,
    keys: &Keys,
    scripts: &Scripts,
    letters: &[&DeadLetter],
    now: Micros,
) -> RedisResult<()> {
    for chunk in letters.chunks(CHUNK) {
        let mut call = scripts.bury.key(&keys.dead);
        call.key(&keys.died).arg(now.0);
        for letter in chunk {
            call.arg(&letter.id).arg(json(&Buried::new(letter, now)));
        }
        redis.call(|mut redis| async move { call.invoke_async::<i64>(&mut redis).await }).await?;
    }
    Ok(())
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_come_back_as_they_were() {
        for payload in [&b"{\"id\":\"u\"}"[..], b"", b"\xde\xad", "李".as_bytes(), b"\0"] {
            let letter = DeadLetter {
                kind: JobKind::Scores,
                id: "u".to_owned(),
                job: JobId::new("01JOB"),
                payload: payload.to_vec(),
                reason: "why".to_owned(),
                attempts: 3,
            };
            let kept: Buried = serde_json::from_str(&json(&Buried::new(&letter, Micros(7)))).expect("readable");
            assert_eq!(kept.letter(JobKind::Scores, "u".to_owned()), (letter, Micros(7)));
        }
    }
}

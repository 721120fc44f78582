//! Jobs of which one at a time is enough: claim, slot and job change in one script.

use async_trait::async_trait;
use ulid::Ulid;

use super::RedisQueue;
use super::backend::GROUP;
use crate::domain::{JobId, Micros};
use crate::ports::{Enqueued, JobKind, NewJob, PortError, SLOT_AHEAD_US, UniqueJobs};
use crate::redis::port_error;

#[async_trait]
impl UniqueJobs for RedisQueue {
    async fn enqueue(&self, job: NewJob) -> Result<Enqueued, PortError> {
        let keys = self.keys(job.kind);
        let mut call = self.scripts.enqueue.key(&keys.stream);
        call.key(&keys.delayed).key(keys.claim(&job.claim)).arg(&keys.base).arg(GROUP);
        call.arg(Ulid::generate().to_string()).arg(job.payload).arg(self.lasts(job.claim_until));
        call.arg(job.slot.map_or_else(String::new, |slot| slot.0.to_string())).arg(SLOT_AHEAD_US);
        call.arg(u8::from(job.replaces));
        let (answer, id): (String, String) = self.invoke(call).await.map_err(|e| port_error("queue a job", e))?;
        Ok(match answer.as_str() {
            "queued" => Enqueued::Queued(JobId::new(id)),
            "claimed" => Enqueued::Claimed(JobId::new(id)),
            _ => Enqueued::SlotTaken,
        })
    }

    async fn hold(&self, kind: JobKind, claim: &str, job: &JobId, until: Micros) -> Result<bool, PortError> {
        let keys = self.keys(kind);
        let mut call = self.scripts.hold.key(keys.claim(claim));
        call.arg(&keys.base).arg(job.as_str()).arg(self.lasts(until));
        self.invoke(call).await.map_err(|e| port_error("hold a claim", e))
    }

    async fn finished(&self, kind: JobKind, claim: &str, job: &JobId) -> Result<(), PortError> {
        let mut call = self.scripts.finished.key(self.keys(kind).claim(claim));
        call.arg(job.as_str());
        self.invoke::<i64>(call).await.map(|_| ()).map_err(|e| port_error("give a claim back", e))
    }
}

impl RedisQueue {
    /// How long a claim lasts from now: Redis' own clock says when it ends, so that those of processes may differ.
    fn lasts(&self, until: Micros) -> i64 {
        until.0.saturating_sub(self.clock.now().0)
    }
}

//! The keys of one queue, all in one slot: scripts that touch several of them work on a cluster, too.

/// Key names of a queue.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// What every key begins with; its braces make the slot.
    pub(super) base: String,
    /// Stream of job ids, read by one consumer group.
    pub(super) stream: String,
    /// Sorted set of job ids by the millisecond their next try is due.
    pub(super) delayed: String,
    /// Hash of dead letters as JSON, by id.
    pub(super) dead: String,
    /// Sorted set of the ids of dead letters by the microsecond they died.
    pub(super) died: String,
}

impl Keys {
    /// The keys of the queue of this name.
    pub(super) fn new(prefix: &str, queue: &str) -> Self {
        let base = format!("{{{prefix}q:{queue}}}");
        Self {
            stream: format!("{base}:stream"),
            delayed: format!("{base}:delayed"),
            dead: format!("{base}:dead"),
            died: format!("{base}:died"),
            base,
        }
    }

    /// Hash of a job: payload, attempts, crashes, due, error.
    pub(super) fn job(&self, id: &str) -> String {
        format!("{}:job:{id}", self.base)
    }

    /// Hash of what no two unfinished jobs may claim at once: the job that holds it, until when, the newest slot.
    pub(super) fn claim(&self, claim: &str) -> String {
        format!("{}:claim:{claim}", self.base)
    }

    /// Index entry of a keyed update: fingerprint in hexadecimal, then the job's id.
    pub(super) fn key(&self, id: &str) -> String {
        format!("{}:key:{id}", self.base)
    }
}

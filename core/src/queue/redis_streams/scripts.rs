//! The Lua scripts of a queue: steps that belong together are one atomic step.

use redis::Script;

/// Loaded once; Redis keeps them by their hash.
pub(super) struct Scripts {
    pub(super) accept: Script,
    pub(super) fetch: Script,
    pub(super) settle: Script,
    pub(super) split: Script,
    pub(super) bury: Script,
    pub(super) page: Script,
    pub(super) retry: Script,
    pub(super) discard: Script,
    pub(super) enqueue: Script,
    pub(super) hold: Script,
    pub(super) finished: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            accept: Script::new(include_str!("accept.lua")),
            fetch: Script::new(include_str!("fetch.lua")),
            settle: Script::new(include_str!("settle.lua")),
            split: Script::new(include_str!("split.lua")),
            bury: Script::new(include_str!("bury.lua")),
            page: Script::new(include_str!("page.lua")),
            retry: Script::new(include_str!("retry.lua")),
            discard: Script::new(include_str!("discard.lua")),
            enqueue: Script::new(include_str!("enqueue.lua")),
            hold: Script::new(include_str!("hold.lua")),
            finished: Script::new(include_str!("finished.lua")),
        }
    }
}

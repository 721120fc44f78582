//! The Lua scripts of a queue: steps that belong together are one atomic step.

use redis::Script;

/// Loaded once; Redis keeps them by their hash.
pub(super) struct Scripts {
    pub(super) accept: Script,
    pub(super) fetch: Script,
    pub(super) settle: Script,
    pub(super) split: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            accept: Script::new(include_str!("accept.lua")),
            fetch: Script::new(include_str!("fetch.lua")),
            settle: Script::new(include_str!("settle.lua")),
            split: Script::new(include_str!("split.lua")),
        }
    }
}

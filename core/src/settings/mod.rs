//! Every knob: a flag, an environment variable and a line of `scorewire.toml`, in this order of precedence.

mod feeds;
mod file;
mod origin;
mod table;
pub mod units;
mod variables;

pub use feeds::Feed;
pub use file::{SettingsError, SettingsFile};
pub use origin::OriginPattern;
pub use table::{Documented, Overrides, Settings};

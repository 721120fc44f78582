//! Every knob: a flag, an environment variable and a line of `scorewire.toml`, in this order of precedence.

mod file;
mod table;
pub mod units;

pub use file::{SettingsError, SettingsFile};
pub use table::{Documented, Overrides, Settings};

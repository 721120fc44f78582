//! `scorewire.toml`: the settings' keys at the top, tables of other rooms beside them.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::table::Settings;

/// Why the settings can not be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// The file can not be read.
    #[error("could not read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no TOML.
    #[error("{path} is not valid TOML: {source}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: Box<toml::de::Error>,
    },
    /// A key nobody reads.
    #[error("{path} has the unknown key `{key}`: see scorewire.example.toml for all keys")]
    UnknownKey {
        /// The file.
        path: PathBuf,
        /// The key.
        key: String,
    },
    /// Tables of feeds that can not be read.
    #[error("{path}: {reason}")]
    Feeds {
        /// The file.
        path: PathBuf,
        /// Which feed, and what is wrong.
        reason: String,
    },
    /// A value of the wrong kind.
    #[error("the setting `{key}` has a value that can not be used: {reason}")]
    Value {
        /// The key.
        key: String,
        /// What is wrong, and what to write instead.
        reason: String,
    },
}

/// The parsed file; empty when there is none.
#[derive(Clone, Debug, Default)]
pub struct SettingsFile {
    table: toml::Table,
    path: Option<PathBuf>,
}

impl SettingsFile {
    /// Tables that belong to other rooms.
    const TABLES: [&'static str; 2] = ["feeds", "points"];

    /// Reads a file.
    ///
    /// # Errors
    /// [`SettingsError`] for an unreadable file, bad TOML or an unknown key.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| SettingsError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Reads the file that was named, else the one in the working directory if there is one.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn named_or_default(named: Option<&Path>) -> Result<Self, SettingsError> {
        let default = Path::new("scorewire.toml");
        match named {
            Some(path) => Self::read(path),
            None if default.exists() => Self::read(default),
            None => Ok(Self::default()),
        }
    }

    /// Parses a file's text; `path` is for messages.
    ///
    /// # Errors
    /// [`SettingsError`] for bad TOML or an unknown key.
    pub fn parse(text: &str, path: &Path) -> Result<Self, SettingsError> {
        let table: toml::Table =
            text.parse().map_err(|e| SettingsError::Syntax { path: path.to_owned(), source: Box::new(e) })?;
        let known =
            |key: &str| Self::TABLES.contains(&key) || Settings::DOCUMENTED.iter().any(|setting| setting.name == key);
        match table.keys().find(|key| !known(key)) {
            Some(key) => Err(SettingsError::UnknownKey { path: path.to_owned(), key: key.clone() }),
            None => Ok(Self { table, path: Some(path.to_owned()) }),
        }
    }

    /// A table that belongs to another room, if the file has it.
    #[must_use]
    pub fn table(&self, name: &str) -> Option<&toml::Value> {
        self.table.get(name)
    }

    /// Where it was read from, if there is one.
    pub(super) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    pub(super) fn value<T>(&self, key: &str, default: &str) -> Result<T, SettingsError>
    where
        T: FromStr,
        T::Err: fmt::Display,
    {
        let wrong = |reason: String| SettingsError::Value { key: key.to_owned(), reason };
        let text = match self.table.get(key) {
            None => default.to_owned(),
            Some(toml::Value::String(text)) => text.clone(),
            Some(toml::Value::Integer(number)) => number.to_string(),
            Some(toml::Value::Array(items)) => {
                let items: Option<Vec<_>> = items.iter().map(toml::Value::as_str).collect();
                items.ok_or_else(|| wrong("write a list of texts".to_owned()))?.join(",")
            }
            Some(_) => return Err(wrong("write a text, a whole number or a list of texts".to_owned())),
        };
        text.parse().map_err(|e: T::Err| wrong(e.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Overrides;

    fn parse(text: &str) -> Result<Settings, SettingsError> {
        Settings::resolve(Overrides::default(), &SettingsFile::parse(text, Path::new("scorewire.toml"))?)
    }

    #[test]
    fn every_default_can_be_used() {
        let settings = parse("").expect("defaults resolve");
        assert_eq!(settings.listen.port(), 3000);
        assert_eq!(settings.top_rows, 10);
    }

    #[test]
    fn the_file_beats_defaults_and_flags_beat_the_file() {
        let file =
            SettingsFile::parse("top_rows = 3\ncors_origins = [\"https://a.example\"]", Path::new("x")).expect("valid");
        let settings = Settings::resolve(Overrides::default(), &file).expect("valid");
        assert_eq!(settings.top_rows, 3);
        let origins: Vec<_> = settings.cors_origins.0.iter().map(ToString::to_string).collect();
        assert_eq!(origins, ["https://a.example"]);
        let flags = Overrides { top_rows: Some(5), ..Overrides::default() };
        assert_eq!(Settings::resolve(flags, &file).expect("valid").top_rows, 5);
    }

    #[test]
    fn mistakes_are_named() {
        let message = |text| parse(text).map(|_| ()).unwrap_err().to_string();
        assert!(message("listn = 1").contains("unknown key `listn`"));
        assert!(message("heartbeat = \"often\"").contains("`heartbeat`"));
        let said = message("cors_origins = [\"https://a.example/path\"]");
        assert!(said.contains("`cors_origins`") && said.contains("has a path"), "{said}");
        assert!(message("heartbeat = 1.5").contains("`heartbeat`"));
        assert!(message("= 3").contains("not valid TOML"));
    }
}

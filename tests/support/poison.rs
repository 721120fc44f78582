//! A ledger changed behind its server's back: one that refuses a user's updates stands in for a row that violates what
//! the code did not foresee.

use std::path::{Path, PathBuf};

use scorewire_core::settings::Settings;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// The ledger behind a server's back.
pub(crate) enum Books {
    File(PathBuf),
    Database(String),
}

impl Books {
    /// The ledger that a server with these settings uses.
    pub(crate) fn of(settings: &Settings) -> Self {
        match &settings.database_url.0 {
            Some(url) => Self::Database(url.0.clone()),
            None => Self::in_dir(&settings.data_dir),
        }
    }

    /// The ledger in a data directory.
    pub(crate) fn in_dir(dir: &Path) -> Self {
        Self::File(dir.join("ledger.db"))
    }

    /// Refuses every update of user 13 from now on.
    pub(crate) async fn refuse_user_13(&self) {
        let trigger = "CREATE TRIGGER poison BEFORE INSERT ON updates WHEN NEW.user_id = 13
                       BEGIN SELECT RAISE(ABORT, 'poisoned'); END";
        self.change(trigger, "ALTER TABLE updates ADD CONSTRAINT poisoned CHECK (user_id <> 13)").await;
    }

    /// Takes them again.
    pub(crate) async fn take_user_13(&self) {
        self.change("DROP TRIGGER poison", "ALTER TABLE updates DROP CONSTRAINT poisoned").await;
    }

    /// Sets a user's score, as nothing but a hand in the database would.
    pub(crate) async fn tamper_with_user(&self, id: i64, score: i64) {
        let set = format!("UPDATE standings SET score = {score} WHERE user_id = {id}");
        self.change(&set, &set).await;
    }

    async fn change(&self, in_file: &str, in_database: &str) {
        match self {
            Self::File(path) => {
                let options = SqliteConnectOptions::new().filename(path);
                let ledger = SqlitePool::connect_with(options).await.expect("the ledger's file");
                ledger.execute(AssertSqlSafe(in_file.to_owned())).await.expect("changed");
                ledger.close().await;
            }
            Self::Database(url) => {
                let mut ledger = PgConnection::connect(url).await.expect("the ledger's database");
                ledger.execute(AssertSqlSafe(in_database.to_owned())).await.expect("changed");
                ledger.close().await.expect("closed");
            }
        }
    }
}

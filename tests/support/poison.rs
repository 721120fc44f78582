//! A ledger that refuses one user's updates: stands in for a row that violates what the code did not foresee.

use std::path::Path;

use sqlx::Executor;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool};

/// Has the ledger of a data directory refuse every update of user 13.
pub(crate) async fn refuse_user_13(data_dir: &Path) {
    change(
        data_dir,
        "CREATE TRIGGER poison BEFORE INSERT ON updates WHEN NEW.user_id = 13
         BEGIN SELECT RAISE(ABORT, 'poisoned'); END",
    )
    .await;
}

/// Has it take them again.
pub(crate) async fn take_user_13(data_dir: &Path) {
    change(data_dir, "DROP TRIGGER poison").await;
}

async fn change(data_dir: &Path, statement: &'static str) {
    let options = SqliteConnectOptions::new().filename(data_dir.join("ledger.db"));
    let ledger = SqlitePool::connect_with(options).await.expect("the ledger's file");
    ledger.execute(statement).await.expect("a trigger");
    ledger.close().await;
}

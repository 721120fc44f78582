//! Creating a user: the ledger first, then the board everybody sees.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::NamedStanding;
use crate::ports::{FailureKind, NewUser, PortError, Rankings, UserCreation};
use crate::wiring::Wiring;

/// Between two tries to show a new user on a board that is away.
const PAUSE: Duration = Duration::from_millis(500);
/// Tries after which it is left to the scheduled comparison of the board with the ledger.
const TRIES: u32 = 120;

/// Creates a user and shows it on its board. When the board is away the user is created all the same, and shown when
/// the board is back.
///
/// # Errors
/// When the ledger can not be reached, or the board refuses the user. A crash before the board was told is made up for
/// by the user's first score, or by the next comparison of the board with the ledger.
pub async fn create_user(wiring: &Wiring, user: &NewUser) -> Result<UserCreation, PortError> {
    let creation = wiring.roster.create_user(user, wiring.clock.now()).await?;
    if let UserCreation::Created(user, standing) = &creation {
        let named = NamedStanding { standing: standing.clone(), name: user.name.clone() };
        match wiring.rankings.publish(&standing.board, std::slice::from_ref(&named)).await {
            Ok(_) => {}
            Err(error) if error.kind == FailureKind::Unavailable => {
                tracing::warn!(%error, user = %user.id, "a new user is shown on the board when it is back");
                tokio::spawn(show_later(Arc::clone(&wiring.rankings), named));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(creation)
}

async fn show_later(rankings: Arc<dyn Rankings>, named: NamedStanding) {
    for _ in 0..TRIES {
        tokio::time::sleep(PAUSE).await;
        match rankings.publish(&named.standing.board, std::slice::from_ref(&named)).await {
            Err(error) if error.kind == FailureKind::Unavailable => {}
            _ => return,
        }
    }
}

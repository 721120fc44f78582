//! Creating a user: the ledger first, then the board everybody sees.

use crate::domain::NamedStanding;
use crate::ports::{NewUser, PortError, UserCreation};
use crate::wiring::Wiring;

/// Creates a user and shows it on its board.
///
/// # Errors
/// When the ledger can not be reached. A crash before the board was told is made up for by the user's first
/// score or by the next rebuild.
pub async fn create_user(wiring: &Wiring, user: &NewUser) -> Result<UserCreation, PortError> {
    let creation = wiring.roster.create_user(user, wiring.clock.now()).await?;
    if let UserCreation::Created(user, standing) = &creation {
        let named = NamedStanding { standing: standing.clone(), name: user.name.clone() };
        wiring.rankings.publish(&standing.board, &[named]).await?;
    }
    Ok(creation)
}

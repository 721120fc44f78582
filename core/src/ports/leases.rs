//! Leases: work that one process of a fleet does for all.

use std::time::Duration;

use async_trait::async_trait;

use super::PortError;

/// Grants work to one holder at a time.
///
/// Obligations: while a lease is held no other holder gets it; a holder that says nothing for the lease's time loses
/// it. A lease keeps work from being done twice at once, it does not make it safe to: a holder may be stopped and go
/// on after its lease ran out, so what is done under a lease has to be idempotent.
#[async_trait]
pub trait Leases: Send + Sync {
    /// Takes or renews the lease of this name for this long; says whether it is held now.
    async fn hold(&self, name: &str, time: Duration) -> Result<bool, PortError>;
    /// Gives a lease back, if it is held.
    async fn release(&self, name: &str) -> Result<(), PortError>;
}

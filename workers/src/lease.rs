//! Work that is done under a lease, which is renewed until it is done.

use std::time::Duration;

use scorewire_core::ports::Leases;

/// Does something that may take long, and renews a lease that is held three times within its life meanwhile. One that is
/// lost does not end the work: what is done under a lease is safe to be done twice.
pub(crate) async fn kept<T>(leases: &dyn Leases, name: &str, life: Duration, work: impl Future<Output = T>) -> T {
    let keep = async {
        loop {
            tokio::time::sleep(life / 3).await;
            if let Err(error) = leases.hold(name, life).await {
                tracing::debug!(name, %error, "a lease could not be renewed");
            }
        }
    };
    tokio::select! {
        done = work => done,
        () = keep => unreachable!("a lease is kept until the work is done"),
    }
}

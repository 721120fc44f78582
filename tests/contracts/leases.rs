//! What every kind of lease holds: one holder at a time, until it gives the lease back or falls silent.

use std::sync::Arc;
use std::time::Duration;

use scorewire_core::ports::Leases;

use super::{at_once, suite};
use crate::support::eventually;

/// The leases of every process of a fleet.
pub(super) struct Fleet {
    pub(super) processes: Vec<Arc<dyn Leases>>,
}

suite! {
    adapters {
        sole: crate::contracts::adapters::sole_process,
        redis: crate::contracts::adapters::redis_leases,
    }
    rules {
        of_all_processes_one_holds_a_lease,
        a_holder_renews_its_lease,
        a_lease_that_was_given_back_is_free,
        a_silent_holder_loses_its_lease,
        leases_of_other_names_are_other_leases,
    }
}

const LONG: Duration = Duration::from_secs(600);

async fn hold(process: &Arc<dyn Leases>, name: &str, time: Duration) -> bool {
    process.hold(name, time).await.expect("an answer")
}

async fn of_all_processes_one_holds_a_lease(fleet: &Fleet) {
    let processes = &fleet.processes;
    let held = at_once(8, |n| async move { hold(&processes[n % processes.len()], "a", LONG).await });
    let holders: std::collections::HashSet<_> =
        held.iter().enumerate().filter(|(_, held)| **held).map(|(n, _)| n % processes.len()).collect();
    assert_eq!(holders.len(), 1);
}

async fn a_holder_renews_its_lease(fleet: &Fleet) {
    for _ in 0..3 {
        assert!(hold(&fleet.processes[0], "a", LONG).await);
    }
    for other in &fleet.processes[1..] {
        assert!(!hold(other, "a", LONG).await);
        other.release("a").await.expect("an answer");
    }
    assert!(hold(&fleet.processes[0], "a", LONG).await, "nobody gives back what another holds");
}

async fn a_lease_that_was_given_back_is_free(fleet: &Fleet) {
    for process in &fleet.processes {
        assert!(hold(process, "a", LONG).await);
        process.release("a").await.expect("given back");
        process.release("a").await.expect("twice is no harm");
    }
}

async fn a_silent_holder_loses_its_lease(fleet: &Fleet) {
    assert!(hold(&fleet.processes[0], "a", Duration::from_millis(20)).await);
    let last = fleet.processes.last().expect("a process");
    eventually("the lease to run out", || async { hold(last, "a", LONG).await.then_some(()) }).await;
    assert_eq!(hold(&fleet.processes[0], "a", LONG).await, fleet.processes.len() == 1);
}

async fn leases_of_other_names_are_other_leases(fleet: &Fleet) {
    for (n, process) in fleet.processes.iter().enumerate() {
        assert!(hold(process, &format!("lease {n}"), LONG).await);
    }
}

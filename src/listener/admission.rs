//! How many connections there may be: in all, and of one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use scorewire_core::metrics::Metrics;

use super::ConnectionLimits;

/// Counts open connections, in all and per address.
pub(super) struct Connections {
    open: Mutex<(usize, HashMap<IpAddr, usize>)>,
    limits: ConnectionLimits,
    metrics: Arc<Metrics>,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), limits, metrics })
    }

    /// A place for a connection of this address, if there is one.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Admitted> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, by_ip) = &mut *open;
        let of_ip = by_ip.get(&address).copied().unwrap_or_default();
        if *total >= self.limits.total || of_ip >= self.limits.per_ip {
            self.metrics.refused.inc();
            return None;
        }
        *total += 1;
        by_ip.insert(address, of_ip + 1);
        self.metrics.connections.inc();
        Some(Admitted { connections: Arc::clone(self), address })
    }
}

/// A connection's place; given back when dropped.
pub(super) struct Admitted {
    connections: Arc<Connections>,
    pub(super) address: IpAddr,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        let (total, by_ip) = &mut *open;
        *total -= 1;
        if let Some(of_ip) = by_ip.get_mut(&self.address) {
            *of_ip -= 1;
            if *of_ip == 0 {
                by_ip.remove(&self.address);
            }
        }
        self.connections.metrics.connections.dec();
    }
}

//! The Service: chooses the replica of a new connection.
//!
//! Like kube-proxy since KEP-1669 (Kubernetes 1.28), it uses ready endpoints that are not
//! terminating; only if there are none, it uses terminating endpoints that still serve. Established
//! connections are not moved.

use std::net::SocketAddr;

/// A replica as clients see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Number of the replica.
    pub replica: u32,
    /// Address on which it listens.
    pub address: SocketAddr,
}

/// All endpoints of the Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Endpoints {
    ready: Vec<Endpoint>,
    terminating: Vec<Endpoint>,
}

impl Endpoints {
    /// Adds a replica that has become ready.
    pub(crate) fn add(&mut self, endpoint: Endpoint) {
        self.ready.push(endpoint);
    }

    /// Marks a replica as terminating, when the proxies have learned of it.
    pub(crate) fn withdraw(&mut self, replica: u32) {
        let at = self.ready.iter().position(|endpoint| endpoint.replica == replica);
        if let Some(at) = at {
            self.terminating.push(self.ready.remove(at));
        }
    }

    /// Removes a replica, when the proxies have learned that it no longer exists.
    pub(crate) fn remove(&mut self, replica: u32) {
        self.ready.retain(|endpoint| endpoint.replica != replica);
        self.terminating.retain(|endpoint| endpoint.replica != replica);
    }

    /// Chooses the endpoint of a new connection by a random number; `None` if there is none.
    #[must_use]
    pub(crate) fn pick(&self, random: u64) -> Option<Endpoint> {
        let from = if self.ready.is_empty() { &self.terminating } else { &self.ready };
        let count = u64::try_from(from.len()).ok().filter(|count| *count > 0)?;
        let index = usize::try_from(random % count).ok()?;
        from.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(replica: u32) -> Endpoint {
        Endpoint { replica, address: "127.0.0.1:80".parse().unwrap() }
    }

    fn picked(endpoints: &Endpoints) -> Vec<u32> {
        let mut all: Vec<_> = (0..10).filter_map(|random| endpoints.pick(random)).collect();
        all.sort_by_key(|endpoint| endpoint.replica);
        all.dedup();
        all.into_iter().map(|endpoint| endpoint.replica).collect()
    }

    #[test]
    fn terminating_ones_are_the_last_resort() {
        let mut endpoints = Endpoints::default();
        assert_eq!(endpoints.pick(0), None);
        endpoints.add(endpoint(1));
        endpoints.add(endpoint(2));
        assert_eq!(picked(&endpoints), [1, 2]);
        endpoints.withdraw(1);
        assert_eq!(picked(&endpoints), [2]);
        endpoints.withdraw(2);
        assert_eq!(picked(&endpoints), [1, 2]);
        endpoints.remove(2);
        assert_eq!(picked(&endpoints), [1]);
        endpoints.remove(1);
        assert_eq!(endpoints.pick(0), None);
    }
}

//! The cluster: the API server's client, namespaces and fronts by watch, certificates, and whether an installation works.

pub mod api;
pub mod certificates;
pub(crate) mod fronts;
pub(crate) mod installation;
pub(crate) mod namespaces;
pub(crate) mod reading;
#[cfg(all(feature = "watch", unix))]
pub(crate) mod watching;

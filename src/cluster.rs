//! The cluster: the API server's client, watches of namespaces and fronts, certificates, and checks
//! of an installation.

pub mod api;
pub mod certificates;
pub(crate) mod fronts;
pub(crate) mod installation;
pub(crate) mod namespaces;
pub(crate) mod reading;
#[cfg(all(feature = "watch", unix))]
pub(crate) mod watching;

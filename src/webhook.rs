//! The admission webhook as a server: connections, TLS, requests, and what is counted and logged of them.

pub(crate) mod authority;
pub mod events;
pub(crate) mod memory;
pub mod metrics;
pub(crate) mod namespaces;
pub(crate) mod reload;
pub mod server;
pub mod settings;
pub mod shutdown;
pub(crate) mod telemetry;

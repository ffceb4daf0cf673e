//! The admission webhook as a server: connections, TLS, requests, and what is counted and logged of them.

pub mod authority;
pub mod events;
pub mod memory;
pub mod metrics;
pub mod namespaces;
pub mod reload;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod telemetry;

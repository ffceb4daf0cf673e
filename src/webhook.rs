//! The admission webhook as a server: connections, TLS, requests, and what is counted and logged of them. It
//! needs Unix; its settings are part of the configuration, which is read everywhere.

#[cfg(unix)]
pub(crate) mod authority;
#[cfg(unix)]
pub mod events;
#[cfg(unix)]
pub(crate) mod memory;
#[cfg(unix)]
pub mod metrics;
#[cfg(unix)]
pub(crate) mod namespaces;
#[cfg(unix)]
pub(crate) mod reload;
#[cfg(unix)]
pub mod server;
pub mod settings;
#[cfg(unix)]
pub mod shutdown;
#[cfg(unix)]
pub(crate) mod telemetry;

//! The admission webhook server: connections, TLS, requests, and their metrics and log lines. It
//! requires Unix, except for its settings: they are part of the configuration, which is read on
//! every platform.

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

//! Signals while files are replaced: the program ends, but between two files, so that no temporary
//! file is left beside one.

use std::io;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::runtime;
use tokio::signal::unix::{SignalKind, signal};

/// The signals that end the program, taken over for the rest of its life.
#[derive(Debug)]
pub(super) struct Signals(Arc<Mutex<()>>);

impl Signals {
    /// Takes over SIGTERM, SIGINT and SIGHUP: the program ends with 128 and the signal's number.
    ///
    /// # Errors
    /// When the system does not give them.
    pub(super) fn take() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let guard = runtime.enter();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        drop(guard);
        let busy = Arc::new(Mutex::new(()));
        let own = Arc::clone(&busy);
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let kind = runtime.block_on(async {
                tokio::select! {
                    _ = terminate.recv() => SignalKind::terminate(),
                    _ = interrupt.recv() => SignalKind::interrupt(),
                    _ = hangup.recv() => SignalKind::hangup(),
                }
            });
            let _last = own.lock().unwrap_or_else(PoisonError::into_inner);
            process::exit(kind.as_raw_value().saturating_add(128));
        })?;
        Ok(Self(busy))
    }

    /// Keeps the program alive until the guard is dropped.
    pub(super) fn hold(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

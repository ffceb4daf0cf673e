//! Signals while files are replaced: they end the program only between two files, so that no
//! temporary file is left next to one.

use std::io;
use std::process;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::runtime;

/// The signals that end the program, taken over for the rest of its life.
#[derive(Debug)]
pub(super) struct Signals(Arc<Mutex<()>>);

impl Signals {
    /// Takes over SIGTERM, SIGINT and SIGHUP, or Ctrl-C on Windows: the program then ends with
    /// status 128 plus the number of the signal.
    ///
    /// # Errors
    /// When the signal handlers can't be installed.
    pub(super) fn take() -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
        let guard = runtime.enter();
        let status = first()?;
        drop(guard);
        let busy = Arc::new(Mutex::new(()));
        let own = Arc::clone(&busy);
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            let status = runtime.block_on(status);
            let _last = own.lock().unwrap_or_else(PoisonError::into_inner);
            process::exit(status);
        })?;
        Ok(Self(busy))
    }

    /// Keeps the program alive until the guard is dropped.
    pub(super) fn hold(&self) -> MutexGuard<'_, ()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the exit status for the first signal from now on.
#[cfg(unix)]
fn first() -> io::Result<impl Future<Output = i32>> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        let kind = tokio::select! {
            _ = terminate.recv() => SignalKind::terminate(),
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = hangup.recv() => SignalKind::hangup(),
        };
        kind.as_raw_value().saturating_add(128)
    })
}

/// Returns the exit status for Ctrl-C from now on: that of SIGINT on other systems.
#[cfg(windows)]
fn first() -> io::Result<impl Future<Output = i32>> {
    let mut interrupt = tokio::signal::windows::ctrl_c()?;
    Ok(async move {
        interrupt.recv().await;
        130
    })
}

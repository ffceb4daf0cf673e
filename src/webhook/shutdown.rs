//! Shutdown of the server: its phases, and the signals that start them.
//!
//! SIGTERM comes at the moment when the pod's address begins to be withdrawn, so requests keep
//! coming: the server reports that it is not ready, keeps serving, and asks every client to
//! reconnect. After Ctrl-C, a person is waiting: only open requests are finished. A second signal
//! of either kind ends the server immediately.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Phase of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Accepts requests.
    Serving,
    /// Accepts requests, is not ready, and asks clients to reconnect elsewhere.
    Draining,
    /// Accepts no more connections and finishes open requests.
    Stopping,
}

/// Receives the current phase.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<Phase>);

/// Outcome of the shutdown delay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// The drain delay is over.
    Drained,
    /// A second signal came.
    AtOnce,
}

/// The signals that end the server.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    phase: watch::Sender<Phase>,
}

impl Shutdown {
    /// Returns the current phase.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Waits until the phase is at least this one.
    pub async fn reached(&mut self, phase: Phase) {
        // Without a sender the program is ending anyway.
        let _ = self.0.wait_for(|now| *now >= phase).await;
    }
}

impl Signals {
    /// Takes over SIGTERM and SIGINT of the process.
    ///
    /// # Errors
    /// When the signal handlers can't be installed.
    pub fn take() -> io::Result<(Self, Shutdown)> {
        let (phase, receiver) = watch::channel(Phase::Serving);
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        Ok((Self { terminate, interrupt, phase }, Shutdown(receiver)))
    }

    /// Waits for the first signal, then goes through the phases. `told` is called with each phase.
    pub async fn drain(&mut self, delay: Duration, told: impl Fn(Phase)) -> Ending {
        let delay = tokio::select! {
            _ = self.terminate.recv() => delay,
            _ = self.interrupt.recv() => Duration::ZERO,
        };
        if !delay.is_zero() {
            self.move_to(Phase::Draining, &told);
            let end = Instant::now() + delay;
            tokio::select! {
                () = sleep_until(end) => {}
                () = self.next() => return Ending::AtOnce,
            }
        }
        self.move_to(Phase::Stopping, &told);
        Ending::Drained
    }

    /// Waits for another signal.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    fn move_to(&self, phase: Phase, told: &impl Fn(Phase)) {
        self.phase.send_replace(phase);
        told(phase);
    }
}

/// Creates a phase that the caller changes, for tests and for servers inside other programs.
#[must_use]
pub fn by_hand() -> (watch::Sender<Phase>, Shutdown) {
    let (sender, receiver) = watch::channel(Phase::Serving);
    (sender, Shutdown(receiver))
}

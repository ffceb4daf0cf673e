//! `prestop serve`: assembles the server, runs it, and shuts it down.

mod certificate;
mod files;
mod listening;
mod parts;
mod watching;

use std::io::{self, Write};

use anyhow::Context;
use tokio::runtime::{Builder, Runtime};
use tracing::warn;

use self::files::ConfigurationFile;
use self::parts::Parts;
use super::{Exit, open_files, tell};
use crate::cli::ServeArguments;
use crate::webhook::settings::ServeSettings;
use crate::webhook::shutdown::Ending;
use crate::webhook::telemetry;

/// A pod of a `ReplicaSet` as an API server sends it.
const EXAMPLE_REVIEW: &str = include_str!("../../examples/admission-review.json");

/// Serves until a signal ends the server.
pub(super) fn run(arguments: &ServeArguments) -> anyhow::Result<Exit> {
    if arguments.print_example_review {
        io::stdout().write_all(EXAMPLE_REVIEW.as_bytes())?;
        return Ok(Exit::Done);
    }
    let mut configuration = ConfigurationFile::new(arguments.config.as_deref());
    let (policy, settings) = match configuration.first() {
        Ok(parts) => parts,
        Err(error) => {
            tell(&format!("error: {error}"));
            return Ok(Exit::BadInput);
        }
    };
    let log = telemetry::start(settings.log);
    if let Err(error) = open_files::raise_limit() {
        warn!(%error, "can't raise the limit of open files; keeping the current one");
    }
    let runtime = runtime(&settings)?;
    let parts = match runtime.block_on(Parts::new(arguments, policy, &settings, configuration, log))
    {
        Ok(parts) => parts,
        Err(error) => {
            tell(&format!("error: {error:#}"));
            return Ok(Exit::BadInput);
        }
    };
    let ending = runtime.block_on(parts.run(&settings));
    // Tasks that still run are not awaited.
    runtime.shutdown_background();
    telemetry::write_the_last();
    Ok(match ending {
        Ending::Drained => Exit::Done,
        Ending::AtOnce => Exit::AtOnce,
    })
}

fn runtime(settings: &ServeSettings) -> anyhow::Result<Runtime> {
    let mut builder = match settings.server.workers.get() {
        // One thread is the fastest on one core, and enough for any cluster.
        1 => Builder::new_current_thread(),
        workers => {
            let mut builder = Builder::new_multi_thread();
            builder.worker_threads(workers);
            builder
        }
    };
    builder.enable_io().enable_time().build().context("threads")
}

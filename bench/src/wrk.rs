//! The same closed loop with wrk, an independent client, to check our own.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, ensure};
use prestop_bench::reviews::Review;

use crate::contestants::Contestant;
use crate::figures::microseconds;
use crate::load::CONNECTIONS;
use crate::process::Stage;

/// Returns whether wrk is installed.
pub(crate) fn is_there() -> bool {
    Command::new("wrk").arg("--version").output().is_ok()
}

/// Returns the CPU time for a request, in microseconds.
pub(crate) fn cpu(
    stage: &Stage<'_>,
    contestant: Contestant,
    review: Review,
    duration: Duration,
) -> anyhow::Result<f64> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("review.lua");
    let body = review.file();
    fs::write(
        &script,
        format!(
            "wrk.method = \"POST\"\nwrk.path = \"/mutate?timeout=10s\"\n\
             wrk.headers[\"Content-Type\"] = \"application/json\"\n\
             local file = io.open({:?}, \"rb\")\nwrk.body = file:read(\"*a\")\n",
            body.display().to_string()
        ),
    )?;
    let server = stage.start(contestant)?;
    let run = |seconds: u64| {
        let output = Command::new("wrk")
            .args(["--threads", "1", "--connections", &CONNECTIONS.to_string()])
            .args(["--duration", &format!("{seconds}s"), "--script"])
            .arg(&script)
            .arg(format!("https://localhost:{}/mutate", server.port))
            .output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(output.status.success() && !text.contains("Non-2xx"), "wrk: {text}");
        requests(&text).with_context(|| format!("wrk: {text}"))
    };
    run(1)?;
    let before = server.cpu()?;
    // wrk accepts only whole seconds.
    let requests = run(duration.as_secs().max(1))?;
    Ok(microseconds(server.cpu()?.saturating_sub(before)) / requests)
}

/// Parses the number in `  123 requests in 3.00s, 1.00MB read`.
fn requests(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.contains(" requests in "))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wrk_says() {
        let text = "Running 3s test\n  2 threads\n  123 requests in 3.00s, 1.00MB read\nRequests/sec: 41\n";
        assert_eq!(requests(text), Some(123.0));
        assert_eq!(requests(""), None);
    }
}

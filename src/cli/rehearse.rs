//! Arguments of `prestop rehearse`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use prestop_core::catalogue::Signal;
use prestop_core::engine::template::KindName;
use prestop_core::policy::KubernetesVersion;
use prestop_rehearsal::plan::EndpointDelay;

/// Arguments of `prestop rehearse`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prestop rehearse -f deployment.yaml --port 8080 -- nginx -g 'daemon off;'
  prestop rehearse -f deployment.yaml --svg picture.svg -- python3 -m http.server 8080
  prestop rehearse -f deployment.yaml --late-endpoints 20s -- nginx -g 'daemon off;'
  prestop rehearse -f deployment.yaml --long-path /report --long-seconds 3 -- node server.js
  prestop rehearse -f deployment.yaml -o json -q -- ./server >report.json

Needs Linux with util-linux and iproute2, and root or user namespaces. The server can only reach the
network of the rehearsal; files that it writes to /run, /tmp and /var are deleted afterwards.

Exit status: 0 no request was dropped with prestop's hook, 1 requests were dropped, 2 wrong usage or no
namespaces, 3 bad input, such as a server that does not answer, 130 interrupted.")]
pub(crate) struct RehearseArguments {
    /// The manifest, or - for standard input.
    #[arg(short, long, value_name = "FILE|-")]
    pub file: PathBuf,
    /// The server: its program and arguments, as the container runs them.
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub command: Vec<String>,
    /// The workload, if the manifest has more than one.
    #[arg(long, value_name = "NAME")]
    pub workload: Option<String>,
    /// The container [default: the first].
    #[arg(long, value_name = "NAME")]
    pub container: Option<String>,
    /// Namespace of objects without metadata.namespace.
    #[arg(short, long, default_value = "default", value_name = "NAME")]
    pub namespace: String,
    /// Additional kind with its pod template at spec.template (can be repeated).
    #[arg(long = "kind", value_name = "KIND.GROUP")]
    pub kinds: Vec<KindName>,
    /// Number of replicas.
    #[arg(long, default_value_t = 2, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=20))]
    pub replicas: u32,
    /// The port that the server listens on [default: the container's first].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub port: Option<u16>,
    /// The signal that stops the server [default: that of the image in the catalogue, or TERM].
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<Signal>,
    /// The image has no shell, so exec hooks fail [default: from the catalogue, for distroless images].
    #[arg(long)]
    pub no_shell: bool,
    /// How long a replica still gets new connections after its deletion, as a range.
    #[arg(long, value_name = "FROM-TO", default_value = "0.1-2", value_parser = endpoint_delay)]
    pub endpoint_delay: EndpointDelay,
    /// How much later the load balancer in front learns of each new and deleted replica.
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = late)]
    pub late_endpoints: Duration,
    /// Requests per second, of all clients together.
    #[arg(long, default_value_t = 200, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=5000))]
    pub rate: u32,
    /// Minimum number of requests in each run.
    #[arg(long, default_value_t = 2000, value_name = "NUMBER", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub requests: u64,
    /// The path of the requests.
    #[arg(long, default_value = "/", value_name = "PATH", value_parser = path)]
    pub path: String,
    /// A slow path that some of the requests use.
    #[arg(long, value_name = "PATH", value_parser = path)]
    pub long_path: Option<String>,
    /// How long an answer to the slow path takes.
    #[arg(long, default_value = "3", value_name = "SECONDS", requires = "long_path")]
    pub long_seconds: Seconds,
    /// Average number of slow requests in flight; keep it below the number of workers of the server.
    #[arg(long, default_value_t = 2, value_name = "NUMBER", requires = "long_path", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub long_in_flight: u32,
    /// How long a client waits for an answer; for slow requests their duration is added.
    #[arg(long, default_value = "5", value_name = "SECONDS")]
    pub timeout: Seconds,
    /// How long a replica may take to become ready.
    #[arg(long, default_value = "30", value_name = "SECONDS")]
    pub ready_timeout: Seconds,
    /// Random seed; the same seed gives the same schedule.
    #[arg(long, default_value_t = 1, value_name = "NUMBER")]
    pub seed: u64,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = RehearseForm::Text)]
    pub output: RehearseForm,
    /// Write a picture of both runs, as SVG.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// The configuration file.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The Kubernetes version: determines whether the native sleep action or an exec hook is used for delays.
    #[arg(long, value_name = "VERSION", default_value_t = KubernetesVersion::NEWEST)]
    pub kubernetes_version: KubernetesVersion,
    /// No progress on standard error.
    #[arg(short, long)]
    pub quiet: bool,
}

/// Output forms of `rehearse`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RehearseForm {
    /// A table with its interpretation.
    Text,
    /// All counts as JSON.
    Json,
}

/// A time of more than zero and at most an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seconds(pub Duration);

impl FromStr for Seconds {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        duration(text)
            .filter(|duration| !duration.is_zero())
            .map(Self)
            .ok_or("seconds, above 0 and at most 3600, such as 5, 2.5 or 5s")
    }
}

fn duration(text: &str) -> Option<Duration> {
    let seconds: f64 = text.strip_suffix('s').unwrap_or(text).parse().ok()?;
    if (0.0..=3600.0).contains(&seconds) { Duration::try_from_secs_f64(seconds).ok() } else { None }
}

fn endpoint_delay(text: &str) -> Result<EndpointDelay, &'static str> {
    let (least, most) = text.split_once('-').unwrap_or((text, text));
    match (duration(least), duration(most)) {
        (Some(least), Some(most)) if least <= most => Ok(EndpointDelay { least, most }),
        _ => Err("seconds from and to, such as 0.1-2, or one number for no spread"),
    }
}

fn late(text: &str) -> Result<Duration, &'static str> {
    duration(text).ok_or("seconds, at most 3600, such as 20, 2.5 or 20s")
}

fn path(text: &str) -> Result<String, &'static str> {
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
    if text.starts_with('/') && plain {
        Ok(text.to_owned())
    } else {
        Err("a path begins with / and has no spaces")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_read() {
        let delay = |text| endpoint_delay(text).map(|EndpointDelay { least, most }| (least, most));
        let millis = Duration::from_millis;
        assert_eq!(delay("0.1-2"), Ok((millis(100), millis(2000))));
        assert_eq!(delay("1s"), Ok((millis(1000), millis(1000))));
        for text in ["", "-", "2-1", "a-b", "-1", "1-2-3", "NaN", "0-9999"] {
            assert!(delay(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_late_load_balancer_is_read() {
        assert_eq!(late("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(late("0"), Ok(Duration::ZERO));
        for text in ["", "-1", "3601", "20 s", "1-2"] {
            assert!(late(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_are_read() {
        assert_eq!("2.5".parse(), Ok(Seconds(Duration::from_millis(2500))));
        for text in ["0", "-1", "", "s", "inf", "3601"] {
            assert!(text.parse::<Seconds>().is_err(), "{text:?}");
        }
    }
}

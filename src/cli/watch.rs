//! `prestop watch`.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, ValueEnum};
use http::Uri;
use prestop_core::duration;
use prestop_watch::rollout::Kind;
use prestop_watch::verdict::Verdict;

use super::ClusterArguments;

/// Arguments of `prestop watch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  prestop watch -n shop                              until Ctrl-C
  prestop watch -n shop --for 10m -o json >ended.jsonl
  kubectl rollout restart deployment/web && prestop watch --until-rolled deployment/web
  prestop watch -n shop --url http://web.shop/healthz --svg picture.svg

Needs the rights to list and watch pods, events and endpoint slices, and with --until-rolled to get the
workload. Nothing is written to the cluster.

The API does not count requests: only --url says whether some were lost, of those that it sends itself.

Exit status: 0 nothing bad was seen, 1 something was, or the workload was not rolled out, 2 wrong usage,
3 no cluster can be reached, or a right is missing.")]
pub(crate) struct WatchArguments {
    /// The namespace [default: that of the context, or else default].
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// All namespaces.
    #[arg(short = 'A', long, conflicts_with_all = ["namespace", "until_rolled"])]
    pub all_namespaces: bool,
    /// Only pods with these labels, such as app=web,tier!=test.
    #[arg(short = 'l', long, value_name = "LABELS", conflicts_with = "until_rolled")]
    pub selector: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub cluster: ClusterArguments,
    /// End after this time, such as 10m.
    #[arg(long = "for", value_name = "DURATION", value_parser = time)]
    pub duration: Option<Duration>,
    /// Watch only the pods of this workload, and end when it is rolled out and its old pods have ended. A
    /// Deployment, StatefulSet, DaemonSet, or a Rollout of Argo.
    #[arg(long, value_name = "KIND/NAME")]
    pub until_rolled: Option<WorkloadName>,
    /// Send requests to this address meanwhile, and count those that are lost.
    #[arg(long, value_name = "http://HOST[:PORT]/PATH")]
    pub url: Option<Url>,
    /// Requests a second: half of them with a new connection each, half on connections that are kept.
    #[arg(long, default_value_t = 20, value_name = "NUMBER", requires = "url", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rate: u32,
    /// How long a request may take, at most 1m.
    #[arg(long, default_value = "5s", value_name = "DURATION", requires = "url", value_parser = request_time)]
    pub timeout: Duration,
    /// Do not count this verdict as bad, such as no-hook (can be repeated).
    #[arg(long, value_name = "VERDICT")]
    pub accept: Vec<Verdict>,
    /// Exit with status 1 also if it is not known how a container ended.
    #[arg(long)]
    pub strict: bool,
    /// What to print.
    #[arg(short, long, value_enum, default_value_t = WatchForm::Text)]
    pub output: WatchForm,
    /// Write a picture of what happened, as SVG.
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// What `watch` prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WatchForm {
    /// A line for each container that ends; on a terminal those that are ending now below them.
    Text,
    /// One JSON object a line.
    Json,
    /// JUnit XML, at the end.
    Junit,
}

/// `deployment/web`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkloadName {
    pub kind: Kind,
    pub name: String,
}

/// The URL for requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    /// Host and port as written, for the `Host` header.
    pub authority: String,
    pub host: String,
    pub port: u16,
    pub path: String,
}

impl FromStr for WorkloadName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "KIND/NAME such as deployment/web; kinds are deployment, statefulset, daemonset and rollout";
        let (kind, name) = text.split_once('/').ok_or(wrong)?;
        let kind = Kind::of(kind).ok_or(wrong)?;
        let is_name =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if name.is_empty() || !name.bytes().all(is_name) {
            return Err(wrong);
        }
        Ok(Self { kind, name: name.to_owned() })
    }
}

impl FromStr for Url {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "an address such as http://web.shop/healthz";
        let uri: Uri = text.parse().map_err(|_| wrong)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(
                    "https is not supported: take an http port, such as that of the Service",
                );
            }
            _ => return Err(wrong),
        }
        let authority = uri.authority().ok_or(wrong)?;
        if authority.as_str().contains('@') {
            return Err("names and passwords in the address are not supported");
        }
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() {
            return Err(wrong);
        }
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        Ok(Self {
            authority: authority.to_string(),
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(80),
            path: path.to_owned(),
        })
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let seconds = duration::parse(text).map_err(|error| error.to_string())?.seconds;
    let seconds = u64::try_from(seconds).ok().filter(|seconds| *seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(|| "more than nothing, such as 10m".to_owned())
}

/// Parses a time limit for requests. It is bounded because the last requests are awaited at the
/// end.
fn request_time(text: &str) -> Result<Duration, String> {
    let longest = Duration::from_mins(1);
    time(text).and_then(|time| if time > longest { Err("at most 1m".to_owned()) } else { Ok(time) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let url = |text: &str| {
            let Url { authority, host, port, path } = text.parse().unwrap();
            (authority, host, port, path)
        };
        let all = |authority: &str, host: &str, port, path: &str| {
            (authority.to_owned(), host.to_owned(), port, path.to_owned())
        };
        assert_eq!(
            url("http://web.shop/healthz?a=b"),
            all("web.shop", "web.shop", 80, "/healthz?a=b")
        );
        assert_eq!(url("http://127.0.0.1:8080"), all("127.0.0.1:8080", "127.0.0.1", 8080, "/"));
        assert_eq!(url("http://[::1]:81/x"), all("[::1]:81", "::1", 81, "/x"));
        for text in ["", "web.shop", "ftp://web", "http://", "http:///x", "http://a:b@web/"] {
            assert!(text.parse::<Url>().is_err(), "{text:?}");
        }
        assert!("https://web".parse::<Url>().unwrap_err().contains("https is not supported"));
    }

    #[test]
    fn workloads_are_read() {
        let web = |kind| Ok(WorkloadName { kind, name: "web".to_owned() });
        assert_eq!("deploy/web".parse(), web(Kind::Deployment));
        assert_eq!("StatefulSet/web".parse(), web(Kind::StatefulSet));
        for text in ["web", "pod/web", "deployment/", "deployment/web/x", "deployment/../x"] {
            assert!(text.parse::<WorkloadName>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn times_are_read() {
        assert_eq!(time("10m"), Ok(Duration::from_secs(600)));
        assert!(time("0s").is_err() && time("soon").is_err());
        assert_eq!(request_time("1m"), Ok(Duration::from_mins(1)));
        assert!(request_time("61s").is_err() && request_time("0s").is_err());
    }
}

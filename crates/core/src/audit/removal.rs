//! Limits on the termination of a pod whose node is removed, set by cluster autoscalers and
//! Karpenter.

use std::fmt;

use serde_json::Value;

use super::Certainty;
use super::objects::Setting;
use crate::duration;

/// The cluster autoscaler's default, in seconds.
/// <https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md>
const BY_DEFAULT: i64 = 600;
const FLAG: &str = "--max-graceful-termination-sec";
const AUTOSCALER: &str = "cluster-autoscaler";

/// A limit on grace periods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RemovalLimit {
    pub(super) seconds: i64,
    /// Source of the limit; empty for the default of a cluster autoscaler that is not in the input.
    by: String,
}

/// The autoscalers and node pools of the input that remove nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Removers {
    limits: Vec<RemovalLimit>,
    /// Whether there is a `NodePool`: Karpenter does not limit grace periods by default.
    has_karpenter: bool,
}

impl Removers {
    /// Adds a Deployment if it is a cluster autoscaler, recognised by its program or image.
    pub(super) fn add_deployment(&mut self, object: &Value, name: &str) {
        let containers = object.pointer("/spec/template/spec/containers").and_then(Value::as_array);
        for container in containers.into_iter().flatten() {
            let texts = ["command", "args"].into_iter();
            let lists = texts.filter_map(|field| container.get(field)?.as_array());
            let words: Vec<_> = lists
                .flatten()
                .filter_map(Value::as_str)
                .flat_map(|text| text.split([' ', '=', '\n', '\t']))
                .filter(|word| !word.is_empty())
                .collect();
            let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
            let is_it = image.contains(AUTOSCALER)
                || words.first().is_some_and(|program| program.ends_with(AUTOSCALER));
            if !is_it || image.contains("cluster-proportional") {
                continue;
            }
            let own = words.iter().position(|word| *word == FLAG);
            let own = own.and_then(|index| words.get(index + 1)?.parse().ok());
            let by = match own {
                Some(_) => format!("{FLAG} of Deployment {name}"),
                None => format!("{FLAG} of Deployment {name} by default"),
            };
            self.limits.push(RemovalLimit { seconds: own.unwrap_or(BY_DEFAULT), by });
        }
    }

    /// Adds a `NodePool` of Karpenter.
    pub(super) fn add_node_pool(&mut self, object: &Value, name: &str) {
        self.has_karpenter = true;
        let period = object.pointer("/spec/template/spec/terminationGracePeriod");
        let seconds = period
            .and_then(Value::as_str)
            .and_then(duration::parse_go)
            .and_then(|period| i64::try_from(period.as_secs()).ok());
        if let Some(seconds) = seconds {
            let by = format!("terminationGracePeriod of NodePool {name}");
            self.limits.push(RemovalLimit { seconds, by });
        }
    }
}

impl Setting {
    /// Returns the shortest limit, and how certain it is that it applies to the pods.
    pub(super) fn removal_limit(&self) -> Option<(RemovalLimit, Certainty)> {
        let Removers { limits, has_karpenter } = &self.removers;
        match limits.iter().min_by_key(|limit| (limit.seconds, &limit.by)) {
            Some(limit) => Some((limit.clone(), Certainty::Likely)),
            None if *has_karpenter => None,
            None => {
                let limit = RemovalLimit { seconds: BY_DEFAULT, by: String::new() };
                Some((limit, Certainty::Possible))
            }
        }
    }
}

impl fmt::Display for RemovalLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seconds, by } = self;
        match by.as_str() {
            "" => write!(f, "cluster autoscalers allow {seconds}s by default"),
            by => write!(f, "{by} is {seconds}s"),
        }
    }
}

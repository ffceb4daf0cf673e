//! Counts the allocations of one review exactly. A separate program, because its allocator does the
//! counting. Prints JSON.

#![allow(clippy::print_stdout)]

use std::sync::Arc;

use allocation_counter::{AllocationInfo, measure};
use anyhow::Context;
use prestop_bench::reviews::Review;
use prestop_core::admission::{self, ClusterView, Namespaces, NoFronts};
use prestop_core::engine::decide;
use prestop_core::engine::pod::Pod;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::policy::{KubernetesVersion, NamespaceRule, Policy};
use serde_json::{Map, Value, json};

struct Nowhere;

impl Namespaces for Nowhere {
    fn settings(&self, _: &str) -> Option<Arc<NamespaceSettings>> {
        None
    }
}

fn main() -> anyhow::Result<()> {
    let mut counts = Map::new();
    for review in [Review::Small, Review::Large, Review::Patched] {
        let body = review.committed()?;
        let engine = read_decide_and_patch(&body)?;
        let whole = whole_review(&body);
        let count = json!({"engine": engine.count_total, "review": whole.count_total});
        counts.insert(review.name().to_owned(), count);
    }
    println!("{}", Value::Object(counts));
    Ok(())
}

fn policy() -> Policy {
    Policy {
        kubernetes_version: Some(KubernetesVersion::NEWEST),
        namespaces: NamespaceRule::NotDisabled,
        ..Policy::built_in()
    }
}

/// Measures from the pod's JSON to the patch's, which is written to an existing buffer.
fn read_decide_and_patch(body: &[u8]) -> anyhow::Result<AllocationInfo> {
    let review: Value = serde_json::from_slice(body)?;
    let text = review.pointer("/request/object").context("no object")?.to_string();
    let (policy, namespace) = (policy(), NamespaceSettings::default());
    let mut buffer = Vec::with_capacity(1 << 20);
    let mut once = || -> anyhow::Result<()> {
        buffer.clear();
        let pod = Pod::from_json(&text)?;
        let decision = decide(&pod, &namespace, &policy);
        admission::patch::write(&decision, "", &mut buffer);
        Ok(())
    };
    // Values that are created only once are not counted.
    once()?;
    let mut result = Ok(());
    let info = measure(|| result = once());
    result.map(|()| info)
}

/// Measures from the bytes of the request to those of the answer.
fn whole_review(body: &[u8]) -> AllocationInfo {
    let policy = policy();
    let once = || {
        admission::review(
            body,
            ClusterView { namespaces: &Nowhere, fronts: &NoFronts },
            &policy,
            &mut |_| {},
        )
        .is_ok()
    };
    once();
    measure(|| {
        once();
    })
}

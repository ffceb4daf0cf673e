//! Each front is recognised by its own conditions and by nothing else.

mod kinds;
mod lookups;
mod random;

use prestop_core::fronts::{Front, FrontTable, PodShape, need};
use prestop_fuzz::fronts::surroundings;
use serde_json::Value;

const YAML: &str = include_str!("../crates/core/src/fronts/fronts.yaml");
const JSON: &str = include_str!("../crates/core/src/fronts/fronts.json");

/// Pod of all cases.
const POD: &str = "
metadata: {labels: {app: web, tier: front}}
spec:
  containers:
  - {name: web, ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]}
";

#[test]
fn the_json_is_made_of_the_yaml() {
    let yaml: Value = serde_saphyr::from_str(YAML).unwrap();
    let json = format!("{yaml}\n");
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/core/src/fronts/fronts.json");
        std::fs::write(path, &json).unwrap();
        // `JSON` is still the old text, which was compiled in.
        return;
    }
    let advice = "run UPDATE_GENERATED=1 cargo test the_json_is_made_of_the_yaml";
    assert_eq!(json, JSON, "crates/core/src/fronts/fronts.json is out of date: {advice}");
}

fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap()
}

fn pod(yaml: &str) -> PodShape {
    PodShape::of_value(&documents(yaml)[0], "shop")
}

/// Formats each front as a line: name, delay, path.
fn lines(found: &[Front<'_>]) -> Vec<String> {
    let line = |front: &Front<'_>| {
        let way: Vec<_> = front.path.iter().map(ToString::to_string).collect();
        format!("{} {} {}", front.kind.name, front.withdrawal, way.join(" > ")).trim().to_owned()
    };
    found.iter().map(line).collect()
}

/// Returns the fronts of `POD` among the objects in the YAML documents, as lines.
fn found(yaml: &str) -> Vec<String> {
    lines(&surroundings(&documents(yaml)).fronts(&pod(POD)))
}

fn service(spec: &str, annotations: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: web, annotations: {{{annotations}}}}}, \
         spec: {{selector: {{app: web}}, ports: [{{name: http, port: 80, targetPort: http}}]{spec}}}}}\n"
    )
}

fn cluster_ip() -> String {
    service("", "")
}

//! Each front is recognised, and by nothing else than what it says.

mod kinds;
mod lookups;
mod random;

use serde_json::Value;

use super::{Front, FrontTable, PodShape, Surroundings, fronts, need};

/// The pod that all cases are about.
const POD: &str = "
metadata: {labels: {app: web, tier: front}}
spec:
  containers:
  - {name: web, ports: [{name: http, containerPort: 8080}, {name: dns, containerPort: 53, protocol: UDP}]}
";

fn documents(yaml: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(yaml).unwrap()
}

fn surroundings(objects: &[Value]) -> Surroundings<'static> {
    let mut around = Surroundings::new(FrontTable::built_in(), "shop");
    for object in objects {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        around.add(text("apiVersion"), text("kind"), object);
    }
    around
}

fn pod(yaml: &str) -> PodShape {
    PodShape::of_value(&documents(yaml)[0], "shop")
}

/// Fronts as lines: name, delay, way.
fn lines(found: &[Front<'_>]) -> Vec<String> {
    let line = |front: &Front<'_>| {
        let way: Vec<_> = front.path.iter().map(ToString::to_string).collect();
        format!("{} {} {}", front.kind.name, front.withdrawal, way.join(" > ")).trim().to_owned()
    };
    found.iter().map(line).collect()
}

/// The fronts of the pod among objects.
fn found(yaml: &str) -> Vec<String> {
    lines(&fronts(&pod(POD), &surroundings(&documents(yaml))))
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

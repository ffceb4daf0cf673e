//! References from Ingresses and routes to the Services that they send to.

use serde_json::Value;

/// Limit for the depth of nested lists.
const DEEPEST: usize = 8;

/// A Service that receives requests from a sender.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Backend {
    pub(in super::super) namespace: String,
    pub(in super::super) service: String,
    pub(in super::super) port: BackendPort,
}

/// The port of the Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum BackendPort {
    /// The port is not set, or has an unknown form.
    Any,
    Number(i64),
    Name(String),
}

impl Backend {
    /// Reads a reference, which kinds and vendors write with different fields.
    pub(super) fn read(reference: &Value, namespace: &str) -> Option<Self> {
        let text = |field: &str| reference.get(field).and_then(Value::as_str);
        let is_service =
            text("kind").is_none_or(|kind| kind == "Service" || kind == "TraefikService");
        if !is_service || text("group").is_some_and(|group| !group.is_empty()) {
            return None;
        }
        let namespace = text("namespace").unwrap_or(namespace);
        let port = BackendPort::read(reference);
        let names = ["name", "serviceName", "service"];
        if let Some(name) = names.iter().find_map(|field| text(field)) {
            return Some(Self { namespace: namespace.to_owned(), service: name.to_owned(), port });
        }
        // `web`, `web.shop` and `web.shop.svc.cluster.local`.
        let mut labels = text("host")?.split('.');
        let service = labels.next()?.to_owned();
        let namespace = labels.next().unwrap_or(namespace).to_owned();
        let is_local = labels.next().is_none_or(|label| label == "svc");
        is_local.then_some(Self { namespace, service, port })
    }
}

impl BackendPort {
    fn read(reference: &Value) -> Self {
        let port = reference.get("port").or_else(|| reference.get("servicePort"));
        match port {
            Some(Value::Number(number)) => number.as_i64().map_or(Self::Any, Self::Number),
            // An annotation of the Ingress defines the backend.
            Some(Value::String(name)) if name == "use-annotation" => Self::Any,
            Some(Value::String(name)) => Self::of_text(name),
            Some(Value::Object(port)) => {
                let number = port.get("number").and_then(Value::as_i64).map(Self::Number);
                let name = port.get("name").and_then(Value::as_str);
                let name = name.filter(|name| *name != "use-annotation").map(Self::of_text);
                number.or(name).unwrap_or(Self::Any)
            }
            _ => Self::Any,
        }
    }

    fn of_text(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Number)
    }
}

/// Returns the values at a JSON pointer in which `*` stands for each item of a list.
pub(super) fn places<'v>(object: &'v Value, place: &str) -> Vec<&'v Value> {
    let mut values = vec![object];
    for step in place.split('/').skip(1) {
        values = values
            .into_iter()
            .flat_map(|value| match step {
                "*" => value.as_array().into_iter().flatten().collect::<Vec<_>>(),
                _ => value.get(step).into_iter().collect(),
            })
            .collect();
    }
    values
}

/// Returns the Services to which an action of an ALB Ingress forwards.
pub(super) fn of_alb_action(action: &str, namespace: &str) -> Vec<Backend> {
    let mut found = Vec::new();
    if let Ok(action) = serde_json::from_str(action) {
        collect_services(&action, namespace, DEEPEST, &mut found);
    }
    found
}

fn collect_services(value: &Value, namespace: &str, depth: usize, found: &mut Vec<Backend>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Array(items) => {
            for item in items {
                collect_services(item, namespace, depth, found);
            }
        }
        Value::Object(members) => {
            let name = members.iter().find(|(key, _)| key.eq_ignore_ascii_case("serviceName"));
            if let Some(name) = name.and_then(|(_, name)| name.as_str()) {
                let (namespace, service) = (namespace.to_owned(), name.to_owned());
                found.push(Backend { namespace, service, port: BackendPort::Any });
            }
            for member in members.values() {
                collect_services(member, namespace, depth, found);
            }
        }
        _ => {}
    }
}

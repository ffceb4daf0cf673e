//! The objects around pods, as far as they matter: who selects pods, who names those, and of which class
//! they are.

mod backend;

use serde_json::Value;

pub(super) use self::backend::{Backend, BackendPort};

use super::pod::{items, texts};
use super::table::{Annotations, FrontTable};

/// Kinds of routes of Gateway API.
const GATEWAY_ROUTES: [&str; 5] = ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"];
/// An `IngressClass` with this annotation is for Ingresses without a class.
const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";
/// The class of an Ingress as it was written before `spec.ingressClassName`.
const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";
/// Annotations of ALB Ingresses that name Services.
const ALB_ACTIONS: &str = "alb.ingress.kubernetes.io/actions.";
/// Annotations that settings are read from, beside those of the table.
const SETTINGS: [&str; 3] =
    [ALB_ATTRIBUTES, "external-dns.alpha.kubernetes.io/ttl", "external-dns.kubernetes.io/ttl"];
pub(super) const ALB_ATTRIBUTES: &str = "alb.ingress.kubernetes.io/target-group-attributes";

/// What is around pods. Objects may be added in any order.
#[derive(Debug, Clone)]
pub struct Surroundings<'t> {
    pub(super) table: &'t FrontTable,
    /// For objects that do not say.
    default_namespace: String,
    pub(super) services: Vec<Service>,
    pub(super) ingresses: Vec<Ingress>,
    pub(super) routes: Vec<Route>,
    pub(super) bindings: Vec<Binding>,
    pub(super) gateways: Vec<Gateway>,
    pub(super) ingress_classes: Vec<Class>,
    pub(super) gateway_classes: Vec<Class>,
}

/// A Service that selects pods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) selector: Vec<(String, String)>,
    pub(super) ports: Vec<ServicePort>,
    pub(super) of_type: String,
    pub(super) is_headless: bool,
    pub(super) publish_not_ready_addresses: bool,
    pub(super) external_traffic_policy: String,
    pub(super) internal_traffic_policy: String,
    pub(super) class: Option<String>,
    pub(super) annotations: Annotations,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServicePort {
    pub(super) name: String,
    pub(super) number: Option<i64>,
    pub(super) protocol: String,
    /// The name of the containers' port; `None` where it is a number.
    pub(super) target: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ingress {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) class: Option<String>,
    pub(super) annotations: Annotations,
    pub(super) backends: Vec<Backend>,
}

/// A route of Gateway API, or of a vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) kind: String,
    /// `Kind.group`, for the table; `None` for Gateway API.
    pub(super) vendor_kind: Option<String>,
    pub(super) namespace: String,
    pub(super) name: String,
    /// The Gateways, by namespace and name.
    pub(super) parents: Vec<(String, String)>,
    pub(super) backends: Vec<Backend>,
}

/// A `TargetGroupBinding`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) backends: Vec<Backend>,
    /// For conditions on its fields.
    pub(super) object: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gateway {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) class: Option<String>,
}

/// An `IngressClass` or `GatewayClass`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Class {
    pub(super) name: String,
    pub(super) controller: Option<String>,
    pub(super) is_default: bool,
}

/// Namespace and name.
struct Names<'v> {
    namespace: &'v str,
    name: &'v str,
}

impl<'t> Surroundings<'t> {
    /// Nothing yet. `default_namespace` is for objects that do not say.
    #[must_use]
    pub fn new(table: &'t FrontTable, default_namespace: &str) -> Self {
        Self {
            table,
            default_namespace: default_namespace.to_owned(),
            services: Vec::new(),
            ingresses: Vec::new(),
            routes: Vec::new(),
            bindings: Vec::new(),
            gateways: Vec::new(),
            ingress_classes: Vec::new(),
            gateway_classes: Vec::new(),
        }
    }

    /// Takes an object, if it matters.
    pub fn add(&mut self, api_version: &str, kind: &str, object: &Value) {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let metadata = |field| object.pointer(field).and_then(Value::as_str);
        let names = Names {
            namespace: metadata("/metadata/namespace").unwrap_or(&self.default_namespace),
            name: metadata("/metadata/name").unwrap_or_default(),
        };
        match (group, kind) {
            ("", "Service") => self.services.extend(self.service(&names, object)),
            ("networking.k8s.io" | "extensions", "Ingress") => {
                self.ingresses.push(self.ingress(&names, object));
            }
            ("networking.k8s.io", "IngressClass") => {
                self.ingress_classes.push(class(&names, object, "/spec/controller"));
            }
            ("gateway.networking.k8s.io", "GatewayClass") => {
                self.gateway_classes.push(class(&names, object, "/spec/controllerName"));
            }
            ("gateway.networking.k8s.io", "Gateway") => {
                let class = text(object, "/spec/gatewayClassName").map(str::to_owned);
                let (namespace, name) = names.owned();
                self.gateways.push(Gateway { namespace, name, class });
            }
            ("gateway.networking.k8s.io", _) if GATEWAY_ROUTES.contains(&kind) => {
                self.routes.push(gateway_route(kind, &names, object));
            }
            ("elbv2.k8s.aws", "TargetGroupBinding") => {
                let backend = object.pointer("/spec/serviceRef");
                let backends = backend.and_then(|it| Backend::read(it, names.namespace));
                let (namespace, name) = names.owned();
                let backends = backends.into_iter().collect();
                self.bindings.push(Binding { namespace, name, backends, object: object.clone() });
            }
            _ => self.routes.extend(self.vendor_route(group, kind, &names, object)),
        }
    }

    fn service(&self, names: &Names<'_>, object: &Value) -> Option<Service> {
        let selector = texts(object.pointer("/spec/selector"));
        let of_type = text(object, "/spec/type").unwrap_or("ClusterIP");
        // Without a selector somebody else writes the endpoints.
        if selector.is_empty() || of_type == "ExternalName" {
            return None;
        }
        let spec = object.get("spec")?;
        let (namespace, name) = names.owned();
        let policy = |pointer| text(object, pointer).unwrap_or_default().to_owned();
        Some(Service {
            namespace,
            name,
            selector,
            ports: items(spec, "ports").map(ServicePort::read).collect(),
            of_type: of_type.to_owned(),
            is_headless: text(object, "/spec/clusterIP") == Some("None"),
            publish_not_ready_addresses: publishes_not_ready(object),
            external_traffic_policy: policy("/spec/externalTrafficPolicy"),
            internal_traffic_policy: policy("/spec/internalTrafficPolicy"),
            class: text(object, "/spec/loadBalancerClass").map(str::to_owned),
            annotations: self.annotations(object),
        })
    }

    fn ingress(&self, names: &Names<'_>, object: &Value) -> Ingress {
        let annotations = texts(object.pointer("/metadata/annotations"));
        let old_class = annotations.iter().find(|(key, _)| key == INGRESS_CLASS);
        let class = text(object, "/spec/ingressClassName");
        let class = class.map(str::to_owned).or_else(|| old_class.map(|(_, name)| name.clone()));
        let places =
            ["/spec/defaultBackend", "/spec/backend", "/spec/rules/*/http/paths/*/backend"];
        let backends = places.iter().flat_map(|place| backend::places(object, place));
        let mut backends: Vec<_> = backends
            .filter_map(|it| Backend::read(it.get("service").unwrap_or(it), names.namespace))
            .collect();
        let actions = annotations.iter().filter(|(key, _)| key.starts_with(ALB_ACTIONS));
        for (_, action) in actions {
            backends.extend(backend::of_alb_action(action, names.namespace));
        }
        let (namespace, name) = names.owned();
        Ingress { namespace, name, class, annotations: self.annotations(object), backends }
    }

    fn vendor_route(
        &self,
        group: &str,
        kind: &str,
        names: &Names<'_>,
        object: &Value,
    ) -> Option<Route> {
        let vendor_kind = format!("{kind}.{group}");
        let backends: Vec<_> = self
            .table
            .backends(&vendor_kind)
            .flat_map(|place| backend::places(object, place))
            .filter_map(|backend| Backend::read(backend, names.namespace))
            .collect();
        if backends.is_empty() {
            return None;
        }
        let (namespace, name) = names.owned();
        let vendor_kind = Some(vendor_kind);
        Some(Route {
            kind: kind.to_owned(),
            vendor_kind,
            namespace,
            name,
            parents: Vec::new(),
            backends,
        })
    }

    /// The annotations that the table or a setting looks at.
    fn annotations(&self, object: &Value) -> Annotations {
        let mut all = texts(object.pointer("/metadata/annotations"));
        let is_read = |key: &str| SETTINGS.contains(&key) || self.table.looks_at_annotation(key);
        all.retain(|(key, _)| is_read(key));
        all
    }
}

impl Names<'_> {
    fn owned(&self) -> (String, String) {
        (self.namespace.to_owned(), self.name.to_owned())
    }
}

impl ServicePort {
    fn read(port: &Value) -> Self {
        let of = |field: &str| port.get(field).and_then(Value::as_str).map(str::to_owned);
        let target = of("targetPort").filter(|target| target.parse::<u16>().is_err());
        Self {
            name: of("name").unwrap_or_default(),
            number: port.get("port").and_then(Value::as_i64),
            protocol: of("protocol").unwrap_or_else(|| "TCP".to_owned()),
            target,
        }
    }
}

fn gateway_route(kind: &str, names: &Names<'_>, object: &Value) -> Route {
    let parents = backend::places(object, "/spec/parentRefs/*").into_iter();
    // A route of a mesh has a Service as its parent.
    let parents = parents.filter(|parent| {
        parent.get("kind").and_then(Value::as_str).unwrap_or("Gateway") != "Service"
    });
    let parents = parents.map(|parent| {
        let namespace = parent.get("namespace").and_then(Value::as_str);
        let name = parent.get("name").and_then(Value::as_str).unwrap_or_default();
        (namespace.unwrap_or(names.namespace).to_owned(), name.to_owned())
    });
    let backends = backend::places(object, "/spec/rules/*/backendRefs/*").into_iter();
    let backends = backends.filter_map(|backend| Backend::read(backend, names.namespace));
    Route {
        kind: kind.to_owned(),
        vendor_kind: None,
        namespace: names.namespace.to_owned(),
        name: names.name.to_owned(),
        parents: parents.collect(),
        backends: backends.collect(),
    }
}

fn class(names: &Names<'_>, object: &Value, controller: &str) -> Class {
    let annotations = texts(object.pointer("/metadata/annotations"));
    Class {
        name: names.name.to_owned(),
        controller: text(object, controller).map(str::to_owned),
        is_default: annotations.iter().any(|(key, value)| key == DEFAULT_CLASS && value == "true"),
    }
}

/// The field, or the annotation that it replaced.
fn publishes_not_ready(service: &Value) -> bool {
    const ANNOTATION: &str = "service.alpha.kubernetes.io/tolerate-unready-endpoints";
    let annotations = service.pointer("/metadata/annotations");
    service.pointer("/spec/publishNotReadyAddresses") == Some(&Value::Bool(true))
        || annotations.and_then(|it| it.get(ANNOTATION)?.as_str()) == Some("true")
}

fn text<'v>(object: &'v Value, pointer: &str) -> Option<&'v str> {
    object.pointer(pointer)?.as_str()
}

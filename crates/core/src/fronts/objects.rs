//! The objects around pods, with the fields that matter: Services that select pods, objects that
//! send requests to these Services, and their classes. Indexed by namespace and label, because the
//! webhook searches them for every pod.

mod backend;

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use serde_json::{Value, json};

pub(super) use self::backend::{Backend, BackendPort};

use super::pod::{is_generated, items, texts};
use super::search::bounded;
use super::table::{Annotations, FrontKind, FrontTable, RecognisedBy, Subject, Withdrawal};

const GATEWAY_API: &str = "gateway.networking.k8s.io";
/// Key for Services that select pods only by labels that controllers add.
const ANY_POD: u64 = 0;
/// Kinds of routes in Gateway API.
const GATEWAY_ROUTES: [&str; 5] = ["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"];
/// Annotation of an `IngressClass` that is used for Ingresses without a class.
const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";
/// Annotation for the class of an Ingress, which `spec.ingressClassName` replaced.
const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";
/// Prefix of annotations of ALB Ingresses that name Services.
const ALB_ACTIONS: &str = "alb.ingress.kubernetes.io/actions.";
/// Annotations with settings that are read in addition to those of the table.
const SETTINGS: [&str; 3] =
    [ALB_ATTRIBUTES, "external-dns.alpha.kubernetes.io/ttl", "external-dns.kubernetes.io/ttl"];
pub(super) const ALB_ATTRIBUTES: &str = "alb.ingress.kubernetes.io/target-group-attributes";

/// The objects around pods. They may be added in any order.
#[derive(Debug, Clone)]
pub struct Surroundings<'t> {
    pub(super) table: &'t FrontTable,
    /// Namespace for objects without `metadata.namespace`.
    default_namespace: String,
    spaces: HashMap<String, Space<'t>>,
    pub(super) ingress_classes: Vec<Class>,
    pub(super) gateway_classes: Vec<Class>,
}

/// The known objects of one namespace.
#[derive(Debug, Clone, Default)]
struct Space<'t> {
    name: Arc<str>,
    /// Services by the hash of a label that the pods themselves must have; by [`ANY_POD`] if
    /// controllers add all selected labels.
    services: HashMap<u64, Vec<Service<'t>>>,
    /// Senders to a Service of this namespace, by the Service's name. A sender may be in another
    /// namespace.
    senders: HashMap<String, Vec<(Arc<Sender>, BackendPort)>>,
    gateways: Vec<Gateway>,
}

/// An object that sends requests to Services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sender {
    Ingress(Ingress),
    Route(Route),
    Binding(Binding),
}

/// A Service that selects pods. A webhook keeps thousands of them, so the fronts that the Service
/// itself represents are determined when it is added, and only these are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Service<'t> {
    pub(super) namespace: Arc<str>,
    pub(super) name: Box<str>,
    pub(super) selector: Selector,
    pub(super) ports: Box<[ServicePort]>,
    pub(super) fronts: Box<[ServiceFront<'t>]>,
    /// The annotations that determine which front an Ingress is, and those with settings.
    pub(super) annotations: Annotations,
}

/// Selected labels in a single string: keys and values, each followed by a zero byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Selector(Box<str>);

/// A front that a Service itself represents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServiceFront<'t> {
    pub(super) kind: &'t FrontKind,
    pub(super) withdrawal: Withdrawal,
    /// The setting that limits the time for which it sends.
    pub(super) setting: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServicePort {
    pub(super) name: Box<str>,
    pub(super) number: Option<i64>,
    pub(super) protocol: Cow<'static, str>,
    /// The name of the containers' port; `None` if the target is a number.
    pub(super) target: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ingress {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) class: Option<String>,
    pub(super) annotations: Annotations,
}

/// A route of Gateway API or of a vendor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) kind: String,
    /// `Kind.group`, for conditions of the table; `None` for Gateway API.
    pub(super) vendor_kind: Option<String>,
    pub(super) namespace: String,
    pub(super) name: String,
    /// The Gateways, by namespace and name.
    pub(super) parents: Vec<(String, String)>,
}

/// A `TargetGroupBinding`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) namespace: String,
    pub(super) name: String,
    /// The object, for conditions on its fields.
    pub(super) object: Value,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Gateway {
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

/// Namespace and name of an object.
struct Names<'v> {
    namespace: &'v str,
    name: &'v str,
}

impl<'t> Surroundings<'t> {
    /// Creates a collection without objects. `default_namespace` is for objects without
    /// `metadata.namespace`.
    #[must_use]
    pub fn new(table: &'t FrontTable, default_namespace: &str) -> Self {
        Self {
            table,
            default_namespace: default_namespace.to_owned(),
            spaces: HashMap::new(),
            ingress_classes: Vec::new(),
            gateway_classes: Vec::new(),
        }
    }

    /// Adds an object, if it matters. Several objects with the same name are all kept, because
    /// manifests can contain variants.
    pub fn add(&mut self, api_version: &str, kind: &str, object: &Value) {
        let group = group(api_version);
        let metadata = |field| object.pointer(field).and_then(Value::as_str);
        let default_namespace = self.default_namespace.clone();
        let names = Names {
            namespace: metadata("/metadata/namespace").unwrap_or(&default_namespace),
            name: metadata("/metadata/name").unwrap_or_default(),
        };
        match (group, kind) {
            ("", "Service") => {
                if let Some(mut service) = self.service(&names, object) {
                    let space = self.space(names.namespace);
                    service.namespace = space.name.clone();
                    space.add_service(service);
                }
            }
            ("networking.k8s.io" | "extensions", "Ingress") => {
                let (ingress, backends) = self.ingress(&names, object);
                self.add_sender(Sender::Ingress(ingress), backends);
            }
            ("networking.k8s.io", "IngressClass") => {
                self.ingress_classes.push(class(&names, object, "/spec/controller"));
            }
            (GATEWAY_API, "GatewayClass") => {
                self.gateway_classes.push(class(&names, object, "/spec/controllerName"));
            }
            (GATEWAY_API, "Gateway") => {
                let class = text(object, "/spec/gatewayClassName").map(str::to_owned);
                let name = names.name.to_owned();
                self.space(names.namespace).gateways.push(Gateway { name, class });
            }
            (GATEWAY_API, _) if GATEWAY_ROUTES.contains(&kind) => {
                let (route, backends) = gateway_route(kind, &names, object);
                self.add_sender(Sender::Route(route), backends);
            }
            ("elbv2.k8s.aws" | "eks.amazonaws.com", "TargetGroupBinding") => {
                let backend = object.pointer("/spec/serviceRef");
                let backends = backend.and_then(|it| Backend::read(it, names.namespace));
                let (namespace, name) = names.owned();
                let object = json!({"spec": object.get("spec")});
                let binding = Sender::Binding(Binding { namespace, name, object });
                self.add_sender(binding, backends.into_iter().collect());
            }
            _ => {
                if let Some((route, backends)) = self.vendor_route(group, kind, &names, object) {
                    self.add_sender(Sender::Route(route), backends);
                }
            }
        }
    }

    /// Replaces the object with the same kind and name, for callers that follow changes.
    pub fn replace(&mut self, api_version: &str, kind: &str, object: &Value) {
        let metadata = |field| object.pointer(field).and_then(Value::as_str).unwrap_or_default();
        let (namespace, name) = (metadata("/metadata/namespace"), metadata("/metadata/name"));
        self.remove(api_version, kind, namespace, name);
        self.add(api_version, kind, object);
    }

    /// Removes an object. `namespace` is empty for kinds without namespaces.
    pub fn remove(&mut self, api_version: &str, kind: &str, namespace: &str, name: &str) {
        let is_other = |of: &str| !of.is_empty() && of != namespace;
        let mut keeps = |of: &str, own: &str| is_other(of) || own != name;
        // Other kinds may be in any namespace: senders are kept with their Services.
        if !matches!(kind, "Service" | "Gateway") {
            return self.retain(api_version, kind, keeps);
        }
        if let Entry::Occupied(mut space) = self.spaces.entry(namespace.to_owned()) {
            space.get_mut().retain(kind, namespace, &mut keeps);
            if space.get().is_empty() {
                space.remove();
            }
        }
    }

    /// Keeps only those objects of a kind for which `keeps` is true. Its arguments are namespace
    /// and name; the namespace is empty for kinds without namespaces.
    pub fn retain(
        &mut self,
        api_version: &str,
        kind: &str,
        mut keeps: impl FnMut(&str, &str) -> bool,
    ) {
        match (group(api_version), kind) {
            ("networking.k8s.io", "IngressClass") => {
                self.ingress_classes.retain(|class| keeps("", &class.name));
            }
            (GATEWAY_API, "GatewayClass") => {
                self.gateway_classes.retain(|class| keeps("", &class.name));
            }
            _ => self.spaces.retain(|namespace, space| {
                space.retain(kind, namespace, &mut keeps);
                !space.is_empty()
            }),
        }
    }

    /// Returns the Services that may select pods of a namespace with these labels.
    pub(super) fn candidates<'s>(
        &'s self,
        namespace: &str,
        labels: &[(String, String)],
    ) -> impl Iterator<Item = &'s Service<'t>> {
        let space = self.spaces.get(namespace);
        let keys = labels.iter().map(|(key, value)| hash(key, value)).chain([ANY_POD]);
        let buckets = keys.filter_map(move |key| space?.services.get(&key));
        buckets.flatten()
    }

    /// Returns the senders to a Service, each with the port of the Service that it sends to.
    pub(super) fn senders(
        &self,
        namespace: &str,
        service: &str,
    ) -> impl Iterator<Item = (&Sender, &BackendPort)> {
        let senders = self.spaces.get(namespace).and_then(|space| space.senders.get(service));
        senders.into_iter().flatten().map(|(sender, port)| (&**sender, port))
    }

    /// Returns the Gateways with a name. There is only one, unless manifests contain variants.
    pub(super) fn gateways(&self, namespace: &str, name: &str) -> Vec<&Gateway> {
        let all = self.spaces.get(namespace).into_iter().flat_map(|space| &space.gateways);
        all.filter(|gateway| gateway.name == name).collect()
    }

    fn space(&mut self, namespace: &str) -> &mut Space<'t> {
        let entry = self.spaces.entry(namespace.to_owned());
        entry.or_insert_with(|| Space { name: namespace.into(), ..Space::default() })
    }

    fn add_sender(&mut self, sender: Sender, backends: Vec<Backend>) {
        let sender = Arc::new(sender);
        for Backend { namespace, service, port } in backends {
            let senders = &mut self.space(&namespace).senders;
            push(senders.entry(service), (sender.clone(), port));
        }
    }

    fn service(&self, names: &Names<'_>, object: &Value) -> Option<Service<'t>> {
        let selector = texts(object.pointer("/spec/selector"));
        let of_type = text(object, "/spec/type").unwrap_or("ClusterIP");
        // Without a selector, the endpoints are written by another controller.
        if selector.is_empty() || of_type == "ExternalName" {
            return None;
        }
        let spec = object.get("spec")?;
        let annotations = self.annotations(object);
        let policy = |pointer| text(object, pointer).unwrap_or_default();
        let subject = Subject {
            service_type: of_type,
            headless: text(object, "/spec/clusterIP") == Some("None"),
            publish_not_ready_addresses: publishes_not_ready(object),
            external_traffic_policy: policy("/spec/externalTrafficPolicy"),
            internal_traffic_policy: policy("/spec/internalTrafficPolicy"),
            class: Some(text(object, "/spec/loadBalancerClass").unwrap_or_default()),
            annotations: &annotations,
            ..Subject::default()
        };
        let fronts = self.table.of(RecognisedBy::Service, &subject).into_iter().map(|kind| {
            let (withdrawal, setting) = bounded(kind, &subject);
            ServiceFront { kind, withdrawal, setting: setting.map(Into::into) }
        });
        let fronts = fronts.collect();
        let is_read =
            |key: &str| SETTINGS.contains(&key) || self.table.looks_at_annotation_of_service(key);
        Some(Service {
            namespace: names.namespace.into(),
            name: names.name.into(),
            selector: Selector::new(&selector),
            ports: items(spec, "ports").map(ServicePort::read).collect(),
            fronts,
            annotations: annotations.iter().filter(|(key, _)| is_read(key)).cloned().collect(),
        })
    }

    fn ingress(&self, names: &Names<'_>, object: &Value) -> (Ingress, Vec<Backend>) {
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
        (Ingress { namespace, name, class, annotations: self.annotations(object) }, backends)
    }

    fn vendor_route(
        &self,
        group: &str,
        kind: &str,
        names: &Names<'_>,
        object: &Value,
    ) -> Option<(Route, Vec<Backend>)> {
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
        let kind = kind.to_owned();
        Some((Route { kind, vendor_kind, namespace, name, parents: Vec::new() }, backends))
    }

    /// Returns the annotations that the table or a setting reads.
    fn annotations(&self, object: &Value) -> Annotations {
        let mut all = texts(object.pointer("/metadata/annotations"));
        let is_read = |key: &str| SETTINGS.contains(&key) || self.table.looks_at_annotation(key);
        all.retain(|(key, _)| is_read(key));
        all.shrink_to_fit();
        all
    }
}

impl<'t> Space<'t> {
    /// Adds a Service under the one of its labels that the fewest other Services use here.
    fn add_service(&mut self, service: Service<'t>) {
        let own = service.selector.labels().filter(|(key, _)| !is_generated(key));
        let keys = own.map(|(key, value)| hash(key, value));
        let rarest = keys.min_by_key(|key| self.services.get(key).map_or(0, Vec::len));
        push(self.services.entry(rarest.unwrap_or(ANY_POD)), service);
    }

    fn retain(&mut self, kind: &str, namespace: &str, keeps: &mut impl FnMut(&str, &str) -> bool) {
        match kind {
            "Service" => self.services.retain(|_, services| {
                services.retain(|service| keeps(namespace, &service.name));
                !services.is_empty()
            }),
            "Gateway" => self.gateways.retain(|gateway| keeps(namespace, &gateway.name)),
            _ => self.senders.retain(|_, senders| {
                senders.retain(|(sender, _)| {
                    let (own, namespace, name) = sender.names();
                    own != kind || keeps(namespace, name)
                });
                !senders.is_empty()
            }),
        }
    }

    fn is_empty(&self) -> bool {
        self.services.is_empty() && self.senders.is_empty() && self.gateways.is_empty()
    }
}

impl Selector {
    fn new(labels: &[(String, String)]) -> Self {
        let pieces = labels.iter().flat_map(|(key, value)| [key, "\0", value, "\0"]);
        Self(pieces.collect::<String>().into())
    }

    /// Iterates over keys and values.
    pub(super) fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut pieces = self.0.split_terminator('\0');
        std::iter::from_fn(move || Some((pieces.next()?, pieces.next()?)))
    }
}

impl Sender {
    /// Returns kind, namespace and name.
    pub(super) fn names(&self) -> (&str, &str, &str) {
        match self {
            Self::Ingress(ingress) => ("Ingress", &ingress.namespace, &ingress.name),
            Self::Route(route) => (&route.kind, &route.namespace, &route.name),
            Self::Binding(binding) => ("TargetGroupBinding", &binding.namespace, &binding.name),
        }
    }
}

impl Names<'_> {
    fn owned(&self) -> (String, String) {
        (self.namespace.to_owned(), self.name.to_owned())
    }
}

impl ServicePort {
    fn read(port: &Value) -> Self {
        let of = |field: &str| port.get(field).and_then(Value::as_str);
        let target = of("targetPort").filter(|target| target.parse::<u16>().is_err());
        let protocol = of("protocol").unwrap_or("TCP");
        let usual = ["TCP", "UDP", "SCTP"].into_iter().find(|usual| *usual == protocol);
        Self {
            name: of("name").unwrap_or_default().into(),
            number: port.get("port").and_then(Value::as_i64),
            protocol: usual.map_or_else(|| protocol.to_owned().into(), Cow::Borrowed),
            target: target.map(Into::into),
        }
    }
}

/// Appends an item to a list. Most lists have one item, and a vector would reserve room for four.
fn push<K, T>(entry: Entry<'_, K, Vec<T>>, item: T) {
    entry.or_insert_with(|| Vec::with_capacity(1)).push(item);
}

fn group(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

/// Hashes a label; the result is never [`ANY_POD`].
fn hash(key: &str, value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (key, value).hash(&mut hasher);
    hasher.finish() | 1
}

fn gateway_route(kind: &str, names: &Names<'_>, object: &Value) -> (Route, Vec<Backend>) {
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
    let route = Route {
        kind: kind.to_owned(),
        vendor_kind: None,
        namespace: names.namespace.to_owned(),
        name: names.name.to_owned(),
        parents: parents.collect(),
    };
    (route, backends.collect())
}

fn class(names: &Names<'_>, object: &Value, controller: &str) -> Class {
    let annotations = texts(object.pointer("/metadata/annotations"));
    Class {
        name: names.name.to_owned(),
        controller: text(object, controller).map(str::to_owned),
        is_default: annotations.iter().any(|(key, value)| key == DEFAULT_CLASS && value == "true"),
    }
}

/// Returns whether the Service sets the field, or the annotation that preceded it.
fn publishes_not_ready(service: &Value) -> bool {
    const ANNOTATION: &str = "service.alpha.kubernetes.io/tolerate-unready-endpoints";
    let annotations = service.pointer("/metadata/annotations");
    service.pointer("/spec/publishNotReadyAddresses") == Some(&Value::Bool(true))
        || annotations.and_then(|it| it.get(ANNOTATION)?.as_str()) == Some("true")
}

fn text<'v>(object: &'v Value, pointer: &str) -> Option<&'v str> {
    object.pointer(pointer)?.as_str()
}

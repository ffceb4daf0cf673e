//! The table of fronts: how each is recognised, for how long it keeps sending, and why.

use std::fmt;
use std::sync::LazyLock;

use serde_json::Value;

use super::format;
use super::pattern::Pattern;
use crate::duration::Delay;

/// Fronts in the order in which they are tried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrontTable {
    kinds: Vec<FrontKind>,
}

/// A kind of front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontKind {
    /// Unique name, used in reports.
    pub name: String,
    /// Name for people.
    pub title: String,
    /// The kind of object by which it is recognised.
    pub object: RecognisedBy,
    /// Whether this front applies in addition to the first entry that matches.
    pub adds: bool,
    /// Conditions, of which at least one has to be true.
    pub when: Vec<Condition>,
    /// For routes: JSON pointers to the names of their Services, with `*` for each item of a list.
    pub backends: Vec<String>,
    /// The time for which it keeps sending.
    pub withdrawal: Withdrawal,
    /// A setting of the object that makes it stop sending earlier.
    pub bounded_by: Option<Bound>,
    /// Reason for this time, in one sentence.
    pub reason: String,
    /// Link to the source.
    pub link: String,
}

/// Kinds of objects by which fronts are recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecognisedBy {
    /// The pod.
    Pod,
    /// A Service that selects the pod.
    Service,
    /// An Ingress that names such a Service.
    Ingress,
    /// A Gateway to which a route to such a Service is attached.
    Gateway,
    /// A route of a vendor that names such a Service.
    Route,
    /// A `TargetGroupBinding` that names such a Service.
    TargetGroupBinding,
}

/// The time for which a front keeps sending to a terminating pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Withdrawal {
    /// The front stops within this delay.
    Within(Delay),
    /// The front sends until the pod is gone.
    Never,
}

/// A setting that makes a front stop sending earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// `deregistration_delay.timeout_seconds` of a target group.
    DeregistrationDelay,
    /// The time to live of the DNS records of `ExternalDNS`.
    RecordTtl,
}

/// A condition on an object; all fields have to match. Empty lists and `None` match everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// `spec.type` of a Service.
    pub types: Vec<Pattern>,
    /// `clusterIP: None`.
    pub headless: Option<bool>,
    /// `spec.publishNotReadyAddresses`.
    pub publish_not_ready_addresses: Option<bool>,
    /// `spec.externalTrafficPolicy`.
    pub external_traffic_policy: Option<Pattern>,
    /// `spec.internalTrafficPolicy`.
    pub internal_traffic_policy: Option<Pattern>,
    /// `spec.loadBalancerClass` of a Service; for Ingresses and Gateways the name of the class, if
    /// its controller is not known.
    pub classes: Vec<Pattern>,
    /// The controller of the `IngressClass` or `GatewayClass`.
    pub controllers: Vec<Pattern>,
    /// Annotations of the object: for each key, one of the values.
    pub annotations: Vec<(Pattern, Vec<Pattern>)>,
    /// Annotations of the Service that an Ingress names.
    pub service_annotations: Vec<(Pattern, Vec<Pattern>)>,
    /// `Kind.group` of a route.
    pub kinds: Vec<Pattern>,
    /// JSON pointers: for each, one of the values.
    pub fields: Vec<(String, Vec<Pattern>)>,
    /// `spec.readinessGates` of a pod.
    pub readiness_gates: Vec<Pattern>,
    /// Whether the pod has ports on its node.
    pub host_ports: Option<bool>,
}

/// Annotations that conditions of the table use.
pub(super) type Annotations = Vec<(String, String)>;

/// The object that is tested against conditions.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Subject<'a> {
    pub(super) service_type: &'a str,
    pub(super) headless: bool,
    pub(super) publish_not_ready_addresses: bool,
    pub(super) external_traffic_policy: &'a str,
    pub(super) internal_traffic_policy: &'a str,
    /// `None` if it does not matter, because the controller is known.
    pub(super) class: Option<&'a str>,
    pub(super) controller: Option<&'a str>,
    pub(super) annotations: &'a [(String, String)],
    pub(super) service_annotations: &'a [(String, String)],
    pub(super) kind: &'a str,
    pub(super) object: Option<&'a Value>,
    pub(super) readiness_gates: &'a [String],
    pub(super) host_ports: bool,
}

impl FrontTable {
    pub(super) const fn new(kinds: Vec<FrontKind>) -> Self {
        Self { kinds }
    }

    /// Returns the table that is compiled in.
    #[must_use]
    pub fn built_in() -> &'static Self {
        static BUILT_IN: LazyLock<FrontTable> = LazyLock::new(format::built_in);
        &BUILT_IN
    }

    /// Returns all entries, in the order in which they are tried.
    #[must_use]
    pub fn kinds(&self) -> &[FrontKind] {
        &self.kinds
    }

    /// Returns the fronts that an object represents: the first match, and those that apply in
    /// addition.
    pub(super) fn of(&self, object: RecognisedBy, subject: &Subject<'_>) -> Vec<&FrontKind> {
        let mut found = Vec::new();
        let mut has_first = false;
        for kind in self.kinds.iter().filter(|kind| kind.object == object) {
            if (kind.adds || !has_first) && kind.when.iter().any(|when| when.holds(subject)) {
                has_first |= !kind.adds;
                found.push(kind);
            }
        }
        found
    }

    /// Returns the front that a pod's readiness gate names.
    #[must_use]
    pub fn of_readiness_gate(&self, condition_type: &str) -> Option<&FrontKind> {
        let names = |kind: &&FrontKind| {
            let mut gates = kind.when.iter().flat_map(|condition| &condition.readiness_gates);
            gates.any(|gate| gate.matches(condition_type))
        };
        self.kinds.iter().filter(|kind| kind.object == RecognisedBy::Pod).find(names)
    }

    /// Returns whether any condition reads annotations with this key.
    pub(super) fn looks_at_annotation(&self, key: &str) -> bool {
        let conditions = self.kinds.iter().flat_map(|kind| &kind.when);
        let mut keys =
            conditions.flat_map(|it| it.annotations.iter().chain(&it.service_annotations));
        keys.any(|(pattern, _)| pattern.matches(key))
    }

    /// Returns whether the table may contain routes of an API group.
    #[must_use]
    pub fn has_routes_of(&self, group: &str) -> bool {
        let conditions = self.kinds.iter().flat_map(|kind| &kind.when);
        let mut kinds = conditions.flat_map(|condition| &condition.kinds).map(ToString::to_string);
        kinds.any(|kind| {
            kind.split_once('.').is_some_and(|(_, pattern)| Pattern::new(pattern).matches(group))
        })
    }

    /// Returns whether the table contains routes of a kind (`Kind.group`).
    #[must_use]
    pub fn knows_route(&self, kind: &str) -> bool {
        self.backends(kind).next().is_some()
    }

    /// Returns whether a Service's annotation with this key determines which front an Ingress is.
    pub(super) fn looks_at_annotation_of_service(&self, key: &str) -> bool {
        let conditions = self.kinds.iter().flat_map(|kind| &kind.when);
        let mut keys = conditions.flat_map(|condition| &condition.service_annotations);
        keys.any(|(pattern, _)| pattern.matches(key))
    }

    /// Returns the JSON pointers to the Services in routes of a kind (`Kind.group`).
    pub(super) fn backends<'t>(&'t self, kind: &str) -> impl Iterator<Item = &'t str> {
        let subject = Subject { kind, ..Subject::default() };
        let route = self.of(RecognisedBy::Route, &subject).into_iter().next();
        route.into_iter().flat_map(|route| &route.backends).map(String::as_str)
    }
}

impl Condition {
    fn holds(&self, subject: &Subject<'_>) -> bool {
        one_of(&self.types, subject.service_type)
            && self.headless.is_none_or(|it| it == subject.headless)
            && self
                .publish_not_ready_addresses
                .is_none_or(|it| it == subject.publish_not_ready_addresses)
            && one_of(self.external_traffic_policy.as_slice(), subject.external_traffic_policy)
            && one_of(self.internal_traffic_policy.as_slice(), subject.internal_traffic_policy)
            && (self.classes.is_empty() || known_one_of(&self.classes, subject.class))
            && (self.controllers.is_empty() || known_one_of(&self.controllers, subject.controller))
            && has_all(&self.annotations, subject.annotations)
            && has_all(&self.service_annotations, subject.service_annotations)
            && one_of(&self.kinds, subject.kind)
            && self.fields.iter().all(|(pointer, values)| {
                let value = subject.object.and_then(|object| object.pointer(pointer));
                value.and_then(Value::as_str).is_some_and(|value| one_of(values, value))
            })
            && (self.readiness_gates.is_empty()
                || subject.readiness_gates.iter().any(|gate| one_of(&self.readiness_gates, gate)))
            && self.host_ports.is_none_or(|it| it == subject.host_ports)
    }
}

fn one_of(patterns: &[Pattern], text: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(text))
}

fn known_one_of(patterns: &[Pattern], text: Option<&str>) -> bool {
    text.is_some_and(|text| one_of(patterns, text))
}

fn has_all(wanted: &[(Pattern, Vec<Pattern>)], annotations: &[(String, String)]) -> bool {
    wanted.iter().all(|(key, values)| {
        annotations.iter().any(|(own, value)| key.matches(own) && one_of(values, value))
    })
}

impl RecognisedBy {
    /// A word for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Service => "service",
            Self::Ingress => "ingress",
            Self::Gateway => "gateway",
            Self::Route => "route",
            Self::TargetGroupBinding => "target-group-binding",
        }
    }
}

/// Prints the condition for documents and reports: `type LoadBalancer, class service.k8s.aws/nlb`.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let any = |patterns: &[Pattern]| {
            patterns.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
        };
        let mut parts: Vec<String> = Vec::new();
        let lists = [
            ("type", &self.types),
            ("class", &self.classes),
            ("controller", &self.controllers),
            ("kind", &self.kinds),
            ("readiness gate", &self.readiness_gates),
        ];
        let lists = lists.into_iter().filter(|(_, patterns)| !patterns.is_empty());
        parts.extend(lists.map(|(name, patterns)| match any(patterns).as_str() {
            "" => format!("no {name}"),
            one_of => format!("{name} {one_of}"),
        }));
        let flags = [
            ("clusterIP: None", self.headless),
            ("publishNotReadyAddresses", self.publish_not_ready_addresses),
            ("hostPort or hostNetwork", self.host_ports),
        ];
        let flags = flags.into_iter().filter_map(|(name, flag)| Some((name, flag?)));
        parts.extend(flags.map(|(name, flag)| format!("{}{name}", if flag { "" } else { "not " })));
        let policies = [
            ("externalTrafficPolicy", &self.external_traffic_policy),
            ("internalTrafficPolicy", &self.internal_traffic_policy),
        ];
        let policies =
            policies.into_iter().filter_map(|(name, policy)| Some((name, policy.as_ref()?)));
        parts.extend(policies.map(|(name, policy)| format!("{name} {policy}")));
        let annotations = [("", &self.annotations), ("of the Service ", &self.service_annotations)];
        for (of, annotations) in annotations {
            let each = annotations.iter();
            parts
                .extend(each.map(|(key, values)| format!("annotation {of}{key}: {}", any(values))));
        }
        parts.extend(self.fields.iter().map(|(place, values)| format!("{place}: {}", any(values))));
        if parts.is_empty() { f.write_str("any") } else { f.write_str(&parts.join(", ")) }
    }
}

impl fmt::Display for Withdrawal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within(delay) => delay.fmt(f),
            Self::Never => f.pad("never"),
        }
    }
}

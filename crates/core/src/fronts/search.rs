//! The search from a pod to the Services that select it, and from these to all objects that send to
//! them.

use super::objects::{
    ALB_ATTRIBUTES, BackendPort, Class, Ingress, Route, Sender, Service, ServicePort, Surroundings,
};
use super::pod::PodShape;
use super::table::{Bound, FrontKind, RecognisedBy, Subject, Withdrawal};
use super::{Front, ObjectName};
use crate::duration::{self, Delay};

impl<'t> Surroundings<'t> {
    /// Returns the fronts of a pod, the slowest first.
    #[must_use]
    pub fn fronts(&self, pod: &PodShape) -> Vec<Front<'t>> {
        let mut found = Vec::new();
        let subject = Subject {
            readiness_gates: &pod.readiness_gates,
            host_ports: pod.has_host_ports,
            ..Subject::default()
        };
        self.recognise(RecognisedBy::Pod, &subject, &[], None, &mut found);
        for service in self.services_of(pod) {
            if !service.is_only_scraped(pod) {
                found.extend(service.found());
            }
            for (sender, port) in self.senders(&service.namespace, &service.name) {
                if service.serves(pod, port) {
                    self.of_sender(sender, service, &mut found);
                }
            }
        }
        found.sort_by(|one, other| one.order().cmp(&other.order()));
        found.dedup();
        found
    }

    fn services_of(&self, pod: &PodShape) -> Vec<&Service<'t>> {
        let selects = |service: &&Service<'_>| {
            service.selector.labels().all(|(key, value)| pod.has_label(key, value))
                && service.serves(pod, &BackendPort::Any)
        };
        self.candidates(&pod.namespace, &pod.labels).filter(selects).collect()
    }

    fn of_sender(&self, sender: &Sender, service: &Service<'_>, found: &mut Vec<Front<'t>>) {
        match sender {
            Sender::Ingress(ingress) => self.of_ingress(ingress, service, found),
            Sender::Route(route) => self.of_route(route, service, found),
            Sender::Binding(binding) => {
                let path = [
                    name("TargetGroupBinding", &binding.namespace, &binding.name),
                    service.object_name(),
                ];
                let subject = Subject { object: Some(&binding.object), ..Subject::default() };
                self.recognise(RecognisedBy::TargetGroupBinding, &subject, &path, None, found);
            }
        }
    }

    fn of_ingress(&self, ingress: &Ingress, service: &Service<'_>, found: &mut Vec<Front<'t>>) {
        let path = [name("Ingress", &ingress.namespace, &ingress.name), service.object_name()];
        for (class, controller) in self.ingress_classes_of(ingress) {
            let subject = Subject {
                class: if controller.is_some() { None } else { Some(class.unwrap_or_default()) },
                controller,
                annotations: &ingress.annotations,
                service_annotations: &service.annotations,
                ..Subject::default()
            };
            let detail = match (class, controller) {
                (None, _) => Some("it has no class, and no IngressClass is the default".to_owned()),
                (Some(class), None) => Some(format!("class {class}; the IngressClass is missing")),
                (Some(class), Some(_)) => Some(format!("class {class}")),
            };
            self.recognise(RecognisedBy::Ingress, &subject, &path, detail.as_deref(), found);
        }
    }

    /// Returns the names and controllers of an Ingress' classes; more than one if several classes
    /// are the default.
    fn ingress_classes_of<'a>(
        &'a self,
        ingress: &'a Ingress,
    ) -> Vec<(Option<&'a str>, Option<&'a str>)> {
        let Some(class) = ingress.class.as_deref() else {
            let defaults = self.ingress_classes.iter().filter(|class| class.is_default);
            let defaults: Vec<_> = defaults
                .map(|class| (Some(class.name.as_str()), class.controller.as_deref()))
                .collect();
            return if defaults.is_empty() { vec![(None, None)] } else { defaults };
        };
        let controllers = controllers(&self.ingress_classes, class);
        controllers.into_iter().map(|controller| (Some(class), controller)).collect()
    }

    fn of_route(&self, route: &Route, service: &Service<'_>, found: &mut Vec<Front<'t>>) {
        let own = name(&route.kind, &route.namespace, &route.name);
        if let Some(kind) = &route.vendor_kind {
            let subject = Subject { kind, ..Subject::default() };
            let path = [own, service.object_name()];
            return self.recognise(RecognisedBy::Route, &subject, &path, None, found);
        }
        for (namespace, gateway) in &route.parents {
            let path = [name("Gateway", namespace, gateway), own.clone(), service.object_name()];
            let known = self.gateways(namespace, gateway);
            if known.is_empty() {
                let detail = "the Gateway is missing";
                self.recognise(
                    RecognisedBy::Gateway,
                    &Subject::default(),
                    &path,
                    Some(detail),
                    found,
                );
                continue;
            }
            for class in known.iter().map(|gateway| gateway.class.as_deref().unwrap_or_default()) {
                for controller in controllers(&self.gateway_classes, class) {
                    let detail = Some(match controller {
                        Some(controller) => format!("class {class}, controller {controller}"),
                        None => format!("class {class}; the GatewayClass is missing"),
                    });
                    let by_name = if controller.is_some() { None } else { Some(class) };
                    let subject = Subject { class: by_name, controller, ..Subject::default() };
                    self.recognise(
                        RecognisedBy::Gateway,
                        &subject,
                        &path,
                        detail.as_deref(),
                        found,
                    );
                }
            }
        }
    }

    /// Adds the fronts that an object represents.
    fn recognise(
        &self,
        object: RecognisedBy,
        subject: &Subject<'_>,
        path: &[ObjectName],
        detail: Option<&str>,
        found: &mut Vec<Front<'t>>,
    ) {
        for kind in self.table.of(object, subject) {
            let (withdrawal, setting) = bounded(kind, subject);
            let detail = setting.or_else(|| detail.map(str::to_owned));
            found.push(Front { kind, withdrawal, path: path.to_vec(), detail });
        }
    }
}

impl<'t> Service<'t> {
    /// Returns the fronts that the Service itself represents.
    fn found(&self) -> impl Iterator<Item = Front<'t>> {
        self.fronts.iter().map(|front| Front {
            kind: front.kind,
            withdrawal: front.withdrawal,
            path: vec![self.object_name()],
            detail: front.setting.as_deref().map(str::to_owned),
        })
    }

    /// Returns whether the pod has an endpoint for this port, or for any port.
    fn serves(&self, pod: &PodShape, port: &BackendPort) -> bool {
        let mut wanted = self.ports.iter().filter(|own| match port {
            BackendPort::Any => true,
            BackendPort::Number(number) => own.number == Some(*number),
            BackendPort::Name(name) => *own.name == **name,
        });
        // A headless Service needs no ports.
        let is_any = self.ports.is_empty() && *port == BackendPort::Any;
        is_any || wanted.any(|own| own.is_of(pod))
    }

    /// Returns whether all of its ports that lead to the pod are for monitoring or probes.
    fn is_only_scraped(&self, pod: &PodShape) -> bool {
        let mut own = self.ports.iter().filter(|own| own.is_of(pod)).peekable();
        own.peek().is_some() && own.all(ServicePort::is_scraped)
    }

    fn object_name(&self) -> ObjectName {
        name("Service", &self.namespace, &self.name)
    }
}

impl ServicePort {
    /// Returns whether the port leads to the pod. A target with a number always does; one with a
    /// name needs a container port with this name.
    fn is_of(&self, pod: &PodShape) -> bool {
        self.target.as_ref().is_none_or(|target| pod.has_port(target, &self.protocol))
    }
}

/// Returns the controllers of a class; a single unknown one if the class does not exist.
fn controllers<'a>(classes: &'a [Class], name: &str) -> Vec<Option<&'a str>> {
    let known = classes.iter().filter(|class| class.name == name);
    let known: Vec<_> = known.map(|class| class.controller.as_deref()).collect();
    if known.is_empty() { vec![None] } else { known }
}

/// Returns the time for which a front keeps sending, with the object's setting that limits it, if
/// there is one.
pub(super) fn bounded(kind: &FrontKind, subject: &Subject<'_>) -> (Withdrawal, Option<String>) {
    let (Withdrawal::Within(delay), Some(bound)) = (kind.withdrawal, kind.bounded_by) else {
        return (kind.withdrawal, None);
    };
    let annotations = || subject.annotations.iter().chain(subject.service_annotations);
    let setting = match bound {
        Bound::DeregistrationDelay => annotations()
            .filter(|(key, _)| key == ALB_ATTRIBUTES)
            .flat_map(|(_, value)| value.split(','))
            .filter_map(|attribute| attribute.split_once('='))
            .find(|(name, _)| name.trim() == "deregistration_delay.timeout_seconds")
            .and_then(|(_, seconds)| Some(("deregistration delay", seconds.trim().parse().ok()?))),
        Bound::RecordTtl => annotations()
            .find(|(key, _)| key.starts_with("external-dns.") && key.ends_with("/ttl"))
            .and_then(|(_, value)| Some(("time to live", duration::parse(value).ok()?.seconds))),
    };
    let Some((name, seconds)): Option<(&str, i64)> = setting.filter(|(_, seconds)| *seconds >= 0)
    else {
        return (kind.withdrawal, None);
    };
    let bounded = delay.least_seconds.saturating_add(seconds);
    let delay = Delay { most_seconds: delay.most_seconds.min(bounded), ..delay };
    (Withdrawal::Within(delay), Some(format!("{name} {}", duration::HumanSeconds(seconds))))
}

fn name(kind: &str, namespace: &str, name: &str) -> ObjectName {
    let [kind, namespace, name] = [kind, namespace, name].map(str::to_owned);
    ObjectName { kind, namespace, name }
}

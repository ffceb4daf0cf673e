//! A review's pod as Services see it. It is needed only for delays that depend on fronts, so it is
//! read from the text separately, at no cost for other reviews.

use crate::fronts::PodShape;
use crate::view::{self, FromJson, Items, Members, Shape, Text, view};

/// Limit for labels and for ports; further ones are ignored. Real pods have a few of each.
const MOST: usize = 1_000;

view! {
    /// A review.
    Review {
        /// `request`.
        request: Request<'a> = "request",
    }
}

view! {
    /// The request of a review.
    Request {
        /// `object`.
        object: Pod<'a> = "object",
    }
}

view! {
    /// The pod.
    Pod {
        /// `metadata`.
        metadata: Metadata<'a> = "metadata",
        /// `spec`.
        spec: Spec<'a> = "spec",
    }
}

view! {
    /// The pod's metadata.
    Metadata {
        /// `labels`.
        labels: Labels = "labels",
    }
}

view! {
    /// The pod's spec. Readiness gates are in the engine's view.
    Spec {
        /// `containers`.
        containers: Containers = "containers",
        /// `initContainers`.
        init_containers: NativeSidecars = "initContainers",
    }
}

view! {
    /// A container.
    Container {
        /// `restartPolicy`, `Always` for native sidecars.
        restart_policy: Text<'a> = "restartPolicy",
        /// `ports`.
        ports: Ports = "ports",
    }
}

view! {
    /// A port.
    Port {
        /// `name`; a port without a name is found by its number, for which the container does not
        /// have to be known.
        name: Text<'a> = "name",
        /// `protocol`.
        protocol: Text<'a> = "protocol",
    }
}

/// Keys and values of labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Labels(Vec<(String, String)>);

/// Names and protocols of the ports of regular containers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Containers(Vec<(String, String)>);

/// Names and protocols of the ports of native sidecars.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct NativeSidecars(Containers);

/// Names and protocols of ports.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Ports(Vec<(String, String)>);

/// Reads the pod from a review's text.
pub(super) fn pod_shape(review: &str, namespace: &str) -> PodShape {
    let review = view::read::<Review<'_>>(review).unwrap_or_default();
    let pod = review.value().and_then(|review| review.request.value()?.object.value());
    let labels = pod.and_then(|pod| pod.metadata.value()?.labels.value());
    let spec = pod.and_then(|pod| pod.spec.value());
    let containers = spec.and_then(|spec| spec.containers.value());
    let sidecars = spec.and_then(|spec| spec.init_containers.value());
    let ports = containers.into_iter().chain(sidecars.map(|sidecars| &sidecars.0));
    PodShape {
        namespace: namespace.to_owned(),
        labels: labels.map(|labels| labels.0.clone()).unwrap_or_default(),
        ports: ports.flat_map(|containers| containers.0.iter().cloned()).collect(),
        ..PodShape::default()
    }
}

impl<'a> FromJson<'a> for Labels {
    fn from_members<M: Members<'a>>(
        place: &mut Shape<Self>,
        members: &mut M,
    ) -> Result<(), M::Error> {
        let mut labels = Vec::new();
        while let Some(key) = members.next_key()? {
            let mut value: Shape<Text<'_>> = Shape::Absent;
            members.read(&mut value)?;
            if let Shape::Value(value) = value
                && labels.len() < MOST
            {
                labels.push((key.into_text().into_owned(), value.into_owned()));
            }
        }
        *place = Shape::Value(Self(labels));
        Ok(())
    }
}

impl<'a> FromJson<'a> for Ports {
    fn from_items<I: Items<'a>>(place: &mut Shape<Self>, items: &mut I) -> Result<(), I::Error> {
        let mut ports = Vec::new();
        let mut next: Shape<Port<'_>> = Shape::Absent;
        while items.read(&mut next)? {
            if let Shape::Value(port) = &next
                && let Some(name) = port.name.value()
                && ports.len() < MOST
            {
                let protocol = port.protocol.value().map_or("TCP", AsRef::as_ref);
                ports.push((name.to_string(), protocol.to_owned()));
            }
        }
        *place = Shape::Value(Self(ports));
        Ok(())
    }
}

impl<'a> FromJson<'a> for Containers {
    fn from_items<I: Items<'a>>(place: &mut Shape<Self>, items: &mut I) -> Result<(), I::Error> {
        let ports = ports(items, |_| true)?;
        *place = Shape::Value(Self(ports));
        Ok(())
    }
}

impl<'a> FromJson<'a> for NativeSidecars {
    fn from_items<I: Items<'a>>(place: &mut Shape<Self>, items: &mut I) -> Result<(), I::Error> {
        let is_sidecar = |container: &Container<'_>| {
            container.restart_policy.value().is_some_and(|policy| policy == "Always")
        };
        let ports = ports(items, is_sidecar)?;
        *place = Shape::Value(Self(Containers(ports)));
        Ok(())
    }
}

/// Reads the ports of the containers of a list for which `serves` is true.
fn ports<'a, I: Items<'a>>(
    items: &mut I,
    serves: impl Fn(&Container<'_>) -> bool,
) -> Result<Vec<(String, String)>, I::Error> {
    let mut found = Vec::new();
    let mut next: Shape<Container<'_>> = Shape::Absent;
    while items.read(&mut next)? {
        if let Shape::Value(container) = std::mem::take(&mut next)
            && serves(&container)
            && let Shape::Value(ports) = container.ports
            && found.len() < MOST
        {
            found.extend(ports.0);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Reads the pod's shape twice: from a review, and from the pod as a value.
    fn both(pod: &Value) -> (PodShape, PodShape) {
        let review = json!({"request": {"namespace": "shop", "object": pod}}).to_string();
        let of_value = PodShape::of_value(pod, "shop");
        // The engine reads the readiness gates, and for ports of the node no delay helps.
        let of_value = PodShape { readiness_gates: Vec::new(), has_host_ports: false, ..of_value };
        (pod_shape(&review, "shop"), of_value)
    }

    #[test]
    fn a_review_and_a_manifest_give_the_same() {
        let port = json!({"name": "http", "containerPort": 80, "hostPort": 80});
        let dns = json!({"name": "dns", "protocol": "UDP", "containerPort": 53});
        let spec = json!({
            "containers": [{"name": "web", "ports": [port, {"containerPort": 81}]}, {"ports": [dns]}, {}],
            "initContainers": [
                {"name": "proxy", "restartPolicy": "Always", "ports": [{"name": "proxy"}]},
                {"name": "once", "ports": [{"name": "never"}]},
            ],
            "readinessGates": [{"conditionType": "x"}],
        });
        let labels = json!({"app": "web", "of\n": "\u{1f980}", "odd": 7});
        let (review, manifest) = both(&json!({"metadata": {"labels": labels}, "spec": spec}));
        assert_eq!(review, manifest);
        assert_eq!((review.labels.len(), review.ports.len()), (2, 3));
    }

    #[test]
    fn odd_pods_have_nothing() {
        for odd in [
            json!(null),
            json!([]),
            json!({"metadata": [], "spec": 7}),
            json!({"metadata": {"labels": ["app"]}, "spec": {"containers": {}, "initContainers": "x"}}),
            json!({"spec": {"containers": [null, 7, {"ports": "x"}, {"ports": [null, 7, {"name": 7}]}]}}),
        ] {
            let (review, manifest) = both(&odd);
            assert_eq!(review, manifest, "{odd}");
            assert!(review.labels.is_empty() && review.ports.is_empty(), "{odd}");
        }
        let long = json!({"spec": {"containers": [{"ports": vec![json!({"name": "x"}); 5_000]}]}});
        assert_eq!(both(&long).0.ports.len(), MOST);
    }
}

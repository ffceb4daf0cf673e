//! The kinds of objects that are read from a cluster.

use prestop_core::audit::Topic;
use prestop_core::engine::template::KindName;
use prestop_core::fronts::FrontTable;

use super::Scope;

/// Purpose of the objects of a kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aspect {
    /// Workloads: objects with a pod template.
    Workload,
    /// Pods.
    Pods,
    /// Objects around pods.
    Around(Topic),
}

/// A kind of objects in the API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
    pub(super) plural: String,
    pub(super) is_namespaced: bool,
    /// Whether objects in other namespaces matter as well.
    pub(super) is_cluster_wide: bool,
    pub(crate) aspect: Aspect,
}

/// Group, version, kind, plural, purpose.
type BuiltIn = (&'static str, &'static str, &'static str, &'static str, Aspect);

/// Kinds that every API server has, in the order in which they are read.
const BUILT_IN: [BuiltIn; 13] = [
    ("", "v1", "Namespace", "namespaces", Aspect::Around(Topic::Namespaces)),
    ("", "v1", "Node", "nodes", Aspect::Around(Topic::Nodes)),
    ("", "v1", "Service", "services", Aspect::Around(Topic::Services)),
    ("networking.k8s.io", "v1", "IngressClass", "ingressclasses", Aspect::Around(Topic::Routes)),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", Aspect::Around(Topic::Routes)),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", Aspect::Around(Topic::Budgets)),
    (
        "autoscaling",
        "v2",
        "HorizontalPodAutoscaler",
        "horizontalpodautoscalers",
        Aspect::Around(Topic::Autoscalers),
    ),
    ("apps", "v1", "Deployment", "deployments", Aspect::Workload),
    ("apps", "v1", "StatefulSet", "statefulsets", Aspect::Workload),
    ("apps", "v1", "DaemonSet", "daemonsets", Aspect::Workload),
    ("apps", "v1", "ReplicaSet", "replicasets", Aspect::Workload),
    ("", "v1", "ReplicationController", "replicationcontrollers", Aspect::Workload),
    ("", "v1", "Pod", "pods", Aspect::Pods),
];

/// Kinds that some clusters have: group, kind, purpose.
const OPTIONAL: [(&str, &str, Aspect); 14] = [
    ("argoproj.io", "Rollout", Aspect::Workload),
    ("apps.kruise.io", "CloneSet", Aspect::Workload),
    ("apps.kruise.io", "StatefulSet", Aspect::Workload),
    ("apps.kruise.io", "DaemonSet", Aspect::Workload),
    ("apps.openshift.io", "DeploymentConfig", Aspect::Workload),
    ("gateway.networking.k8s.io", "GatewayClass", Aspect::Around(Topic::Routes)),
    ("gateway.networking.k8s.io", "Gateway", Aspect::Around(Topic::Routes)),
    ("gateway.networking.k8s.io", "HTTPRoute", Aspect::Around(Topic::Routes)),
    ("gateway.networking.k8s.io", "GRPCRoute", Aspect::Around(Topic::Routes)),
    ("gateway.networking.k8s.io", "TLSRoute", Aspect::Around(Topic::Routes)),
    ("gateway.networking.k8s.io", "TCPRoute", Aspect::Around(Topic::Routes)),
    ("gateway.networking.k8s.io", "UDPRoute", Aspect::Around(Topic::Routes)),
    ("karpenter.sh", "NodePool", Aspect::Around(Topic::Nodes)),
    ("keda.sh", "ScaledObject", Aspect::Around(Topic::Autoscalers)),
];
/// The same kind in the AWS Load Balancer Controller and in EKS Auto Mode.
const BINDINGS: [(&str, &str); 2] =
    [("elbv2.k8s.aws", "TargetGroupBinding"), ("eks.amazonaws.com", "TargetGroupBinding")];

/// Whether a group can have kinds that are read, other than those of every API server.
pub(super) fn is_wanted_group(group: &str, more: &[KindName]) -> bool {
    OPTIONAL.iter().any(|(own, ..)| *own == group)
        || BINDINGS.iter().any(|(own, _)| *own == group)
        || FrontTable::built_in().has_routes_of(group)
        || more.iter().any(|kind| kind.group().is_none_or(|own| own == group))
}

/// Returns the purpose of the objects of a kind, if they are read.
pub(super) fn aspect(group: &str, kind: &str, more: &[KindName]) -> Option<Aspect> {
    let known = OPTIONAL.iter().find(|(own, name, _)| (*own, *name) == (group, kind));
    if let Some((.., aspect)) = known {
        return Some(*aspect);
    }
    if more.iter().any(|it| it.is(&format!("{group}/v1"), kind)) {
        return Some(Aspect::Workload);
    }
    let is_route = FrontTable::built_in().knows_route(&format!("{kind}.{group}"));
    (BINDINGS.contains(&(group, kind)) || is_route).then_some(Aspect::Around(Topic::Routes))
}

impl Resource {
    /// Returns the kinds that every API server has.
    pub(super) fn built_in() -> impl Iterator<Item = Self> {
        BUILT_IN.into_iter().map(|(group, version, kind, plural, aspect)| Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            is_namespaced: !matches!(kind, "Namespace" | "Node" | "IngressClass"),
            is_cluster_wide: false,
            aspect,
        })
    }

    /// Returns the kind of pods.
    pub(super) fn pods() -> Self {
        Self {
            group: String::new(),
            version: "v1".to_owned(),
            kind: "Pod".to_owned(),
            plural: "pods".to_owned(),
            is_namespaced: true,
            is_cluster_wide: false,
            aspect: Aspect::Pods,
        }
    }

    /// Returns the `apiVersion`.
    pub(crate) fn api_version(&self) -> String {
        if self.group.is_empty() {
            return self.version.clone();
        }
        format!("{}/{}", self.group, self.version)
    }

    /// Returns the name in RBAC and kubectl, such as `deployments.apps`.
    pub(super) fn title(&self) -> String {
        if self.group.is_empty() {
            return self.plural.clone();
        }
        format!("{}.{}", self.plural, self.group)
    }

    pub(crate) fn is_namespaces(&self) -> bool {
        self.group.is_empty() && self.kind == "Namespace"
    }

    /// Whether objects of this kind usually belong to other objects, which create them.
    pub(super) fn makes_pods_for_others(&self) -> bool {
        matches!(self.kind.as_str(), "ReplicaSet" | "ReplicationController")
    }

    /// Returns the paths of the lists.
    pub(super) fn paths(&self, scope: &Scope) -> Vec<String> {
        let Self { group, version, plural, .. } = self;
        let root = match group.as_str() {
            "" => format!("/api/{version}"),
            group => format!("/apis/{group}/{version}"),
        };
        match scope {
            Scope::Namespaces(names) if self.is_namespaced => {
                names.iter().map(|name| format!("{root}/namespaces/{name}/{plural}")).collect()
            }
            Scope::Namespaces(_) | Scope::All => vec![format!("{root}/{plural}")],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_the_api() {
        let shop = Scope::Namespaces(vec!["shop".to_owned()]);
        let path = |kind: &str, scope: &Scope| {
            Resource::built_in().find(|it| it.kind == kind).unwrap().paths(scope).join(" ")
        };
        assert_eq!(path("Service", &Scope::All), "/api/v1/services");
        assert_eq!(path("Service", &shop), "/api/v1/namespaces/shop/services");
        assert_eq!(path("Deployment", &shop), "/apis/apps/v1/namespaces/shop/deployments");
        assert_eq!(path("IngressClass", &shop), "/apis/networking.k8s.io/v1/ingressclasses");
    }

    #[test]
    fn vendors_routes_and_further_kinds_are_known_by_group_and_kind() {
        let widget: Vec<KindName> = vec!["Widget.example.com".parse().unwrap()];
        for (group, kind, expected) in [
            ("argoproj.io", "Rollout", Some(Aspect::Workload)),
            ("argoproj.io", "Workflow", None),
            ("example.com", "Widget", Some(Aspect::Workload)),
            ("elbv2.k8s.aws", "TargetGroupBinding", Some(Aspect::Around(Topic::Routes))),
            ("eks.amazonaws.com", "TargetGroupBinding", Some(Aspect::Around(Topic::Routes))),
            ("eks.amazonaws.com", "NodeDiagnostic", None),
            ("traefik.io", "IngressRouteTCP", Some(Aspect::Around(Topic::Routes))),
            ("networking.istio.io", "VirtualService", Some(Aspect::Around(Topic::Routes))),
            ("networking.istio.io", "Sidecar", None),
            ("route.openshift.io", "Route", Some(Aspect::Around(Topic::Routes))),
        ] {
            assert_eq!(aspect(group, kind, &widget), expected, "{kind}.{group}");
            if expected.is_some() {
                assert!(is_wanted_group(group, &widget), "{group}");
            }
        }
        assert!(!is_wanted_group("metrics.k8s.io", &widget));
    }
}

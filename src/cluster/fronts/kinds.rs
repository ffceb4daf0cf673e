//! The kinds of objects by which fronts are recognised, as the API server serves them. Vendor-specific
//! routes are read from manifests only, since each kind would need another right and another watch.

use kube::core::{ApiResource, GroupVersionKind};

/// A watched kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WatchedKind {
    /// The API group; empty for the core group.
    pub(crate) group: &'static str,
    /// Versions that some API server serves, the newest first.
    pub(crate) versions: &'static [&'static str],
    /// The kind.
    pub(crate) kind: &'static str,
    /// The resource's name in paths and rights.
    pub(crate) plural: &'static str,
}

const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// All watched kinds.
pub(crate) const KINDS: [WatchedKind; 9] = [
    kind("", &["v1"], "Service", "services"),
    kind("networking.k8s.io", &["v1"], "Ingress", "ingresses"),
    kind("networking.k8s.io", &["v1"], "IngressClass", "ingressclasses"),
    kind(GATEWAY_API, &["v1"], "GatewayClass", "gatewayclasses"),
    kind(GATEWAY_API, &["v1"], "Gateway", "gateways"),
    kind(GATEWAY_API, &["v1"], "HTTPRoute", "httproutes"),
    kind(GATEWAY_API, &["v1", "v1alpha2"], "GRPCRoute", "grpcroutes"),
    kind(GATEWAY_API, &["v1", "v1alpha3", "v1alpha2"], "TLSRoute", "tlsroutes"),
    kind("elbv2.k8s.aws", &["v1beta1"], "TargetGroupBinding", "targetgroupbindings"),
];

const fn kind(
    group: &'static str,
    versions: &'static [&'static str],
    kind: &'static str,
    plural: &'static str,
) -> WatchedKind {
    WatchedKind { group, versions, kind, plural }
}

impl WatchedKind {
    /// Returns the resource in a version.
    pub(crate) fn resource(&self, version: &str) -> ApiResource {
        let gvk = GroupVersionKind::gvk(self.group, version, self.kind);
        ApiResource::from_gvk_with_plural(&gvk, self.plural)
    }
}

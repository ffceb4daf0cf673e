//! The kinds of an API server: built-in kinds, and custom resources that matter.

use prestop_core::audit::Topic;
use prestop_core::engine::template::KindName;
use serde::Deserialize;

use super::kinds::{self, Aspect, Resource};
use super::{ReadError, pages};
use crate::cluster::api::Api;

/// Result of the discovery.
pub(super) struct Discovered {
    /// All kinds to be read, in this order.
    pub(super) resources: Vec<Resource>,
    /// Groups whose servers do not answer: the groups of `OpenShift` are served by additional
    /// servers.
    pub(super) unavailable: Vec<String>,
}

/// Asks the API server for its kinds.
pub(super) struct Discovery<'a> {
    pub(super) api: &'a Api,
    /// Additional kinds of workloads.
    pub(super) more: &'a [KindName],
}

#[derive(Deserialize)]
struct Groups {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Group {
    name: String,
    versions: Vec<Version>,
    preferred_version: Option<Version>,
}

#[derive(Deserialize, PartialEq, Eq, Clone)]
struct Version {
    version: String,
}

#[derive(Deserialize)]
struct Resources {
    resources: Vec<ApiResource>,
}

#[derive(Deserialize)]
struct ApiResource {
    /// Such as `deployments` or `deployments/status`.
    name: String,
    kind: String,
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

impl Discovery<'_> {
    /// Returns all kinds to be read.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub(super) async fn ask(&self) -> Result<Discovered, ReadError> {
        let mut found: Vec<_> = Resource::built_in().collect();
        let failed = |error| ReadError { what: "the kinds of objects".to_owned(), error };
        let groups: Option<Groups> = pages::get(self.api, "/apis").await.map_err(failed)?;
        let groups = groups.map(|it| it.groups).unwrap_or_default();
        let mut unavailable = Vec::new();
        for group in groups.iter().filter(|it| kinds::is_wanted_group(&it.name, self.more)) {
            match self.group(group, &mut found).await {
                Ok(()) => {}
                Err(kube::Error::Api(status)) if status.code >= 500 => {
                    unavailable.push(group.name.clone());
                }
                Err(error) => return Err(failed(error)),
            }
        }
        // Objects around pods come first, then workloads, then pods.
        found.sort_by_key(|resource| match resource.aspect {
            Aspect::Around(Topic::Namespaces) => 0,
            Aspect::Around(_) => 1,
            Aspect::Workload => 2,
            Aspect::Pods => 3,
        });
        Ok(Discovered { resources: found, unavailable })
    }

    /// Adds each kind in the first version that has it; the preferred version comes first.
    async fn group(&self, group: &Group, found: &mut Vec<Resource>) -> Result<(), kube::Error> {
        let mut versions = group.versions.clone();
        versions.sort_by_key(|version| group.preferred_version.as_ref() != Some(version));
        for Version { version } in versions {
            let path = format!("/apis/{}/{version}", group.name);
            let resources: Option<Resources> = pages::get(self.api, &path).await?;
            for resource in resources.map(|it| it.resources).into_iter().flatten() {
                let ApiResource { name, kind, namespaced, verbs } = resource;
                let is_list = !name.contains('/') && verbs.iter().any(|verb| verb == "list");
                let is_known =
                    found.iter().any(|known| known.group == group.name && known.kind == kind);
                let aspect = kinds::aspect(&group.name, &kind, self.more);
                let Some(aspect) = aspect.filter(|_| is_list && !is_known) else { continue };
                found.push(Resource {
                    group: group.name.clone(),
                    version: version.clone(),
                    is_cluster_wide: aspect == Aspect::Around(Topic::Routes),
                    kind,
                    plural: name,
                    is_namespaced: namespaced,
                    aspect,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http::{Request, Response, StatusCode};
    use kube::Client;
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    fn resources(kinds: &[(&str, &str)]) -> (u16, Value) {
        let all = kinds.iter().map(|(name, kind)| {
            json!({"name": name, "kind": kind, "namespaced": true, "verbs": ["get", "list"]})
        });
        (200, json!({"resources": all.collect::<Vec<_>>()}))
    }

    fn answer(path: &str) -> (u16, Value) {
        let group = |name: &str, versions: &[&str]| {
            let versions: Vec<_> =
                versions.iter().map(|version| json!({"version": version})).collect();
            json!({"name": name, "versions": versions, "preferredVersion": versions.first()})
        };
        match path {
            "/apis" => (
                200,
                json!({"groups": [
                    group("apps.kruise.io", &["v1beta1", "v1alpha1"]), group("metrics.k8s.io", &["v1"]),
                    group("route.openshift.io", &["v1"]), group("gateway.networking.k8s.io", &["v1"]),
                ]}),
            ),
            "/apis/apps.kruise.io/v1beta1" => resources(&[
                ("statefulsets", "StatefulSet"),
                ("statefulsets/status", "StatefulSet"),
            ]),
            "/apis/apps.kruise.io/v1alpha1" => {
                resources(&[("statefulsets", "StatefulSet"), ("clonesets", "CloneSet")])
            }
            "/apis/gateway.networking.k8s.io/v1" => {
                resources(&[("httproutes", "HTTPRoute"), ("referencegrants", "ReferenceGrant")])
            }
            "/apis/route.openshift.io/v1" => {
                (503, json!({"kind": "Status", "status": "Failure", "message": "no", "code": 503}))
            }
            other => panic!("nobody needs {other}"),
        }
    }

    #[tokio::test]
    async fn kinds_are_found_in_their_best_versions_and_groups_that_fail_are_named() {
        let service = tower::service_fn(|request: Request<Body>| {
            let (status, body) = answer(request.uri().path());
            let mut response = Response::new(Body::from(body.to_string().into_bytes()));
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            std::future::ready(Ok::<_, Infallible>(response))
        });
        let api = Api::new(Client::new(service, "default"));
        let found = Discovery { api: &api, more: &[] }.ask().await.unwrap();
        assert_eq!(found.unavailable, ["route.openshift.io"]);
        let own: Vec<_> = Resource::built_in().collect();
        let more = found.resources.iter().filter(|it| !own.contains(it));
        let more: Vec<_> = more.map(|it| format!("{} {}", it.api_version(), it.kind)).collect();
        assert_eq!(
            more,
            [
                "gateway.networking.k8s.io/v1 HTTPRoute",
                "apps.kruise.io/v1beta1 StatefulSet",
                "apps.kruise.io/v1alpha1 CloneSet",
            ]
        );
        // Objects around pods come first, pods come last.
        assert_eq!(found.resources.first().map(|it| it.kind.as_str()), Some("Namespace"));
        assert_eq!(found.resources.last().map(|it| it.kind.as_str()), Some("Pod"));
    }
}

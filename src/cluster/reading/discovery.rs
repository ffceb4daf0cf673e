//! Which kinds an API server has: those that come with it, and those of custom resources that matter.

use prestop_core::audit::Topic;
use prestop_core::engine::template::KindName;
use serde::Deserialize;

use super::kinds::{self, Aspect, Resource};
use super::{ReadError, pages};
use crate::cluster::api::Api;

/// Asks for kinds.
pub(crate) struct Discovery<'a> {
    pub(crate) api: &'a Api,
    /// Further kinds of workloads.
    pub(crate) more: &'a [KindName],
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
    /// `deployments`, and `deployments/status`.
    name: String,
    kind: String,
    namespaced: bool,
    #[serde(default)]
    verbs: Vec<String>,
}

impl Discovery<'_> {
    /// All kinds that are to be read, in the order in which they are.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub(crate) async fn resources(&self) -> Result<Vec<Resource>, ReadError> {
        let mut found: Vec<_> = Resource::built_in().collect();
        let failed = |error| ReadError { what: "the kinds of objects".to_owned(), error };
        let groups: Option<Groups> = pages::get(self.api, "/apis").await.map_err(failed)?;
        let groups = groups.map(|it| it.groups).unwrap_or_default();
        for group in groups.iter().filter(|it| kinds::is_wanted_group(&it.name, self.more)) {
            self.group(group, &mut found).await.map_err(failed)?;
        }
        // What is around pods comes first, then workloads, then pods.
        found.sort_by_key(|resource| match resource.aspect {
            Aspect::Around(Topic::Namespaces) => 0,
            Aspect::Around(_) => 1,
            Aspect::Workload => 2,
            Aspect::Pods => 3,
        });
        Ok(found)
    }

    /// Each kind in the first version that has it; the preferred version is the first.
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

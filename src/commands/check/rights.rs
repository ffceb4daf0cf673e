//! The rights of the installation's service account, according to the API server.

use serde_json::json;

use super::unseen;
use crate::cluster::api::objects::{ServedResources, SubjectAccessReview};
use crate::cluster::api::{Api, Collection};
use crate::cluster::fronts::{KINDS, WatchedKind};
use crate::cluster::installation::{self, Check, Right, fronts};

/// The service account that needs the rights.
pub(super) struct Account<'a> {
    pub(super) namespace: &'a str,
    pub(super) name: &'a str,
}

/// Checks the rights without which prestop does not work.
pub(super) async fn needed(api: &Api, account: &Account<'_>, needed: Vec<Right>) -> Check {
    match missing(api, account, needed).await {
        Ok(missing) => installation::missing_rights(account.name, &missing),
        Err(error) => unseen("rights", "the rights of the service account", &error),
    }
}

/// Checks the rights for watching fronts, for the kinds that the cluster has.
pub(super) async fn of_fronts(api: &Api, account: &Account<'_>, arguments: &[String]) -> Check {
    if !fronts::are_watched(arguments) {
        return fronts::unwatched();
    }
    let mut kinds = Vec::new();
    for kind in KINDS {
        match is_served(api, &kind).await {
            Ok(true) => kinds.push(kind),
            Ok(false) => {}
            Err(error) => return unseen(fronts::ID, "the kinds of fronts", &error),
        }
    }
    match missing(api, account, fronts::rights(&kinds)).await {
        Ok(missing) => fronts::missing_rights(account.name, &kinds, &missing),
        Err(error) => unseen(fronts::ID, "the rights to watch fronts", &error),
    }
}

async fn is_served(api: &Api, kind: &WatchedKind) -> Result<bool, kube::Error> {
    // Every API server has the core group.
    if kind.group.is_empty() {
        return Ok(true);
    }
    for version in kind.versions {
        let versions = Collection::versions(kind.group);
        let served: Option<ServedResources> = api.get(&versions, version).await?;
        let mut resources = served.into_iter().flat_map(|it| it.resources);
        if resources.any(|resource| resource.name == kind.plural) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn missing(
    api: &Api,
    account: &Account<'_>,
    needed: Vec<Right>,
) -> Result<Vec<Right>, kube::Error> {
    let Account { namespace, name } = account;
    let mut missing = Vec::new();
    for right in needed {
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": format!("system:serviceaccount:{namespace}:{name}"),
                // The groups that a service account's token has.
                "groups": [
                    "system:serviceaccounts",
                    format!("system:serviceaccounts:{namespace}"),
                    "system:authenticated",
                ],
                "resourceAttributes": right.attributes(),
            },
        });
        let reviews = Collection::subject_access_reviews();
        if !api.create::<SubjectAccessReview>(&reviews, &review).await?.status.allowed {
            missing.push(right);
        }
    }
    Ok(missing)
}

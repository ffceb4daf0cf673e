//! The choice of the workload in the manifests.

use prestop_core::engine::offline;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::template::{KindName, Workload, namespaces, objects, workloads};
use prestop_core::fronts::{FrontDelay, FrontTable, Surroundings};
use serde_json::Value;
use thiserror::Error;

use super::title;

/// A workload, with the settings of its namespace and the delay of its fronts.
#[derive(Debug)]
pub struct Chosen<'a> {
    pub(super) value: &'a Value,
    pub(super) workload: Workload<'a>,
    pub(super) namespace: &'a str,
    pub(super) settings: NamespaceSettings,
    /// The delay that its fronts need, according to the other objects of the documents.
    pub(super) behind: Option<FrontDelay>,
}

/// Reason why no workload could be chosen.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// There is no workload.
    #[error("it contains no workload")]
    None,
    /// There is no workload with this name.
    #[error("no workload {wanted}; there are {known}")]
    NotThere {
        /// The requested name.
        wanted: String,
        /// The existing names.
        known: String,
    },
    /// There are several workloads.
    #[error("more than one workload, choose one with --workload NAME: {0}")]
    Several(String),
}

impl<'a> Chosen<'a> {
    /// Returns the workload with this name in the documents, or the only one. `namespace` is for
    /// objects that name none.
    ///
    /// # Errors
    /// Returns an error if there is none, or more than one.
    pub fn choose(
        documents: &'a [Value],
        more_kinds: &[KindName],
        wanted: Option<&str>,
        namespace: &'a str,
    ) -> Result<Self, ChoiceError> {
        let of = |value| workloads(value, more_kinds).into_iter().map(move |it| (value, it));
        let found: Vec<_> = documents.iter().flat_map(of).collect();
        let titles = found.iter().map(|(_, it)| title(it)).collect::<Vec<_>>().join(", ");
        let is_wanted = |name: &str| wanted.is_none_or(|wanted| name == wanted);
        let mut named: Vec<_> =
            found.into_iter().filter(|(_, workload)| is_wanted(workload.name)).collect();
        // The object that contains the template is chosen, if it exists.
        if named.iter().any(|(_, workload)| !offline::has_template_elsewhere(workload)) {
            named.retain(|(_, workload)| !offline::has_template_elsewhere(workload));
        }
        let mut named = named.into_iter();
        let (value, workload) = match (named.next(), named.next()) {
            (Some(one), None) => one,
            (Some(_), Some(_)) => return Err(ChoiceError::Several(titles)),
            (None, _) => {
                return Err(wanted.map_or(ChoiceError::None, |wanted| ChoiceError::NotThere {
                    wanted: wanted.to_owned(),
                    known: titles,
                }));
            }
        };
        let namespace = workload.namespace.unwrap_or(namespace);
        let settings = documents.iter().flat_map(namespaces).find(|(name, _)| name == namespace);
        let settings = settings.map(|(_, settings)| settings).unwrap_or_default();
        let behind = behind(documents, &workload, more_kinds, namespace);
        Ok(Self { value, workload, namespace, settings, behind })
    }
}

/// Returns the delay of the workload's fronts, as `inject` determines it: from Services in the
/// documents and the objects that send to them.
fn behind(
    documents: &[Value],
    workload: &Workload<'_>,
    more_kinds: &[KindName],
    namespace: &str,
) -> Option<FrontDelay> {
    let mut around = Surroundings::new(FrontTable::built_in(), namespace);
    for object in documents.iter().flat_map(objects) {
        if let (Some(api_version), Some(kind)) = (object.api_version(), object.kind())
            && object.workload(more_kinds).is_none()
        {
            around.add(api_version, kind, object.value());
        }
    }
    FrontDelay::of(&around.fronts(&workload.pod_shape(namespace)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(name: &str) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name},
            "spec": {"selector": {}, "template": {"spec": {"containers": [{"name": "web"}]}}}})
    }

    #[test]
    fn the_only_workload_or_the_named_one_is_chosen() {
        let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {
            "name": "shop", "annotations": {"prestop.dev/delay": "7s"}}});
        let both = [deployment("a"), deployment("b"), namespace];
        let choose = |documents, wanted| {
            Chosen::choose(documents, &[], wanted, "shop").map(|it| it.workload.name.to_owned())
        };
        assert_eq!(choose(&both[..1], None), Ok("a".to_owned()));
        assert_eq!(choose(&both, Some("b")), Ok("b".to_owned()));
        let known = "Deployment a, Deployment b".to_owned();
        assert_eq!(choose(&both, None), Err(ChoiceError::Several(known.clone())));
        let wanted = "c".to_owned();
        assert_eq!(choose(&both, Some("c")), Err(ChoiceError::NotThere { wanted, known }));
        assert_eq!(choose(&both[2..], None), Err(ChoiceError::None));
        let chosen = Chosen::choose(&both, &[], Some("a"), "shop").unwrap();
        assert_ne!(chosen.settings, NamespaceSettings::default());
    }
}

//! The objects of a cluster, for commands that only read: workloads, their running pods, and the
//! objects around them. Lists are read page by page; only the fields that matter are kept.
//!
//! - `kinds`: the kinds that are read, and their purpose
//! - `discovery`: the kinds that the API server has in addition to the built-in ones
//! - `pages`: one list; `trimmed`: an object without unused fields
//! - [`owners`](Owners): the workload that a pod belongs to

mod discovery;
mod kinds;
mod owners;
mod pages;
mod trimmed;

use std::collections::HashSet;

use prestop_core::audit::Topic;
use prestop_core::engine::template::KindName;
use serde_json::Value;
use thiserror::Error;

pub(crate) use self::kinds::{Aspect, Resource};
pub(crate) use self::owners::{Belongs, Owners, key};

use self::discovery::{Discovered, Discovery};
use self::pages::{Listed, Pages};
use super::api::{Api, failure};

/// Number of objects per page.
pub(crate) const PAGE: u32 = 500;

/// Part of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scope {
    /// All namespaces.
    All,
    /// These namespaces.
    Namespaces(Vec<String>),
}

/// A list that could not be read to its end.
#[derive(Debug, Error)]
#[error("{what}: {}", failure::reason(.error))]
pub(crate) struct ReadError {
    what: String,
    error: kube::Error,
}

/// A kind that may not be listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Forbidden {
    /// The resource, such as `poddisruptionbudgets.policy`.
    pub(crate) resource: String,
    /// The purpose of the objects that are missing.
    pub(crate) aspect: Aspect,
}

/// Reads a cluster.
pub(crate) struct Reading<'a> {
    api: &'a Api,
    scope: Scope,
    /// Label selector in the API's format; for workloads only.
    selector: Option<String>,
    page: u32,
    resources: Vec<Resource>,
    /// Called with the resource and the number of its objects read so far.
    progress: &'a dyn Fn(&str, usize),
    /// The kinds that may not be listed, each once.
    forbidden: Vec<Forbidden>,
    /// Whether a requested namespace does not exist.
    is_namespace_missing: bool,
    /// API groups that do not answer.
    unavailable: Vec<String>,
}

/// An object, with its kind according to its list.
pub(crate) struct Read<'r> {
    /// The kind.
    pub(crate) resource: &'r Resource,
    /// The object, trimmed.
    pub(crate) object: Value,
}

/// Parameters for reading a cluster.
pub(crate) struct Wanted<'a> {
    /// The part of the cluster.
    pub(crate) scope: Scope,
    /// Label selector for workloads, in the API's format.
    pub(crate) selector: Option<String>,
    /// Additional kinds of workloads.
    pub(crate) kinds: &'a [KindName],
    /// Objects per page.
    pub(crate) page: u32,
}

impl<'a> Reading<'a> {
    /// Asks the API server for its kinds.
    ///
    /// # Errors
    /// When the API server does not answer.
    pub(crate) async fn new(
        api: &'a Api,
        wanted: Wanted<'_>,
        progress: &'a dyn Fn(&str, usize),
    ) -> Result<Self, ReadError> {
        let Wanted { scope, selector, kinds, page } = wanted;
        let Discovered { resources, unavailable } = Discovery { api, more: kinds }.ask().await?;
        Ok(Self {
            api,
            scope,
            selector,
            page,
            resources,
            progress,
            forbidden: Vec::new(),
            is_namespace_missing: false,
            unavailable,
        })
    }

    /// Returns the kinds that may not be listed, among those that were tried.
    pub(crate) fn forbidden(&self) -> &[Forbidden] {
        &self.forbidden
    }

    /// Returns the API groups that do not answer, and are skipped.
    pub(crate) fn unavailable(&self) -> &[String] {
        &self.unavailable
    }

    /// Whether a requested namespace is known not to exist.
    pub(crate) const fn is_namespace_missing(&self) -> bool {
        self.is_namespace_missing
    }

    /// Whether any kind of workload may be listed; to be called after the attempt.
    pub(crate) fn may_list_workloads(&self) -> bool {
        let count = self.resources.iter().filter(|it| it.aspect == Aspect::Workload).count();
        self.forbidden.iter().filter(|it| it.aspect == Aspect::Workload).count() < count
    }

    /// Reads the objects around pods, except for topics that are not needed.
    ///
    /// # Errors
    /// When a list can't be read to its end.
    pub(crate) async fn surroundings(
        &mut self,
        is_needed: impl Fn(Topic) -> bool,
        mut take: impl FnMut(Read<'_>),
    ) -> Result<(), ReadError> {
        for resource in self.resources.clone() {
            if !matches!(resource.aspect, Aspect::Around(topic) if is_needed(topic)) {
                continue;
            }
            let mut take = |object| take(Read { resource: &resource, object });
            let listed = match &self.scope {
                Scope::Namespaces(names) if resource.is_namespaces() => {
                    self.named(&resource, names, &mut take).await?
                }
                // Gateways and their routes can be in other namespaces.
                Scope::Namespaces(_) if resource.is_namespaced && resource.is_cluster_wide => {
                    match self.list(&resource, &Scope::All, None, &mut take).await? {
                        Listed::Forbidden => {
                            self.list(&resource, &self.scope, None, &mut take).await?
                        }
                        listed => listed,
                    }
                }
                scope => self.list(&resource, scope, None, &mut take).await?,
            };
            self.is_namespace_missing |= resource.is_namespaces() && listed == Listed::Absent;
            self.note(&resource, listed);
        }
        Ok(())
    }

    /// Reads workloads other than pods. Workloads that belong to others are passed to `owners` and
    /// skipped.
    ///
    /// # Errors
    /// When a list can't be read to its end.
    pub(crate) async fn workloads(
        &mut self,
        owners: &mut Owners,
        mut take: impl FnMut(Read<'_>),
    ) -> Result<(), ReadError> {
        let workloads: Vec<_> =
            self.resources.iter().filter(|it| it.aspect == Aspect::Workload).cloned().collect();
        for resource in &workloads {
            owners.knows(resource);
        }
        for resource in workloads {
            // Sets of pods that belong to Deployments may have other labels than the Deployments.
            let is_owned_often = resource.makes_pods_for_others();
            let selected = self.selected(&resource, is_owned_often).await?;
            let labels = if is_owned_often { None } else { self.selector.clone() };
            let here = self.scope.clone();
            let listed = self
                .list(&resource, &here, labels.as_deref(), &mut |object| {
                    let is_selected =
                        selected.as_ref().is_none_or(|it| it.contains(&name_of(&object)));
                    if !owners.learn(&resource, &object) && is_selected {
                        take(Read { resource: &resource, object });
                    }
                })
                .await?;
            self.note(&resource, listed);
        }
        Ok(())
    }

    /// Reads all pods, each with whether it has the requested labels.
    ///
    /// # Errors
    /// When the list can't be read to its end.
    pub(crate) async fn pods(
        &mut self,
        mut take: impl FnMut(Read<'_>, Selected),
    ) -> Result<(), ReadError> {
        let pods = Resource::pods();
        let selected = self.selected(&pods, true).await?;
        let here = self.scope.clone();
        let listed = self
            .list(&pods, &here, None, &mut |object| {
                let is_selected = selected.as_ref().is_none_or(|it| it.contains(&name_of(&object)));
                let selected = if is_selected { Selected::Yes } else { Selected::No };
                take(Read { resource: &pods, object }, selected);
            })
            .await?;
        self.note(&pods, listed);
        Ok(())
    }

    /// Returns namespace and name of the objects with the requested labels; `None` if no labels
    /// were requested, or the names are not needed.
    async fn selected(
        &self,
        resource: &Resource,
        matters: bool,
    ) -> Result<Option<HashSet<String>>, ReadError> {
        let Some(labels) = self.selector.clone().filter(|_| matters) else { return Ok(None) };
        let mut found = HashSet::new();
        let mut take = |object: Value| {
            found.insert(name_of(&object));
        };
        self.list(resource, &self.scope, Some(&labels), &mut take).await?;
        Ok(Some(found))
    }

    /// Reads one list, or one for each namespace.
    async fn list(
        &self,
        resource: &Resource,
        scope: &Scope,
        labels: Option<&str>,
        take: &mut dyn FnMut(Value),
    ) -> Result<Listed, ReadError> {
        let what = resource.title();
        let told = |count| (self.progress)(&what, count);
        let mut all = Listed::All;
        for path in resource.paths(scope) {
            let labels = labels.unwrap_or_default();
            let pages = Pages { api: self.api, path, labels, size: self.page };
            let listed = pages.read(take, &told).await;
            match listed.map_err(|error| ReadError { what: what.clone(), error })? {
                Listed::All => {}
                listed => all = listed,
            }
        }
        Ok(all)
    }

    /// Reads single objects by their names.
    async fn named(
        &self,
        resource: &Resource,
        names: &[String],
        take: &mut dyn FnMut(Value),
    ) -> Result<Listed, ReadError> {
        let mut all = Listed::All;
        for path in resource.paths(&Scope::All) {
            for name in names {
                let read = pages::one(self.api, &path, name).await;
                let what = || resource.title();
                let (listed, object) = read.map_err(|error| ReadError { what: what(), error })?;
                object.into_iter().for_each(&mut *take);
                all = if listed == Listed::All { all } else { listed };
            }
        }
        Ok(all)
    }

    fn note(&mut self, resource: &Resource, listed: Listed) {
        if listed == Listed::Forbidden {
            let (resource, aspect) = (resource.title(), resource.aspect);
            self.forbidden.push(Forbidden { resource, aspect });
        }
    }
}

/// Whether a pod has the requested labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selected {
    /// It has them, or none were requested.
    Yes,
    /// It does not have them.
    No,
}

/// Returns `namespace/name`.
fn name_of(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    format!("{}/{}", text("/metadata/namespace"), text("/metadata/name"))
}

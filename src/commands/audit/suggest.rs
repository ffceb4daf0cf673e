//! Patches that fix findings, as far as prestop can fix them: labels of namespaces and annotations
//! of pod templates.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use prestop_core::audit::Mend;
use prestop_core::engine::settings::INJECT_LABEL;
use prestop_manifest::to_yaml;
use serde_json::{Value, json};

use super::fields::set;
use super::report::{Audited, Report};
use super::shell::{self, quoted};
use crate::cli::SuggestForm;

/// The suggested changes.
struct Suggestions<'r> {
    namespaces: BTreeSet<&'r str>,
    workloads: Vec<Annotated<'r>>,
    /// Workloads whose pods only have to be recreated.
    restarts: Vec<&'r Audited>,
    kubectl: &'r str,
    /// Number of findings that only the author of the manifest can fix.
    left: usize,
}

/// A workload with the annotations that its pod template needs.
struct Annotated<'r> {
    workload: &'r Audited,
    annotations: BTreeMap<&'static str, &'r str>,
    rules: BTreeSet<&'static str>,
}

/// Writes patches for the findings that count. `is_enabled` returns whether a namespace has the
/// label.
pub(super) fn write(
    report: &Report,
    form: SuggestForm,
    is_enabled: impl Fn(&str) -> bool,
    out: &mut impl Write,
) -> io::Result<()> {
    let suggestions = Suggestions::of(report, is_enabled);
    match form {
        SuggestForm::Patch => suggestions.patches(out)?,
        SuggestForm::Kustomize => suggestions.component(out)?,
        SuggestForm::Kubectl => suggestions.commands(out)?,
    }
    match suggestions.left {
        0 => Ok(()),
        left => {
            writeln!(out, "# {left} more to fix in the manifests; prestop audit shows how.")
        }
    }
}

impl<'r> Suggestions<'r> {
    fn of(report: &'r Report, is_enabled: impl Fn(&str) -> bool) -> Self {
        let mut found = Self {
            namespaces: BTreeSet::new(),
            workloads: Vec::new(),
            restarts: Vec::new(),
            kubectl: &report.kubectl,
            left: 0,
        };
        for workload in &report.workloads {
            let mut annotated =
                Annotated { workload, annotations: BTreeMap::new(), rules: BTreeSet::new() };
            let (mut is_mended, mut is_restarted) = (false, false);
            for located in workload.open() {
                match &located.finding.mend {
                    Some(Mend::Injected(_)) => is_mended = true,
                    Some(Mend::Annotated { annotations, .. }) => {
                        is_mended = true;
                        annotated.rules.insert(located.finding.rule.text().id);
                        annotated
                            .annotations
                            .extend(annotations.iter().map(|it| (it.key, it.value.as_str())));
                    }
                    Some(Mend::Restarted) => is_restarted = true,
                    None => found.left += 1,
                }
            }
            if is_mended && !is_enabled(&workload.namespace) {
                found.namespaces.insert(&workload.namespace);
            }
            // A changed annotation of the template causes a rollout by itself.
            if !annotated.annotations.is_empty() {
                found.workloads.push(annotated);
            } else if is_restarted {
                found.restarts.push(workload);
            }
        }
        found
    }

    /// Writes objects that contain only the additions.
    fn patches(&self, out: &mut impl Write) -> io::Result<()> {
        self.restarts_as_comments(out)?;
        for namespace in &self.namespaces {
            write!(out, "---\n{}", to_yaml(&label(namespace)))?;
        }
        for annotated in &self.workloads {
            write!(out, "---\n# {}\n{}", annotated.comment(), to_yaml(&annotated.patch()))?;
        }
        Ok(())
    }

    /// Writes each patch with its target, so that a patch without an object is not an error.
    fn component(&self, out: &mut impl Write) -> io::Result<()> {
        let of_namespaces = self.namespaces.iter().map(|namespace| {
            let target = json!({"version": "v1", "kind": "Namespace", "name": exact(namespace)});
            json!({"target": target, "patch": to_yaml(&label(namespace))})
        });
        let of_workloads = self.workloads.iter().map(|annotated| {
            let workload = annotated.workload;
            let (group, version) =
                workload.api_version.split_once('/').unwrap_or(("", &workload.api_version));
            let mut target =
                json!({"version": version, "kind": workload.kind, "name": exact(&workload.name)});
            if !group.is_empty() {
                set(&mut target, "group", group);
            }
            if workload.has_namespace {
                set(&mut target, "namespace", exact(&workload.namespace));
            }
            json!({"target": target, "patch": to_yaml(&annotated.patch())})
        });
        let patches: Vec<_> = of_namespaces.chain(of_workloads).collect();
        let component = json!({
            "apiVersion": "kustomize.config.k8s.io/v1alpha1", "kind": "Component", "patches": patches,
        });
        self.restarts_as_comments(out)?;
        write!(out, "{}", to_yaml(&component))
    }

    /// Returns the command that restarts a workload; otherwise a sentence, because kubectl restarts
    /// only its own kinds.
    fn restart(&self, workload: &Audited) -> Result<String, String> {
        let has_command = workload.api_version == "apps/v1" && workload.kind != "ReplicaSet";
        if !has_command {
            return Err(format!("{}: recreate its pods", workload.title()));
        }
        let kind = shell::kind(&workload.api_version, &workload.kind);
        let [object, namespace] =
            [format!("{kind}/{}", workload.name), workload.namespace.clone()].map(|it| quoted(&it));
        Ok(format!("{} rollout restart {object} --namespace {namespace}", self.kubectl))
    }

    /// Writes the restarts as comments.
    fn restarts_as_comments(&self, out: &mut impl Write) -> io::Result<()> {
        for workload in &self.restarts {
            let (Ok(restart) | Err(restart)) = self.restart(workload);
            writeln!(out, "# {restart}")?;
        }
        Ok(())
    }

    /// Writes commands for a running cluster.
    fn commands(&self, out: &mut impl Write) -> io::Result<()> {
        let kubectl = self.kubectl;
        for namespace in &self.namespaces {
            let namespace = quoted(namespace);
            writeln!(out, "{kubectl} label namespace {namespace} {INJECT_LABEL}=enabled")?;
        }
        for annotated in &self.workloads {
            let workload = annotated.workload;
            if workload.is_pod() {
                let what =
                    "running pods can't be changed: annotate the manifest, and recreate the pod";
                writeln!(out, "# {}: {what}", annotated.comment())?;
                continue;
            }
            let kind = shell::kind(&workload.api_version, &workload.kind);
            let patch = json!({"spec": annotated.template()}).to_string();
            writeln!(
                out,
                "# {}\n{kubectl} patch {} {} --namespace {} --type merge --patch {}",
                annotated.comment(),
                quoted(&kind),
                quoted(&workload.name),
                quoted(&workload.namespace),
                quoted(&patch)
            )?;
        }
        for workload in &self.restarts {
            match self.restart(workload) {
                Ok(command) => writeln!(out, "{command}")?,
                Err(sentence) => writeln!(out, "# {sentence}")?,
            }
        }
        Ok(())
    }
}

impl Annotated<'_> {
    fn comment(&self) -> String {
        let rules: Vec<_> = self.rules.iter().copied().collect();
        format!("{}: {}", self.workload.title(), rules.join(", "))
    }

    fn patch(&self) -> Value {
        let Audited { api_version, kind, name, namespace, has_namespace, .. } = self.workload;
        let mut metadata = json!({"name": name});
        if *has_namespace {
            set(&mut metadata, "namespace", namespace.as_str());
        }
        if self.workload.is_pod() {
            set(&mut metadata, "annotations", json!(self.annotations));
        }
        let mut patch = json!({"apiVersion": api_version, "kind": kind, "metadata": metadata});
        if !self.workload.is_pod() {
            set(&mut patch, "spec", self.template());
        }
        patch
    }

    fn template(&self) -> Value {
        json!({"template": {"metadata": {"annotations": self.annotations}}})
    }
}

fn label(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": namespace, "labels": {INJECT_LABEL: "enabled"}},
    })
}

/// Escapes a name: names of targets are regular expressions.
fn exact(name: &str) -> String {
    name.replace('.', "\\.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(restarted: &Audited, write: impl Fn(&Suggestions<'_>, &mut Vec<u8>)) -> String {
        let suggestions = Suggestions {
            namespaces: BTreeSet::new(),
            workloads: Vec::new(),
            restarts: vec![restarted],
            kubectl: "kubectl",
            left: 0,
        };
        let mut out = Vec::new();
        write(&suggestions, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn restarts_are_commands_where_kubectl_has_one_and_comments_elsewhere() {
        let audited = |api_version: &str, kind: &str| Audited {
            place: None,
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: "shop".to_owned(),
            name: "web".to_owned(),
            has_namespace: true,
            findings: Vec::new(),
        };
        let deployment = audited("apps/v1", "Deployment");
        let command = "kubectl rollout restart deployment/web --namespace shop\n";
        let rollout = audited("argoproj.io/v1alpha1", "Rollout");
        let sentence = "# Rollout shop/web: recreate its pods\n";
        let commands = |workload| written(workload, |it, out| it.commands(out).unwrap());
        assert_eq!(commands(&deployment), command);
        assert_eq!(commands(&rollout), sentence);
        let patches = |workload| written(workload, |it, out| it.patches(out).unwrap());
        assert_eq!(patches(&deployment), format!("# {command}"));
        assert_eq!(patches(&rollout), sentence);
        let component = |workload| written(workload, |it, out| it.component(out).unwrap());
        assert!(component(&rollout).starts_with(sentence), "{}", component(&rollout));
    }
}

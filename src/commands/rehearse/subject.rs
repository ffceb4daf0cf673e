//! From arguments and manifest to subject and plan: the same reading and the same decision as
//! `inject`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::{Context, bail};
use prestop_core::catalogue::{ImageReference, Signal};
use prestop_core::engine::reason::{AsideReason, SkipReason};
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::template::{Workload, namespaces, workloads};
use prestop_core::engine::{ContainerOutcome, Decision, Outcome, offline};
use prestop_core::policy::{NamespaceRule, Policy};
use prestop_manifest::Documents;
use prestop_rehearsal::plan::container::{self, HookAction, Probe};
use prestop_rehearsal::plan::{Load, LongRequests, Plan, Termination, Variant, lacks_programs};
use prestop_rehearsal::report::Subject;
use serde_json::{Value, json};

use super::super::unopened;
use crate::cli::RehearseArguments;

/// Kubernetes' own (`DefaultTerminationGracePeriodSeconds`).
const DEFAULT_GRACE_PERIOD_SECONDS: u64 = 30;

/// What the engine believes in this rehearsal.
///
/// # Errors
/// When the configuration can't be used.
pub(super) fn policy(arguments: &RehearseArguments) -> anyhow::Result<Policy> {
    Ok(Policy {
        kubernetes_version: Some(arguments.kubernetes_version),
        namespaces: NamespaceRule::NotDisabled,
        ..super::super::policy(arguments.config.as_deref())?
    })
}

/// Reads the manifest and decides.
///
/// # Errors
/// When there is nothing in it that can be rehearsed.
pub(super) fn read(
    arguments: &RehearseArguments,
    policy: &Policy,
) -> anyhow::Result<(Subject, Plan)> {
    let name = arguments.file.display().to_string();
    let values = values(&arguments.file)?;
    let found: Vec<_> = values
        .iter()
        .flat_map(|value| workloads(value, &arguments.kinds).into_iter().map(move |it| (value, it)))
        .collect();
    let wanted = arguments.workload.as_deref();
    let mut named: Vec<_> = found
        .iter()
        .filter(|(_, workload)| wanted.is_none_or(|name| workload.name == name))
        .collect();
    // The object that has the template is chosen, if it is there.
    if named.iter().any(|(_, workload)| !offline::has_template_elsewhere(workload)) {
        named.retain(|(_, workload)| !offline::has_template_elsewhere(workload));
    }
    let mut wanted = named.into_iter();
    let (value, workload) = match (wanted.next(), wanted.next()) {
        (Some((value, workload)), None) => (*value, workload),
        (None, _) => match &arguments.workload {
            None => bail!("{name}: no workload in it, nothing that has pods"),
            Some(wanted) => bail!("{name}: no workload {wanted}; there are {}", titles(&found)),
        },
        (Some(_), Some(_)) => bail!(
            "{name}: more than one workload, choose one with --workload NAME: {}",
            titles(&found)
        ),
    };
    let namespace = workload.namespace.unwrap_or(&arguments.namespace);
    let settings = values.iter().flat_map(namespaces).find(|(name, _)| name == namespace);
    let settings = settings.map(|(_, settings)| settings).unwrap_or_default();
    Candidate { arguments, policy, value, workload, namespace, settings: &settings }.plan()
}

fn values(path: &Path) -> anyhow::Result<Vec<Value>> {
    let reader: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| unopened(path, &error))?)
    };
    let documents = Documents::new(BufReader::new(reader));
    let values: Result<Vec<_>, _> = documents.map(|document| document?.read()).collect();
    let values = values.with_context(|| path.display().to_string())?;
    Ok(values.into_iter().flatten().map(|reading| reading.value).collect())
}

fn titles(found: &[(&Value, Workload<'_>)]) -> String {
    let titles = found.iter().map(|(_, workload)| format!("{} {}", workload.kind, workload.name));
    titles.collect::<Vec<_>>().join(", ")
}

/// A workload on its way to a plan.
struct Candidate<'a> {
    arguments: &'a RehearseArguments,
    policy: &'a Policy,
    value: &'a Value,
    workload: &'a Workload<'a>,
    namespace: &'a str,
    settings: &'a NamespaceSettings,
}

impl Candidate<'_> {
    fn plan(&self) -> anyhow::Result<(Subject, Plan)> {
        let Workload { kind, name, pointer, template, .. } = self.workload;
        let arguments = self.arguments;
        let decision = offline::decide(self.workload, self.settings, self.policy);
        if let Outcome::Skipped(reason @ SkipReason::TemplateElsewhere) = decision.outcome {
            bail!("{kind} {name}: {}", self.sentence(reason));
        }
        let spec = self.value.pointer(&format!("{pointer}{template}/spec"));
        let (index, container) = self.container(spec)?;
        let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
        let port = arguments.port.or_else(|| container::first_port(container));
        let port =
            port.context("the container names no port; say with --port where the server listens")?;
        let (stop_signal, stop_signal_from) = self.stop_signal(container, image)?;
        let (runs, unchanged) = self.runs(&decision, spec, index, container, image)?;
        let aside = self.workload.aside.map(AsideReason::explanation);
        let aside = aside.map(|it| format!("{kind} {name}: {}: {}", it.code, it.sentence));
        let problems = decision.problems.iter().map(|problem| format!("{kind} {name}: {problem}"));
        let subject = Subject {
            workload: format!("{kind} {}/{name}", self.namespace),
            container: container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            image: image.to_owned(),
            stop_signal_from,
            unchanged,
            notes: aside.into_iter().chain(problems).collect(),
        };
        let plan = Plan {
            command: arguments.command.clone(),
            replicas: arguments.replicas,
            port,
            probe: Probe::of(container, port)?,
            ready_timeout: arguments.ready_timeout.0,
            stop_signal: stop_signal.name().to_owned(),
            endpoint_delay: arguments.endpoint_delay,
            load: load(arguments),
            runs,
        };
        Ok((subject, plan))
    }

    /// As `inject` says it.
    fn sentence(&self, reason: SkipReason) -> String {
        let exact = offline::sentence(reason, self.workload);
        exact.unwrap_or_else(|| reason.explanation().sentence.to_owned())
    }

    fn container<'v>(&self, spec: Option<&'v Value>) -> anyhow::Result<(usize, &'v Value)> {
        let containers = spec.and_then(|spec| spec.get("containers")).and_then(Value::as_array);
        let containers = containers.filter(|containers| !containers.is_empty());
        let containers = containers.with_context(|| {
            format!("{} {} has no containers", self.workload.kind, self.workload.name)
        })?;
        let name = |container: &Value| {
            container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let wanted = self.arguments.container.as_deref();
        let found = containers.iter().enumerate();
        let mut found =
            found.filter(|(_, container)| wanted.is_none_or(|wanted| name(container) == wanted));
        found.next().with_context(|| {
            let names: Vec<_> = containers.iter().map(name).collect();
            format!("no container {}; there are {}", wanted.unwrap_or_default(), names.join(", "))
        })
    }

    /// As the runtime takes it (KEP-4960): the container's own, the image's, TERM.
    fn stop_signal(&self, container: &Value, image: &str) -> anyhow::Result<(Signal, String)> {
        if let Some(signal) = self.arguments.stop_signal {
            return Ok((signal, "--stop-signal".to_owned()));
        }
        if let Some(own) = container::stop_signal(container) {
            let signal = own.parse().with_context(|| format!("lifecycle.stopSignal {own}"))?;
            return Ok((signal, "lifecycle.stopSignal".to_owned()));
        }
        let reference = ImageReference::parse(image);
        let known = reference.as_ref().and_then(|reference| {
            let (profile, _) = self.policy.catalogue.for_image(reference)?;
            Some((profile.stop_signal(reference.certain_tag())?.signal, profile))
        });
        if let Some((signal, profile)) = known {
            return Ok((
                signal,
                format!("of this image, says the catalogue's profile {}", profile.name),
            ));
        }
        let term = "TERM".parse().context("TERM")?;
        Ok((
            term,
            "the default: the catalogue knows none of this image; --stop-signal sets it".to_owned(),
        ))
    }

    fn runs(
        &self,
        decision: &Decision<'_>,
        spec: Option<&Value>,
        index: usize,
        container: &Value,
        image: &str,
    ) -> anyhow::Result<(Vec<Termination>, Option<String>)> {
        let grace = spec.and_then(|spec| spec.get("terminationGracePeriodSeconds"));
        let grace = grace.and_then(Value::as_u64).unwrap_or(DEFAULT_GRACE_PERIOD_SECONDS);
        let own = container::hook(container)?;
        let written = self.termination(Variant::AsWritten, own.clone(), grace, image);
        let outcome = decision.containers.iter().find(|container| container.index == index);
        let outcome = outcome.map(|container| &container.outcome);
        let injection = match decision.outcome {
            Outcome::Injected(injection) => injection,
            Outcome::Skipped(reason) => {
                let why = match outcome {
                    Some(ContainerOutcome::LeftAlone(reason)) => {
                        reason.explanation().sentence.to_owned()
                    }
                    _ => self.sentence(reason),
                };
                return Ok((vec![written], Some(why)));
            }
        };
        let after = u64::try_from(injection.grace.after_seconds).unwrap_or(grace);
        let hook = match outcome {
            Some(ContainerOutcome::Injected(injected)) => {
                Some(container::action(&json!(injected.hook), container)?)
            }
            // A hook of its own, beside containers that get one: only the grace period is another.
            _ => own,
        };
        if hook == written.hook && after == grace {
            let reason = outcome.and_then(|outcome| match outcome {
                ContainerOutcome::LeftAlone(reason) => Some(reason.explanation().sentence),
                ContainerOutcome::Earlier(_) | ContainerOutcome::Injected(_) => None,
            });
            let why = reason.unwrap_or("The container has its hook already.");
            return Ok((vec![written], Some(why.to_owned())));
        }
        Ok((vec![written, self.termination(Variant::AsInjected, hook, after, image)], None))
    }

    fn termination(
        &self,
        variant: Variant,
        hook: Option<HookAction>,
        grace_period_seconds: u64,
        image: &str,
    ) -> Termination {
        let exec_fails = match &hook {
            Some(HookAction::Exec { command }) => command.first().and_then(|program| {
                if self.arguments.no_shell {
                    Some(format!("{program}: no such program in the image, says --no-shell"))
                } else {
                    lacks_programs(image, program, &self.policy.catalogue)
                }
            }),
            _ => None,
        };
        Termination { variant, hook, grace_period_seconds, exec_fails }
    }
}

fn load(arguments: &RehearseArguments) -> Load {
    Load {
        rate_per_second: arguments.rate,
        least_requests: arguments.requests,
        seed: arguments.seed,
        path: arguments.path.clone(),
        long: arguments.long_path.clone().map(|path| LongRequests {
            path,
            takes: arguments.long_seconds.0,
            in_flight: arguments.long_in_flight,
        }),
        timeout: arguments.timeout.0,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    /// What is read out of these objects; no server is started.
    fn subject(objects: &[Value]) -> Subject {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        io::Write::write_all(&mut file, list.to_string().as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        let line = ["prestop", "rehearse", "-f", path, "--port", "80", "--", "true"];
        let Command::Rehearse(arguments) = Cli::parse_from(line).command else { panic!() };
        read(&arguments, &policy(&arguments).unwrap()).unwrap().0
    }

    fn deployment(metadata: &Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {"selector": {}, "template": {"spec": {"containers": [
                {"name": "web", "image": "nginx:1.27"}]}}}})
    }

    #[test]
    fn settings_beside_the_template_are_noted_as_inject_reports_them() {
        let beside =
            deployment(&json!({"name": "web", "annotations": {"prestop.dev/delay": "2s"}}));
        let notes = subject(&[beside]).notes;
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("Deployment web: "), "{notes:?}");
        assert!(notes[0].contains("misplaced"), "{notes:?}");
        assert!(subject(&[deployment(&json!({"name": "web"}))]).notes.is_empty());
    }

    #[test]
    fn the_deployment_of_a_rollout_is_taken_for_it() {
        let rollout = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": "web"},
            "spec": {"workloadRef": {"kind": "Deployment", "name": "web"}}});
        let subject = subject(&[rollout, deployment(&json!({"name": "web"}))]);
        assert_eq!(subject.workload, "Deployment default/web");
    }

    #[test]
    fn an_object_that_inject_leaves_alone_is_noted() {
        let mut owned = deployment(&json!({"name": "web", "ownerReferences": [
            {"kind": "Shop", "controller": true}]}));
        let notes = subject(&[owned.clone()]).notes;
        assert!(notes[0].starts_with("Deployment web: owned: Another object"), "{notes:?}");
        owned["metadata"] = json!({"name": "web"});
        owned["spec"]["selector"] = Value::Null;
        assert!(subject(&[owned]).notes[0].contains("fragment"));
    }
}

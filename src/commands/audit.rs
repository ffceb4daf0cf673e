//! `prestop audit`: finds workloads in manifests or in a cluster that drop requests, with cause and
//! fix.

mod baseline;
mod cluster;
mod fields;
mod github;
mod gitlab;
mod json;
mod junit;
mod located;
mod markdown;
mod policy_report;
mod rehearsal;
mod report;
mod rules;
mod sarif;
mod shell;
mod suggest;
mod text;

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;
use prestop_core::audit::{Audit, Finding, Ignore, LivePods, Setting};
use prestop_core::engine::printable::printable;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::template::{Object, Workload};
use prestop_core::fronts::{FrontTable, Need, Surroundings, need};
use prestop_core::policy::{KubernetesVersion, NamespaceRule, Policy};
use prestop_manifest::Document;
use serde_json::{Value, json};

use self::baseline::Baseline;
use self::located::Places;
use self::report::{Audited, Bar, LONGEST_NAME, Located, Report, State};
use super::objects::{self, Found, Place};
use super::{Exit, tell};
use crate::cli::{AuditArguments, AuditForm};
use crate::cluster::api::Choice;
use crate::config::Config;

/// A workload that is audited after everything was read.
struct Kept {
    place: Place,
    document: Rc<Document>,
    /// JSON pointer to the object in its document.
    pointer: String,
    /// A list with the object as its only item, so that the object has the kind that its own list
    /// gave it.
    object: Value,
    api_version: String,
    kind: String,
}

/// The origin of a workload.
enum Origin<'k> {
    Manifest(&'k Kept),
    /// A cluster, with the running pods of the workload if they are known.
    Cluster(Option<&'k LivePods>),
}

/// Everything that was read except for workloads.
struct Input {
    around: Surroundings<'static>,
    setting: Setting,
    namespaces: HashMap<String, NamespaceSettings>,
    /// The name of the cluster, for people.
    cluster: Option<String>,
    version: KubernetesVersion,
    /// Whether everything could be read.
    exit: Exit,
}

/// Everything that is needed to audit workloads.
struct Auditor<'a> {
    arguments: &'a AuditArguments,
    kubectl: &'a str,
    audit: Audit<'a, 'static>,
    namespaces: &'a HashMap<String, NamespaceSettings>,
    places: Places,
    /// Whether each entry of the configuration has ignored a finding.
    used_ignores: Vec<bool>,
}

/// Audits everything that the arguments name, or explains rules.
pub(super) fn run(arguments: &AuditArguments) -> anyhow::Result<Exit> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if arguments.rules {
        rules::list(&mut out)?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    if arguments.schema {
        writeln!(out, "{:#}", json::schema())?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    if !arguments.explain.is_empty() {
        return rules::explain(&arguments.explain, &mut out);
    }
    let inputs = arguments.inputs();
    if let Some(wrong) = arguments.from.contradiction(&inputs, arguments.namespace.as_deref()) {
        anyhow::bail!(wrong);
    }
    let config = super::config(arguments.config.as_deref())?;
    let baseline = arguments.baseline.as_deref().map(Baseline::read).transpose()?;
    let (input, kept) = if arguments.from.cluster {
        match of_cluster(arguments) {
            Ok(read) => read,
            Err(error) => {
                tell(&format!("error: {error:#}"));
                return Ok(Exit::NoCluster);
            }
        }
    } else {
        of_manifests(&inputs, arguments)?
    };
    let exit = input.exit;
    let report = report(&input, kept, config, baseline, arguments);
    let is_enabled =
        |name: &str| input.namespaces.get(name).is_some_and(NamespaceSettings::is_enabled);
    match arguments.suggest {
        Some(form) => suggest::write(&report, form, is_enabled, &mut out)?,
        None => write(&report, arguments.output, &mut out)?,
    }
    out.flush()?;
    let is_accepted = arguments.write_baseline.is_some();
    if let Some(path) = &arguments.write_baseline {
        write_baseline(&report, path)?;
    }
    Ok(if exit == Exit::Done && report.fails() && !is_accepted { Exit::Found } else { exit })
}

/// The workloads of one origin.
enum Workloads {
    OfManifests(Vec<Kept>),
    OfCluster(Vec<cluster::Kept>),
}

/// Reads manifests in files.
fn of_manifests(
    inputs: &[PathBuf],
    arguments: &AuditArguments,
) -> anyhow::Result<(Input, Workloads)> {
    let namespace = arguments.default_namespace();
    let mut input = Input {
        around: Surroundings::new(FrontTable::built_in(), namespace),
        setting: Setting::default(),
        namespaces: HashMap::new(),
        cluster: None,
        version: arguments.kubernetes_version.unwrap_or(KubernetesVersion::NEWEST),
        exit: Exit::Done,
    };
    let mut kept = Vec::new();
    input.exit = objects::read(inputs, |found| {
        let object = found.object;
        let (Some(api_version), Some(kind)) = (object.api_version(), object.kind()) else { return };
        input.setting.add(api_version, kind, object.value(), namespace);
        if object.workload(&arguments.kinds).is_some() {
            kept.extend(keep(found, api_version, kind, arguments));
            return;
        }
        input.around.add(api_version, kind, object.value());
        input.namespaces.extend(object.namespace_settings());
    })?;
    Ok((input, Workloads::OfManifests(kept)))
}

fn of_cluster(arguments: &AuditArguments) -> anyhow::Result<(Input, Workloads)> {
    let read = cluster::read(arguments)?;
    let input = Input {
        around: read.around,
        setting: read.setting,
        namespaces: read.namespaces,
        cluster: Some(read.name),
        version: arguments.kubernetes_version.unwrap_or(read.version),
        exit: Exit::Done,
    };
    Ok((input, Workloads::OfCluster(read.workloads)))
}

/// Audits everything that was read.
fn report(
    input: &Input,
    workloads: Workloads,
    config: Option<Config>,
    baseline: Option<Baseline>,
    arguments: &AuditArguments,
) -> Report {
    let ignores = config.as_ref().map_or(&[][..], Config::ignores).to_vec();
    let policy = Policy {
        kubernetes_version: Some(input.version),
        namespaces: NamespaceRule::NotDisabled,
        ..config.map_or_else(Policy::built_in, Config::into_policy)
    };
    let kubectl = kubectl(arguments);
    let mut auditor = Auditor {
        arguments,
        kubectl: &kubectl,
        audit: Audit {
            around: &input.around,
            setting: &input.setting,
            policy: &policy,
            namespace: arguments.default_namespace(),
            ignores: &ignores,
        },
        namespaces: &input.namespaces,
        places: Places::default(),
        used_ignores: vec![false; ignores.len()],
    };
    let mut workloads: Vec<_> = match workloads {
        Workloads::OfManifests(kept) => {
            kept.iter().filter_map(|kept| auditor.of_manifest(kept)).collect()
        }
        // The memory of each workload is released before the next one.
        Workloads::OfCluster(kept) => {
            kept.into_iter().filter_map(|kept| auditor.of_cluster(&kept)).collect()
        }
    };
    tell_stale(&ignores, &auditor.used_ignores);
    let gone = baseline.map_or_else(Vec::new, |baseline| baseline.apply(&mut workloads));
    // The worst first; equal ones in the order of the input.
    workloads.sort_by_key(|audited| std::cmp::Reverse(audited.worst()));
    let bar = Bar::of(arguments);
    let is_complete = input.exit == Exit::Done;
    Report { workloads, gone, bar, is_complete, cluster: input.cluster.clone(), kubectl }
}

/// Returns the kubectl command that reaches the same cluster.
fn kubectl(arguments: &AuditArguments) -> String {
    let Choice { kubeconfig, context, impersonate, impersonate_groups } = arguments.from.choice();
    let options = [
        ("--kubeconfig", kubeconfig.map(|file| file.display().to_string())),
        ("--context", context),
        ("--as", impersonate),
    ];
    let options = options.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let options = options.chain(impersonate_groups.into_iter().map(|it| ("--as-group", it)));
    options.fold("kubectl".to_owned(), |line, (name, value)| {
        format!("{line} {name} {}", shell::quoted(&value))
    })
}

fn write(report: &Report, form: AuditForm, out: &mut impl Write) -> io::Result<()> {
    match form {
        AuditForm::Text => text::write(report, out),
        AuditForm::Json => json::write(report, out),
        AuditForm::Sarif => sarif::write(report, out),
        AuditForm::Junit => junit::write(report, out),
        AuditForm::Github => github::write(report, out),
        AuditForm::Gitlab => gitlab::write(report, out),
        AuditForm::Markdown => markdown::write(report, out),
        AuditForm::Policyreport => {
            policy_report::write(report, policy_report::Form::PolicyReport, out)
        }
        AuditForm::Openreports => {
            policy_report::write(report, policy_report::Form::OpenReport, out)
        }
    }
}

fn write_baseline(report: &Report, path: &Path) -> anyhow::Result<()> {
    let name = path.display();
    let file = File::create(path).with_context(|| format!("baseline {name}"))?;
    let mut file = io::BufWriter::new(file);
    json::write(report, &mut file).and_then(|()| file.flush())?;
    tell(&format!(
        "note: the findings are in {name}; --baseline {name} leaves them out from now on"
    ));
    Ok(())
}

/// Reports unused entries as notes, because an entry may be for other inputs.
fn tell_stale(ignores: &[Ignore], used: &[bool]) {
    for (ignore, _) in ignores.iter().zip(used).filter(|(_, is_used)| !**is_used) {
        let id = ignore.rule.text().id;
        let reason = printable(&ignore.reason, LONGEST_NAME);
        tell(&format!(
            "note: audit.ignore in the configuration has no effect here: {id} ({reason})"
        ));
    }
}

/// Returns a workload to keep for the audit, unless it is to be skipped.
fn keep(
    found: &Found<'_>,
    api_version: &str,
    kind: &str,
    arguments: &AuditArguments,
) -> Option<Kept> {
    let Found { place, document, object } = found;
    let workload = object.workload(&arguments.kinds)?;
    if let Some(reason) = workload.aside {
        let namespace = workload.namespace.unwrap_or(arguments.default_namespace());
        let title = printable(&format!("{kind} {namespace}/{}", workload.name), LONGEST_NAME);
        tell(&format!("note: {}: {title} skipped: {}", place.file, reason.code()));
        return None;
    }
    Some(Kept {
        place: (*place).clone(),
        document: Rc::clone(document),
        pointer: object.pointer().to_owned(),
        object: object.value().clone(),
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
    })
}

impl Auditor<'_> {
    fn of_manifest(&mut self, kept: &Kept) -> Option<Audited> {
        self.audited(&kept.object, &kept.api_version, &kept.kind, &Origin::Manifest(kept))
    }

    fn of_cluster(&mut self, kept: &cluster::Kept) -> Option<Audited> {
        let object = serde_json::from_str(&kept.object).ok()?;
        let origin = Origin::Cluster(kept.pods.as_ref());
        self.audited(&object, &kept.api_version, &kept.kind, &origin)
    }

    fn audited(
        &mut self,
        object: &Value,
        api_version: &str,
        kind: &str,
        origin: &Origin<'_>,
    ) -> Option<Audited> {
        let object = Object::of_kind(object, api_version, kind);
        let workload = object.workload(&self.arguments.kinds)?;
        let namespace = workload.namespace.unwrap_or(self.audit.namespace);
        let unknown = NamespaceSettings::default();
        let settings = self.namespaces.get(namespace).unwrap_or(&unknown);
        let findings = match origin {
            Origin::Cluster(Some(pods)) => self.audit.running(&workload, settings, pods),
            Origin::Cluster(None) | Origin::Manifest(_) => self.audit.workload(&workload, settings),
        };
        self.note_ignores(&findings, &workload, namespace);
        let pod = workload.pod_shape(self.audit.namespace);
        let need = need(&self.audit.around.fronts(&pod));
        let findings = findings.into_iter().map(|it| self.located(it, origin, &workload, need));
        let findings = findings.collect();
        Some(Audited {
            place: match origin {
                Origin::Manifest(kept) => Some(kept.place.clone()),
                Origin::Cluster(_) => None,
            },
            api_version: api_version.to_owned(),
            kind: kind.to_owned(),
            namespace: namespace.to_owned(),
            name: workload.name.to_owned(),
            has_namespace: workload.namespace.is_some(),
            findings,
        })
    }

    fn located(
        &mut self,
        finding: Finding,
        origin: &Origin<'_>,
        workload: &Workload<'_>,
        need: Need,
    ) -> Located {
        let (at, manifest) = match origin {
            Origin::Manifest(kept) => {
                let pointer = format!("{}{}", kept.pointer, finding.pointer);
                let at = self.places.of(&kept.document, &kept.place, &pointer);
                (Some(at), rehearsal::Manifest::File(&kept.place.file))
            }
            Origin::Cluster(_) => (None, rehearsal::Manifest::Cluster { kubectl: self.kubectl }),
        };
        let catalogue = &self.audit.policy.catalogue;
        let rehearsal = rehearsal::line(&finding, workload, need, catalogue, manifest);
        let state = if finding.ignored.is_some() { State::Ignored } else { State::Open };
        Located { finding, at, state, rehearsal }
    }

    fn note_ignores(&mut self, findings: &[Finding], workload: &Workload<'_>, namespace: &str) {
        let ignores = self.audit.ignores.iter().zip(&mut self.used_ignores);
        for (ignore, is_used) in ignores {
            *is_used |= findings.iter().any(|it| ignore.covers(it.rule, workload, namespace));
        }
    }
}

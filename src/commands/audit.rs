//! `prestop audit`: which workloads of manifests drop requests, why, and what mends it.

mod baseline;
mod fields;
mod github;
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
use std::path::Path;
use std::rc::Rc;

use anyhow::Context;
use prestop_core::audit::{Audit, Finding, Ignore, Setting};
use prestop_core::engine::printable::printable;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::template::{Object, Workload, objects_of_item};
use prestop_core::fronts::{FrontTable, Need, Search, Surroundings, need};
use prestop_core::policy::{NamespaceRule, Policy};
use prestop_manifest::Document;
use serde_json::{Value, json};

use self::baseline::Baseline;
use self::located::Places;
use self::report::{Audited, Bar, LONGEST_NAME, Located, Report, State};
use super::objects::{self, Found, Place};
use super::{Exit, tell};
use crate::cli::{AuditArguments, AuditForm};
use crate::config::Config;

/// A workload that is audited when everything was read.
struct Kept {
    place: Place,
    document: Rc<Document>,
    /// JSON pointer to the object in its document.
    pointer: String,
    /// A list with the object as its only item, so that it has the kind that its own list gave it.
    object: Value,
    api_version: String,
    kind: String,
}

/// Everything that workloads are audited with.
struct Auditor<'a> {
    arguments: &'a AuditArguments,
    audit: Audit<'a, 'static>,
    namespaces: &'a HashMap<String, NamespaceSettings>,
    places: Places,
    /// For each entry of the configuration whether it ignored anything.
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
    let config = super::config(arguments.config.as_deref())?;
    let ignores = config.as_ref().map_or(&[][..], Config::ignores).to_vec();
    let policy = Policy {
        kubernetes_version: Some(arguments.kubernetes_version),
        namespaces: NamespaceRule::NotDisabled,
        ..config.map_or_else(Policy::built_in, Config::into_policy)
    };
    let baseline = arguments.baseline.as_deref().map(Baseline::read).transpose()?;
    let mut around = Surroundings::new(FrontTable::built_in(), &arguments.namespace);
    let mut setting = Setting::default();
    let mut namespaces = HashMap::new();
    let mut kept = Vec::new();
    let exit = objects::read(&arguments.inputs(), |found| {
        let object = found.object;
        let (Some(api_version), Some(kind)) = (object.api_version(), object.kind()) else { return };
        if object.workload(&arguments.kinds).is_some() {
            kept.extend(keep(found, api_version, kind, arguments));
            return;
        }
        around.add(api_version, kind, object.value());
        setting.add(api_version, kind, object.value(), &arguments.namespace);
        namespaces.extend(object.namespace_settings());
    })?;
    let mut auditor = Auditor {
        arguments,
        audit: Audit {
            search: Search::new(&around),
            setting: &setting,
            policy: &policy,
            namespace: &arguments.namespace,
            ignores: &ignores,
        },
        namespaces: &namespaces,
        places: Places::default(),
        used_ignores: vec![false; ignores.len()],
    };
    let mut workloads: Vec<_> = kept.iter().filter_map(|kept| auditor.audited(kept)).collect();
    tell_stale(&ignores, &auditor.used_ignores);
    let gone = baseline.map_or_else(Vec::new, |baseline| baseline.apply(&mut workloads));
    // The worst first; what is equally bad in the order of the input.
    workloads.sort_by_key(|audited| std::cmp::Reverse(audited.worst()));
    let bar = Bar::of(arguments);
    let report = Report { workloads, gone, bar, is_complete: exit == Exit::Done };
    let is_enabled = |name: &str| namespaces.get(name).is_some_and(NamespaceSettings::is_enabled);
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

fn write(report: &Report, form: AuditForm, out: &mut impl Write) -> io::Result<()> {
    match form {
        AuditForm::Text => text::write(report, out),
        AuditForm::Json => json::write(report, out),
        AuditForm::Sarif => sarif::write(report, out),
        AuditForm::Junit => junit::write(report, out),
        AuditForm::Github => github::write(report, out),
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

/// An entry may be for other inputs; whoever has all of them in one takes it out.
fn tell_stale(ignores: &[Ignore], used: &[bool]) {
    for (ignore, _) in ignores.iter().zip(used).filter(|(_, is_used)| !**is_used) {
        let id = ignore.rule.text().id;
        let reason = printable(&ignore.reason, LONGEST_NAME);
        tell(&format!(
            "note: audit.ignore of the configuration ignores nothing here: {id} ({reason})"
        ));
    }
}

/// A workload for later, unless it is none of a manifest.
fn keep(
    found: &Found<'_>,
    api_version: &str,
    kind: &str,
    arguments: &AuditArguments,
) -> Option<Kept> {
    let Found { place, document, object } = found;
    let workload = object.workload(&arguments.kinds)?;
    if let Some(reason) = workload.aside {
        let namespace = workload.namespace.unwrap_or(&arguments.namespace);
        let title = printable(&format!("{kind} {namespace}/{}", workload.name), LONGEST_NAME);
        tell(&format!("note: {}: {title} left out: {}", place.file, reason.code()));
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
    fn audited(&mut self, kept: &Kept) -> Option<Audited> {
        let list = json!({"apiVersion": kept.api_version, "kind": format!("{}List", kept.kind)});
        let objects = objects_of_item(&kept.object, &list, "");
        let workload = objects
            .first()
            .and_then(|object: &Object<'_>| object.workload(&self.arguments.kinds))?;
        let namespace = workload.namespace.unwrap_or(&self.arguments.namespace);
        let unknown = NamespaceSettings::default();
        let settings = self.namespaces.get(namespace).unwrap_or(&unknown);
        let findings = self.audit.workload(&workload, settings);
        self.note_ignores(&findings, &workload, namespace);
        let pod = workload.pod_shape(&self.arguments.namespace);
        let need = need(&self.audit.search.fronts(&pod));
        let findings = findings.into_iter().map(|it| self.located(it, kept, &workload, need));
        let findings = findings.collect();
        Some(Audited {
            place: kept.place.clone(),
            api_version: kept.api_version.clone(),
            kind: kept.kind.clone(),
            namespace: namespace.to_owned(),
            name: workload.name.to_owned(),
            has_namespace: workload.namespace.is_some(),
            findings,
        })
    }

    fn located(
        &mut self,
        finding: Finding,
        kept: &Kept,
        workload: &Workload<'_>,
        need: Need,
    ) -> Located {
        let pointer = format!("{}{}", kept.pointer, finding.pointer);
        let at = self.places.of(&kept.document, &kept.place, &pointer);
        let (catalogue, file) = (&self.audit.policy.catalogue, &kept.place.file);
        let rehearsal = rehearsal::line(&finding, workload, need, catalogue, file);
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

//! `prestop audit`: which workloads of manifests drop requests, why, and what mends it.

mod report;
mod rules;

use std::collections::HashMap;
use std::io::{self, Write};
use std::rc::Rc;

use prestop_core::audit::{Audit, Certainty, Finding, Mend, Setting, Severity};
use prestop_core::engine::printable::printable;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::template::{Object, objects_of_item};
use prestop_core::fronts::{FrontTable, Search, Surroundings};
use prestop_core::policy::{NamespaceRule, Policy};
use prestop_manifest::Document;
use serde_json::{Value, json};

use super::objects::{self, Found, Place};
use super::{Exit, tell};
use crate::cli::{AuditArguments, CertaintyBar, FailOn, ReadingForm};

/// Names come from users; Kubernetes' own are shorter.
const LONGEST_NAME: usize = 300;

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

/// What was found about one workload.
struct Audited {
    place: Place,
    kind: String,
    namespace: String,
    name: String,
    /// Each with the line of its field.
    findings: Vec<(Finding, usize)>,
}

/// Audits everything that the arguments name, or explains rules.
pub(super) fn run(arguments: &AuditArguments) -> anyhow::Result<Exit> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    if arguments.rules {
        rules::list(&mut out)?;
        out.flush()?;
        return Ok(Exit::Done);
    }
    if !arguments.explain.is_empty() {
        return rules::explain(&arguments.explain, &mut out);
    }
    let policy = Policy {
        kubernetes_version: Some(arguments.kubernetes_version),
        namespaces: NamespaceRule::NotDisabled,
        ..super::policy(arguments.config.as_deref())?
    };
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
    let audit = Audit {
        search: Search::new(&around),
        setting: &setting,
        policy: &policy,
        namespace: &arguments.namespace,
    };
    let mut audited: Vec<_> =
        kept.iter().filter_map(|kept| audit_one(kept, &audit, &namespaces, arguments)).collect();
    // The worst first; what is equally bad in the order of the input.
    audited.sort_by_key(|audited| std::cmp::Reverse(audited.worst()));
    match arguments.output {
        ReadingForm::Text => report::write_text(&audited, &mut out)?,
        ReadingForm::Json => report::write_json(&audited, &mut out)?,
    }
    out.flush()?;
    let is_found =
        audited.iter().any(|it| it.findings.iter().any(|(it, _)| is_at_bar(it, arguments)));
    Ok(if exit == Exit::Done && is_found { Exit::Found } else { exit })
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

fn audit_one(
    kept: &Kept,
    audit: &Audit<'_, '_>,
    namespaces: &HashMap<String, NamespaceSettings>,
    arguments: &AuditArguments,
) -> Option<Audited> {
    let list = json!({"apiVersion": kept.api_version, "kind": format!("{}List", kept.kind)});
    let objects = objects_of_item(&kept.object, &list, "");
    let workload =
        objects.first().and_then(|object: &Object<'_>| object.workload(&arguments.kinds))?;
    let namespace = workload.namespace.unwrap_or(&arguments.namespace);
    let unknown = NamespaceSettings::default();
    let findings = audit.workload(&workload, namespaces.get(namespace).unwrap_or(&unknown));
    let lines = if findings.is_empty() { HashMap::new() } else { kept.document.lines() };
    let line = |pointer: &str| {
        let mut pointer = format!("{}{pointer}", kept.pointer);
        // What is not there is to be added to what is around it.
        while !pointer.is_empty() && !lines.contains_key(&pointer) {
            pointer.truncate(pointer.rfind('/').unwrap_or_default());
        }
        lines.get(&pointer).copied().unwrap_or(kept.place.line)
    };
    Some(Audited {
        place: kept.place.clone(),
        kind: kept.kind.clone(),
        namespace: namespace.to_owned(),
        name: workload.name.to_owned(),
        findings: findings
            .into_iter()
            .map(|finding| {
                let line = line(&finding.pointer);
                (finding, line)
            })
            .collect(),
    })
}

fn is_at_bar(finding: &Finding, arguments: &AuditArguments) -> bool {
    let severity = match arguments.fail_on {
        FailOn::Error => Severity::Error,
        FailOn::Warning => Severity::Warning,
        FailOn::Info => Severity::Info,
        FailOn::Never => return false,
    };
    let certainty = match arguments.certainty {
        CertaintyBar::Certain => Certainty::Certain,
        CertaintyBar::Likely => Certainty::Likely,
        CertaintyBar::Possible => Certainty::Possible,
    };
    finding.severity() >= severity && finding.certainty >= certainty
}

impl Audited {
    fn title(&self) -> String {
        let title = format!("{} {}/{}", self.kind, self.namespace, self.name);
        printable(&title, LONGEST_NAME)
    }

    fn worst(&self) -> Option<(Severity, Certainty)> {
        self.findings.iter().map(|(it, _)| (it.severity(), it.certainty)).max()
    }

    /// Whether an ordinary rollout drops requests.
    fn drops_requests(&self) -> bool {
        self.findings.iter().any(|(it, _)| it.severity() == Severity::Error)
    }

    /// Whether it does not any more when its namespace is labelled.
    fn is_mended_by_label(&self) -> bool {
        let mut errors = self.findings.iter().filter(|(it, _)| it.severity() == Severity::Error);
        self.drops_requests() && errors.all(|(it, _)| matches!(it.mend, Some(Mend::Injected(_))))
    }
}

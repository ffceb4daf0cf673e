//! `prestop fronts`: lists the known fronts, or the fronts of each workload in manifests or a
//! cluster.

mod cluster;

use std::io::{self, Write};

use prestop_core::duration::Delay;
use prestop_core::engine::printable::printable;
use prestop_core::fronts::{
    Front, FrontKind, FrontTable, PodShape, Surroundings, Withdrawal, need,
};
use serde_json::{Value, json};

use super::objects::{self, Found, Place};
use super::{Exit, tell};
use crate::cli::{FrontsArguments, ReadingForm};

/// Version of the JSON form.
const FORM_VERSION: u32 = 1;
/// Maximum length of a name. Names come from users; Kubernetes' own are shorter.
const LONGEST_NAME: usize = 300;

/// A workload with its position.
struct Subject {
    /// `None` in a cluster.
    place: Option<Place>,
    kind: String,
    name: String,
    pod: PodShape,
}

/// Lists the table, or the fronts of the workloads in the input.
pub(super) fn run(arguments: &FrontsArguments) -> anyhow::Result<Exit> {
    let table = FrontTable::built_in();
    let mut out = io::BufWriter::new(io::stdout().lock());
    let inputs = arguments.inputs();
    if let Some(wrong) = arguments.from.contradiction(&inputs, arguments.namespace.as_deref()) {
        anyhow::bail!(wrong);
    }
    if arguments.from.cluster {
        let (around, subjects) = match cluster::read(arguments) {
            Ok(read) => read,
            Err(error) => {
                tell(&format!("error: {error:#}"));
                return Ok(Exit::NoCluster);
            }
        };
        write(&around, &subjects, arguments, Exit::Done, &mut out)?;
        return Ok(Exit::Done);
    }
    if inputs.is_empty() {
        match arguments.output {
            ReadingForm::Text => list(table, &mut out)?,
            ReadingForm::Json => {
                let fronts: Vec<_> = table.kinds().iter().map(described).collect();
                writeln!(out, "{:#}", json!({"version": FORM_VERSION, "fronts": fronts}))?;
            }
        }
        out.flush()?;
        return Ok(Exit::Done);
    }
    let namespace = arguments.default_namespace();
    let mut around = Surroundings::new(table, namespace);
    let mut subjects = Vec::new();
    let exit = objects::read(&inputs, |&Found { place, object, .. }| {
        let (Some(api_version), Some(kind)) = (object.api_version(), object.kind()) else { return };
        let Some(workload) = object.workload(&arguments.kinds) else {
            return around.add(api_version, kind, object.value());
        };
        let pod = workload.pod_shape(namespace);
        let (kind, name) = (workload.kind.to_owned(), workload.name.to_owned());
        let subject = Subject { place: Some(place.clone()), kind, name, pod };
        match workload.aside {
            None => subjects.push(subject),
            Some(reason) => {
                tell(&format!(
                    "note: {}: {} skipped: {}",
                    place.file,
                    subject.title(),
                    reason.code()
                ));
            }
        }
    })?;
    write(&around, &subjects, arguments, exit, &mut out)?;
    Ok(exit)
}

/// Writes the fronts of each workload.
fn write(
    around: &Surroundings<'_>,
    subjects: &[Subject],
    arguments: &FrontsArguments,
    exit: Exit,
    out: &mut impl Write,
) -> io::Result<()> {
    match arguments.output {
        ReadingForm::Text => {
            for subject in subjects {
                subject.write(&around.fronts(&subject.pod), out)?;
            }
            if subjects.is_empty() && exit == Exit::Done {
                writeln!(out, "no workloads found")?;
            }
        }
        ReadingForm::Json => {
            let workloads: Vec<_> =
                subjects.iter().map(|it| it.described(&around.fronts(&it.pod))).collect();
            writeln!(out, "{:#}", json!({"version": FORM_VERSION, "workloads": workloads}))?;
        }
    }
    out.flush()
}

/// Writes one line per front.
fn list(table: &FrontTable, out: &mut impl Write) -> io::Result<()> {
    let width = table.kinds().iter().map(|kind| kind.name.len()).max().unwrap_or_default();
    for FrontKind { name, title, withdrawal, .. } in table.kinds() {
        writeln!(out, "{name:width$}  {:8}  {title}", withdrawal.to_string())?;
    }
    writeln!(
        out,
        "\nThe time is how long a front keeps sending new requests to a terminating pod; never: until the pod is\n\
         gone. -o json prints conditions, reasons and sources; -f FILE shows the fronts of workloads."
    )
}

fn described(kind: &FrontKind) -> Value {
    let conditions: Vec<_> = kind.when.iter().map(ToString::to_string).collect();
    json!({
        "name": kind.name, "title": kind.title, "object": kind.object.name(), "when": conditions,
        "delay": withdrawal(kind.withdrawal), "reason": kind.reason, "link": kind.link,
    })
}

/// Returns the delay as JSON; `null` if no delay helps.
fn withdrawal(withdrawal: Withdrawal) -> Value {
    match withdrawal {
        Withdrawal::Within(delay) => range(delay),
        Withdrawal::Never => Value::Null,
    }
}

fn range(Delay { least_seconds, most_seconds }: Delay) -> Value {
    json!({"atLeastSeconds": least_seconds, "atMostSeconds": most_seconds})
}

impl Subject {
    fn title(&self) -> String {
        let title = format!("{} {}/{}", self.kind, self.pod.namespace, self.name);
        printable(&title, LONGEST_NAME)
    }

    fn write(&self, fronts: &[Front<'_>], out: &mut impl Write) -> io::Result<()> {
        match &self.place {
            Some(Place { file, line, .. }) => write!(out, "{} ({file}:{line}): ", self.title())?,
            None => write!(out, "{}: ", self.title())?,
        }
        let need = need(fronts);
        match (need.delay, need.has_endless) {
            (None, false) => writeln!(out, "no front sends it requests")?,
            (None, true) => writeln!(out, "no delay helps")?,
            (Some(delay), false) => writeln!(out, "needs a delay of {delay}")?,
            (Some(delay), true) => {
                writeln!(
                    out,
                    "needs a delay of {delay}, which does not help with all of its fronts"
                )?;
            }
        }
        let width = fronts.iter().map(|front| front.kind.name.len()).max().unwrap_or_default();
        for (index, front) in fronts.iter().enumerate() {
            let FrontKind { name, reason, link, .. } = front.kind;
            write!(out, "  {name:width$}  {:8}", front.withdrawal.to_string())?;
            let way: Vec<_> = front.path.iter().map(ToString::to_string).collect();
            let way = printable(&way.join(" > "), LONGEST_NAME);
            write!(out, "  {}", if way.is_empty() { "the pod itself" } else { &way })?;
            match &front.detail {
                Some(detail) => writeln!(out, " ({})", printable(detail, LONGEST_NAME))?,
                None => writeln!(out)?,
            }
            if index == 0 {
                writeln!(out, "    {reason}\n    {link}")?;
            }
        }
        writeln!(out)
    }

    fn described(&self, fronts: &[Front<'_>]) -> Value {
        let need = need(fronts);
        let fronts: Vec<_> = fronts
            .iter()
            .map(|front| {
                let path: Vec<_> = front.path.iter().map(ToString::to_string).collect();
                json!({
                    "name": front.kind.name, "title": front.kind.title, "path": path,
                    "delay": withdrawal(front.withdrawal), "detail": front.detail,
                    "reason": front.kind.reason, "link": front.kind.link,
                })
            })
            .collect();
        json!({
            "kind": self.kind, "namespace": self.pod.namespace, "name": self.name,
            "file": self.place.as_ref().map(|place| &place.file),
            "line": self.place.as_ref().map(|place| place.line),
            "delay": need.delay.map(range), "hasEndless": need.has_endless, "fronts": fronts,
        })
    }
}

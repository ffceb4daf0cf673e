//! Reports of removed hooks.

use prestop_core::engine::reason::UndoReason;
use prestop_core::engine::template::Workload;
use prestop_core::engine::undo::{Undo, UndoneHook};

use super::{ContainerReport, DocumentPlace, GraceReport, Summary, WorkloadReport};

impl<'a> WorkloadReport<'a> {
    /// Creates the report on a workload whose hooks are removed, or that is skipped.
    pub(in crate::commands::inject) fn undone(
        place: &'a DocumentPlace,
        workload: &'a Workload<'a>,
        namespace: &'a str,
        undone: &Result<Undo<'a>, UndoReason>,
    ) -> Self {
        let containers = undone.as_ref().map_or(&[][..], |undone| &undone.containers);
        let containers = containers.iter().map(|container| {
            let spec = workload.pod.spec.value();
            let own = spec.and_then(|spec| spec.containers().get(container.index)?.value());
            let what = match container.hook {
                UndoneHook::Removed => "its hook is removed",
                UndoneHook::Restored => "its original hook is restored",
            };
            ContainerReport {
                name: container.name,
                image: own.and_then(|own| own.image.value()).map(AsRef::as_ref),
                hook: None,
                reason: None,
                profile: None,
                notes: vec![what.to_owned()],
            }
        });
        let grace_period = undone.as_ref().ok().map(|undone| {
            let (before_seconds, after_seconds) = undone.grace_seconds;
            GraceReport { before_seconds, after_seconds }
        });
        Self {
            place,
            api_version: workload.api_version,
            kind: workload.kind,
            namespace,
            name: workload.name,
            changed: undone.is_ok(),
            done: "uninjected",
            reason: undone.as_ref().err().map(|reason| reason.explanation().into()),
            grace_period,
            main_container: None,
            containers: containers.collect(),
            problems: Vec::new(),
            notes: Vec::new(),
        }
    }
}

impl Summary {
    /// Counts a workload whose hooks are removed, or that is skipped.
    pub(in crate::commands::inject) fn add_undone(
        &mut self,
        undone: &Result<Undo<'_>, UndoReason>,
    ) {
        self.workloads += 1;
        match undone {
            Ok(_) => self.changed += 1,
            Err(reason) => {
                self.left_alone += 1;
                self.problems += usize::from(*reason != UndoReason::NotInjected);
            }
        }
    }
}

//! From manifests to what is rehearsed: which workload and container, with which hooks. The same decision as
//! `inject` makes. Pure.

mod choice;
mod words;

use std::time::Duration;

use prestop_core::catalogue::{ImageReference, Signal, UnknownSignal};
use prestop_core::engine::grace::DEFAULT_GRACE_PERIOD_SECONDS;
use prestop_core::engine::reason::{AsideReason, SkipReason};
use prestop_core::engine::template::Workload;
use prestop_core::engine::{ContainerOutcome, Decision, Outcome, offline};
use prestop_core::policy::Policy;
use serde_json::{Value, json};
use thiserror::Error;

pub use self::choice::{ChoiceError, Chosen};
use self::words::{earlier_words, injected_words};
use crate::plan::container::{self, ContainerError, HookAction, Probe};
use crate::plan::{EndpointDelay, Load, Measured, Plan, Termination, Variant, lacks_programs};
use crate::report::Subject;

/// The arguments in addition to the manifest.
#[derive(Debug, Clone)]
pub struct Wish {
    /// The container; else the first.
    pub container: Option<String>,
    /// The port; else the container's first.
    pub port: Option<u16>,
    /// The stop signal; else the container's, else the image's.
    pub stop_signal: Option<Signal>,
    /// Which programs the image has.
    pub programs: Programs,
    /// The server.
    pub command: Vec<String>,
    /// Number of replicas.
    pub replicas: u32,
    /// How long a replica may take to become ready.
    pub ready_timeout: Duration,
    /// How long a deleted replica is still given new connections.
    pub endpoint_delay: EndpointDelay,
    /// How much later a load balancer learns of every change.
    pub late_endpoints: Duration,
    /// Who asks for what.
    pub load: Load,
}

/// Which programs an image has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Programs {
    /// Those that the catalogue knows.
    Known,
    /// None, whatever the catalogue knows.
    None,
}

/// A workload that can't be rehearsed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// Its pods are those of another object.
    #[error("{title}: {sentence}")]
    TemplateElsewhere {
        /// Kind and name.
        title: String,
        /// Why.
        sentence: String,
    },
    /// There is nothing to run.
    #[error("{0} has no containers")]
    NoContainers(String),
    /// The container is not there.
    #[error("no container {wanted}; there are {known}")]
    NoSuchContainer {
        /// What was asked for.
        wanted: String,
        /// The names that there are.
        known: String,
    },
    /// It is not known where the server listens.
    #[error("the container has no port; set the port of the server with --port")]
    NoPort,
    /// The container's stop signal is none.
    #[error("lifecycle.stopSignal {written}: {error}")]
    StopSignal {
        /// As it is written.
        written: String,
        /// Why.
        error: UnknownSignal,
    },
    /// The container has something that can't be rehearsed.
    #[error(transparent)]
    Container(#[from] ContainerError),
}

impl Chosen<'_> {
    /// Decides as `inject` does, and makes the plan of it.
    ///
    /// # Errors
    /// When the container can't be rehearsed as it is written.
    pub fn plan(&self, wish: &Wish, policy: &Policy) -> Result<(Subject, Plan), SubjectError> {
        Decider { chosen: self, wish, policy }.plan()
    }
}

/// What a plan is made of.
struct Decider<'a> {
    chosen: &'a Chosen<'a>,
    wish: &'a Wish,
    policy: &'a Policy,
}

impl Decider<'_> {
    fn plan(&self) -> Result<(Subject, Plan), SubjectError> {
        let Chosen { workload, value, namespace, settings, behind } = self.chosen;
        let Workload { kind, name, pointer, template, .. } = workload;
        let wish = self.wish;
        let decision = offline::decide_behind(workload, settings, self.policy, behind.as_ref());
        if let Outcome::Skipped(reason @ SkipReason::TemplateElsewhere) = decision.outcome {
            let sentence = self.sentence(reason);
            return Err(SubjectError::TemplateElsewhere { title: title(workload), sentence });
        }
        let spec = value.pointer(&format!("{pointer}{template}/spec"));
        let (index, container) = self.container(spec)?;
        let image = container.get("image").and_then(Value::as_str).unwrap_or_default();
        let port = wish.port.or_else(|| container::first_port(container));
        let port = port.ok_or(SubjectError::NoPort)?;
        let (stop_signal, stop_signal_from) = self.stop_signal(container, image)?;
        let (runs, unchanged) = self.runs(&decision, spec, index, container, image)?;
        let aside = workload.aside.map(AsideReason::explanation);
        let aside = aside.map(|it| format!("{kind} {name}: {}: {}", it.code, it.sentence));
        let problems = decision.problems.iter().map(|problem| format!("{kind} {name}: {problem}"));
        let own = decision.containers.iter().filter(|container| container.index == index);
        let own = own.flat_map(|own| own.notes.iter().map(|note| format!("{}: {note}", own.name)));
        let subject = Subject {
            workload: format!("{kind} {namespace}/{name}"),
            container: container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
            image: image.to_owned(),
            stop_signal_from,
            unchanged,
            notes: aside.into_iter().chain(problems).chain(own).collect(),
        };
        let plan = Plan {
            command: wish.command.clone(),
            replicas: wish.replicas,
            port,
            probe: Probe::of(container, port)?,
            ready_timeout: wish.ready_timeout,
            stop_signal: stop_signal.name().to_owned(),
            endpoint_delay: wish.endpoint_delay,
            late_endpoints: wish.late_endpoints,
            load: wish.load.clone(),
            runs,
        };
        Ok((subject, plan))
    }

    /// As `inject` says it.
    fn sentence(&self, reason: SkipReason) -> String {
        let exact = offline::sentence(reason, &self.chosen.workload);
        exact.unwrap_or_else(|| reason.explanation().sentence.to_owned())
    }

    fn container<'v>(&self, spec: Option<&'v Value>) -> Result<(usize, &'v Value), SubjectError> {
        let containers = spec.and_then(|spec| spec.get("containers")).and_then(Value::as_array);
        let containers = containers.filter(|containers| !containers.is_empty());
        let containers =
            containers.ok_or_else(|| SubjectError::NoContainers(title(&self.chosen.workload)))?;
        let name = |container: &Value| {
            container.get("name").and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let wanted = self.wish.container.as_deref();
        let found = containers.iter().enumerate();
        let mut found =
            found.filter(|(_, container)| wanted.is_none_or(|wanted| name(container) == wanted));
        found.next().ok_or_else(|| SubjectError::NoSuchContainer {
            wanted: wanted.unwrap_or_default().to_owned(),
            known: containers.iter().map(name).collect::<Vec<_>>().join(", "),
        })
    }

    /// As the runtime takes it (KEP-4960): the container's own, the image's, TERM.
    fn stop_signal(
        &self,
        container: &Value,
        image: &str,
    ) -> Result<(Signal, String), SubjectError> {
        if let Some(signal) = self.wish.stop_signal {
            return Ok((signal, "--stop-signal".to_owned()));
        }
        if let Some(own) = container::stop_signal(container) {
            let signal = own.parse();
            let signal = signal
                .map_err(|error| SubjectError::StopSignal { written: own.to_owned(), error })?;
            return Ok((signal, "lifecycle.stopSignal".to_owned()));
        }
        let reference = ImageReference::parse(image);
        let known = reference.as_ref().and_then(|reference| {
            let (profile, _) = self.policy.catalogue.for_image(reference)?;
            Some((profile.stop_signal(reference.certain_tag())?.signal, profile))
        });
        if let Some((signal, profile)) = known {
            return Ok((signal, format!("of this image, from the profile {}", profile.name)));
        }
        Ok((
            Signal::TERM,
            "the default, as the catalogue has none for this image; --stop-signal changes it"
                .to_owned(),
        ))
    }

    fn runs(
        &self,
        decision: &Decision<'_>,
        spec: Option<&Value>,
        index: usize,
        container: &Value,
        image: &str,
    ) -> Result<(Vec<Termination>, Option<String>), SubjectError> {
        let grace = spec.and_then(|spec| spec.get("terminationGracePeriodSeconds"));
        let grace =
            grace.and_then(Value::as_u64).unwrap_or(DEFAULT_GRACE_PERIOD_SECONDS.cast_unsigned());
        let own = container::hook(container)?;
        let outcome = decision.containers.iter().find(|container| container.index == index);
        let outcome = outcome.map(|container| &container.outcome);
        let earlier = outcome.and_then(|outcome| match outcome {
            ContainerOutcome::Earlier(status) => earlier_words(status),
            ContainerOutcome::Injected(_) | ContainerOutcome::LeftAlone(_) => None,
        });
        let written = Termination {
            words: earlier.clone(),
            ..self.termination(Variant::AsWritten, own.clone(), grace, image)
        };
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
        let (hook, words) = match outcome {
            Some(ContainerOutcome::Injected(injected)) => {
                let action = container::action(&json!(injected.hook), container)?;
                (Some(action), injected_words(&injected.hook))
            }
            // An existing hook, next to containers that get one: only the grace period differs.
            _ => (own, earlier),
        };
        if hook == written.hook && after == grace {
            let reason = outcome.and_then(|outcome| match outcome {
                ContainerOutcome::LeftAlone(reason) => Some(reason.explanation().sentence),
                ContainerOutcome::Earlier(_) | ContainerOutcome::Injected(_) => None,
            });
            let why = reason.unwrap_or("The container already has prestop's hook.");
            return Ok((vec![written], Some(why.to_owned())));
        }
        let injected = self.termination(Variant::AsInjected, hook, after, image);
        Ok((vec![written, Termination { words, ..injected }], None))
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
                if self.wish.programs == Programs::None {
                    Some(format!("{program}: not in the image, because of --no-shell"))
                } else {
                    lacks_programs(image, program, &self.policy.catalogue)
                }
            }),
            _ => None,
        };
        let measured = hook.as_ref().and_then(Measured::of);
        Termination { variant, hook, measured, words: None, grace_period_seconds, exec_fails }
    }
}

/// Kind and name.
fn title(workload: &Workload<'_>) -> String {
    format!("{} {}", workload.kind, workload.name)
}

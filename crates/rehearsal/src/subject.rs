//! From manifests to the subject of a rehearsal: the workload and container, and its hooks. Makes
//! the same decision as `inject`. Pure.

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
    /// Name of the container; the first one by default.
    pub container: Option<String>,
    /// Port of the server; the container's first port by default.
    pub port: Option<u16>,
    /// The stop signal; by default the container's, else the image's.
    pub stop_signal: Option<Signal>,
    /// The programs of the image.
    pub programs: Programs,
    /// Command of the server.
    pub command: Vec<String>,
    /// Number of replicas.
    pub replicas: u32,
    /// Time limit for a replica to become ready.
    pub ready_timeout: Duration,
    /// Time during which a deleted replica still gets new connections.
    pub endpoint_delay: EndpointDelay,
    /// Additional time until a load balancer learns of a change.
    pub late_endpoints: Duration,
    /// The requests of the clients.
    pub load: Load,
}

/// The programs of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Programs {
    /// The programs according to the catalogue.
    Known,
    /// No programs, regardless of the catalogue.
    None,
}

/// A workload that can't be rehearsed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// The pod template is in another object.
    #[error("{title}: {sentence}")]
    TemplateElsewhere {
        /// Kind and name of the workload.
        title: String,
        /// The explanation.
        sentence: String,
    },
    /// The workload has no containers.
    #[error("{0} has no containers")]
    NoContainers(String),
    /// The container does not exist.
    #[error("no container {wanted}; there are {known}")]
    NoSuchContainer {
        /// The requested name.
        wanted: String,
        /// The existing names.
        known: String,
    },
    /// The port of the server is not known.
    #[error("the container has no port; set the port of the server with --port")]
    NoPort,
    /// The container's stop signal is invalid.
    #[error("lifecycle.stopSignal {written}: {error}")]
    StopSignal {
        /// The value of the field.
        written: String,
        /// Reason why it is invalid.
        error: UnknownSignal,
    },
    /// The container has a setting that can't be rehearsed.
    #[error(transparent)]
    Container(#[from] ContainerError),
}

impl Chosen<'_> {
    /// Makes the same decision as `inject`, and creates the plan.
    ///
    /// # Errors
    /// Returns an error if the container can't be rehearsed as it is written.
    pub fn plan(&self, wish: &Wish, policy: &Policy) -> Result<(Subject, Plan), SubjectError> {
        Decider { chosen: self, wish, policy }.plan()
    }
}

/// The inputs of a plan.
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

    /// Returns the sentence for a reason, as in reports of `inject`.
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

    /// Returns the stop signal in the runtime's order of precedence (KEP-4960): the container's
    /// own, the image's, TERM. The argument `--stop-signal` overrides all of them.
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
            // The container keeps its hook, while other containers of the pod get one: only the
            // grace period differs.
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

/// Returns kind and name.
fn title(workload: &Workload<'_>) -> String {
    format!("{} {}", workload.kind, workload.name)
}

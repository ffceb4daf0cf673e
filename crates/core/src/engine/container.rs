//! The settings of one container: those that apply to it, the profile of its image, the time that
//! its application may take. `quit`: its quit; `form`: the possible forms of its hook
//! (`docs/rules.md`, sections 2 to 5).

mod form;
pub(super) mod quit;

use std::borrow::Cow;

use crate::catalogue::{Hold, ImageReference, Profile, ProfileHook, Role};
use crate::duration::{AskedDelay, Delay};
use crate::fronts::{AskedFront, FrontDelay};
use crate::policy::{DELAY_WITHOUT_FRONTS, Policy};

pub(super) use self::form::{Asked, ImagePrograms, Sleep, termination_message};
pub use self::form::{DEFAULT_TERMINATION_MESSAGE_PATH, Obstacle};
use self::quit::{Chosen, Quit, Subject};
use super::hook::recognised_watch;
use super::hook_note::HookNote;
use super::own_hook::OwnHook;
use super::own_hook_extend::Extension;
use super::own_timeout::own_timeout;
use super::pid1::{self, shell_as_pid_1};
use super::pod::{Container, Keys, Metadata, PreStop, Spec};
use super::reason::{Aspect, ContainerReason, Problem, ProblemCode};
use super::settings::{Annotations, Level, NamespaceSettings, ProfileChoice, at_most};
use super::status::{Status, StatusContainer};
use super::{Main, MainBy, PreStopParent, Source};
use crate::view::Shape;

/// State that is shared by all containers of a pod.
#[derive(Debug)]
pub(super) struct Context<'a> {
    pub(super) spec: &'a Spec<'a>,
    pub(super) policy: &'a Policy,
    pub(super) annotations: Annotations<'a>,
    pub(super) is_for_windows: bool,
    pub(super) problems: Vec<Problem>,
    /// Whether some application has less time than it asked for.
    pub(super) is_short: bool,
    /// The main container, for which the pod's own quit and named profiles are; `None` if there are
    /// none.
    pub(super) main: Option<Main<'a>>,
    /// Whether existing hooks can be completed.
    pub(super) extends: bool,
    /// The delay that the known fronts of the pod need.
    pub(super) behind: AskedFront<'a>,
    default_container: Option<&'a str>,
    pub(super) namespace: Cow<'a, Level>,
    pub(super) pod: Level,
    /// Levels by index in `spec.containers`; empty if the pod has no annotations for single
    /// containers.
    containers: Vec<Level>,
}

/// A regular container for which no decision has been made yet.
#[derive(Debug)]
pub(super) struct Candidate<'a> {
    pub(super) index: usize,
    pub(super) name: &'a str,
    pub(super) container: Option<&'a Container<'a>>,
    pub(super) standing: Standing<'a>,
    /// Seconds by which its stop is delayed; the upper bound if the delay is watched.
    pub(super) delay_seconds: i64,
    /// The lower bound of a watched delay, in seconds.
    pub(super) least_seconds: i64,
    /// The requested lower bound, in seconds, watched or not.
    pub(super) asked_least_seconds: i64,
    /// Seconds of the delay that follow the watched part.
    pub(super) extra_seconds: i64,
    pub(super) delay_from: Source,
    /// The front that determines the delay, if the delay is `auto`.
    pub(super) front: Option<FrontDelay>,
    /// Seconds of the delay that are for the drain of other containers.
    pub(super) drain_seconds: i64,
    pub(super) quiet_seconds: i64,
    /// Reason why the delay is not watched, although a range was requested.
    pub(super) unwatched: Option<Obstacle>,
    pub(super) hold: Option<Asked>,
    pub(super) report: Option<Asked>,
    /// The programs of its image.
    pub(super) programs: ImagePrograms<'a>,
    /// Seconds that the application may take to finish, and the source of this value.
    pub(super) timeout: Option<(i64, Source)>,
    pub(super) profile: Option<&'a Profile>,
    /// The chosen profile, else the profile of the image or name.
    pub(super) known: Option<&'a Profile>,
    pub(super) place: Place,
    pub(super) ending: Ending,
    pub(super) quit: Option<Quit<'a>>,
    /// The author's hook, if it is being completed.
    pub(super) extension: Option<Extension<'a>>,
    pub(super) sleep: Sleep,
    pub(super) notes: Vec<HookNote>,
}

/// The requested delay of a container's stop, and its source.
struct ChosenDelay {
    delay: Delay,
    from: Source,
    /// The front that determines the delay, if the delay is `auto`.
    front: Option<FrontDelay>,
    /// Note for a delay `auto` without a known front.
    note: Option<HookNote>,
}

/// The position of a container in its pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The container is malformed.
    None,
    /// An application, possibly a server in front of another one or behind one.
    Application(Option<Role>),
    /// A proxy or log shipper, which outlives the applications.
    Sidecar {
        /// Seconds by which it outlives them.
        margin_seconds: i64,
    },
}

/// Effect of the stop signal that follows the hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// The application is known to finish its requests.
    Graceful,
    /// The application is known to drop its requests.
    Abrupt,
    /// The effect is not known.
    Uncertain,
}

/// The current state of the container.
#[derive(Debug, Clone)]
pub(super) enum Standing<'a> {
    /// It has no hook.
    Free(PreStopParent),
    /// It has a hook of the author; `None` if the hook is not understood.
    OwnHook(Option<OwnHook<'a>>),
    /// It has a hook from an earlier pass.
    Earlier(Box<StatusContainer<'a>>),
    /// It must not be changed.
    LeftAlone(ContainerReason),
}

impl<'a> Context<'a> {
    pub(super) fn new(
        spec: &'a Spec<'a>,
        metadata: Option<&'a Metadata<'a>>,
        namespace: &'a NamespaceSettings,
        policy: &'a Policy,
        behind: AskedFront<'a>,
    ) -> Self {
        let keys = metadata.and_then(|metadata| metadata.annotations.value());
        let mut problems = Vec::new();
        Self {
            spec,
            policy,
            annotations: Annotations(keys.map_or(&[], |keys| &keys.ours)),
            is_for_windows: spec.is_for_windows(),
            is_short: false,
            main: None,
            extends: true,
            behind,
            default_container: keys.and_then(default_container),
            namespace: namespace.level_under(policy, &mut problems),
            pod: Level::default(),
            containers: Vec::new(),
            problems,
        }
    }

    /// Reads the author's settings for the pod, and reports unknown keys.
    pub(super) fn read_pod_annotations(&mut self) {
        if let Some(name) = self.default_container
            && self.named(name).is_none()
        {
            let place = format!("pod annotation {DEFAULT_CONTAINER}");
            self.problems.push(Problem::new(ProblemCode::NoSuchContainer, place, name));
        }
        if self.annotations.0.is_empty() {
            return;
        }
        self.pod = Level::read(self.annotations.of_pod(), self.policy, &mut self.problems);
        let containers = self.spec.containers();
        let names = || containers.iter().map(|shape| shape.value()?.name.value());
        let known = names().flatten().map(AsRef::as_ref).collect();
        self.annotations.report_strangers(&known, &mut self.problems);
        let settings = self.annotations.by_container();
        if settings.is_empty() {
            return;
        }
        for name in names() {
            let own = name.and_then(|name| settings.get(name.as_ref())).cloned();
            let own = own.unwrap_or_default();
            self.containers.push(Level::read(own, self.policy, &mut self.problems));
        }
    }

    /// Returns every regular container, with its settings.
    pub(super) fn candidates(&mut self, earlier: Option<&Status<'a>>) -> Vec<Candidate<'a>> {
        self.main = self.main_container(earlier);
        let containers = self.spec.containers();
        containers
            .iter()
            .enumerate()
            .map(|(index, container)| self.candidate(index, container, earlier))
            .collect()
    }

    fn candidate(
        &mut self,
        index: usize,
        shape: &'a Shape<Container<'a>>,
        earlier: Option<&Status<'a>>,
    ) -> Candidate<'a> {
        let name = shape.value().and_then(|container| container.name.value());
        let (Some(container), Some(name)) = (shape.value(), name.map(AsRef::as_ref)) else {
            return self.malformed(index, name.map_or("", AsRef::as_ref));
        };
        if container.lifecycle.is_wrong() {
            return self.malformed(index, name);
        }
        let own = self.containers.get_mut(index).map(std::mem::take).unwrap_or_default();
        let image = container.image.value().and_then(|image| ImageReference::parse(image));
        let image = image.as_ref();
        let timeout = self.timeout(own.quit_timeout_seconds, container);
        let programs = self.programs(own.shell, image.copied());
        let quiet_seconds = self.quiet_seconds(own.quiet_seconds);
        let report = self.report(&own);
        let (own_delay, own_hold, own_hook) = (own.delay, own.hold, own.own_hook);
        let found = self.policy.catalogue.for_container(name, image);
        let chosen = self.choose(own, index, found);
        let profile = match &chosen {
            Chosen::Profile { profile, .. } => Some(*profile),
            Chosen::Author { .. } | Chosen::DelayOnly => None,
        };
        let known = profile.or(found.map(|(profile, _)| profile));
        let mut standing = standing(container, name, earlier);
        let is_left_alone = profile.is_some_and(|profile| profile.hook == ProfileHook::LeaveAlone);
        if matches!(standing, Standing::Free(_)) && is_left_alone {
            standing = Standing::LeftAlone(ContainerReason::LeftAloneByProfile);
        }
        let ChosenDelay { delay, from: delay_from, front, note } = self.delay(own_delay, profile);
        let hook = container.lifecycle.value().and_then(|lifecycle| lifecycle.pre_stop.value());
        let hook = hook.filter(|_| matches!(standing, Standing::OwnHook(_)) && !is_left_alone);
        let extension = hook.map(|hook| self.extension(own_hook, hook, programs, delay_from));
        let extension = extension.and_then(|extension| match extension {
            Ok(extension) => {
                standing = Standing::Free(PreStopParent::OwnHook);
                Some(extension)
            }
            Err(refusal) => {
                let problem = |why| {
                    let place = format!("container {name}");
                    Problem::new(ProblemCode::OwnHookNotExtended, place, why)
                };
                self.problems.extend(refusal.map(problem));
                None
            }
        });
        let delay = self.within_maximum(delay, front.as_ref(), &standing, name);
        self.report_shell_as_pid_1(container, image, name);
        let stop_signal = self.stop_signal(container);
        let subject = Subject { name, container, image, programs, profile: known, stop_signal };
        let ending = subject.ending();
        let mut notes: Vec<HookNote> = note.into_iter().collect();
        let mut quit = match standing {
            Standing::Free(_) => match extension.as_ref().and_then(Extension::quit) {
                Some(quit) => Some(quit),
                None => self.quit(chosen, &subject, ending, &mut notes),
            },
            Standing::OwnHook(_) | Standing::Earlier(_) | Standing::LeftAlone(_) => None,
        };
        let hold = self.hold(own_hold, profile, place(known));
        let needs_shell = delay.is_range() || hold.is_some() || report.is_some();
        let obstacle = if needs_shell { self.obstacle(programs, quit.as_ref()) } else { None };
        let asked = |from| Asked { from, obstacle };
        let hold = hold.map(asked);
        // The application's own graceful stop is shorter than its requests, so the hold replaces
        // the quit.
        let takes_place = profile.is_some_and(|profile| profile.hold == Some(Hold::Connections));
        if takes_place && hold.is_some_and(Asked::is_possible) {
            quit = quit.filter(|quit| quit.from == Source::OwnHook);
        }
        let is_watched = delay.is_range() && obstacle.is_none();
        let mut candidate = Candidate {
            index,
            name,
            container: Some(container),
            sleep: self.sleep(programs, quit.as_ref()),
            delay_seconds: delay.most_seconds,
            least_seconds: if is_watched { delay.least_seconds } else { delay.most_seconds },
            asked_least_seconds: delay.least_seconds,
            extra_seconds: 0,
            delay_from,
            front,
            drain_seconds: 0,
            quiet_seconds,
            unwatched: obstacle.filter(|_| delay.is_range()),
            hold,
            report: report.map(asked),
            programs,
            timeout: timeout.map(|timeout| timeout.note(&mut notes)),
            profile,
            known,
            place: place(known),
            ending,
            quit,
            extension,
            notes,
            standing,
        }
        .with_what_is_there();
        candidate.complete(self);
        candidate
    }

    fn malformed(&mut self, index: usize, name: &'a str) -> Candidate<'a> {
        let place = format!("container {index}");
        self.problems.push(Problem::new(ProblemCode::MalformedContainer, place, name));
        Candidate {
            index,
            name,
            container: None,
            standing: Standing::LeftAlone(ContainerReason::Malformed),
            delay_seconds: 0,
            least_seconds: 0,
            asked_least_seconds: 0,
            extra_seconds: 0,
            delay_from: Source::Default,
            front: None,
            drain_seconds: 0,
            quiet_seconds: 0,
            unwatched: None,
            hold: None,
            report: None,
            programs: self.programs(None, None),
            timeout: None,
            profile: None,
            known: None,
            place: Place::None,
            ending: Ending::Uncertain,
            quit: None,
            extension: None,
            sleep: Sleep::Impossible(ContainerReason::Malformed),
            notes: Vec::new(),
        }
    }

    /// Returns the delay. The delay of a front is cut to the maximum.
    fn within_maximum(
        &mut self,
        delay: Delay,
        front: Option<&FrontDelay>,
        standing: &Standing<'_>,
        name: &str,
    ) -> Delay {
        match (front, standing) {
            (None, _) => delay,
            (Some(_), Standing::Free(_)) => {
                let place = format!("container {name}");
                at_most(delay, self.policy, &place, &mut self.problems)
            }
            (Some(_), _) => delay.at_most(self.policy.maximum_delay_seconds),
        }
    }

    fn asked_delay(
        &self,
        own: Option<AskedDelay>,
        profile: Option<&Profile>,
    ) -> (AskedDelay, Source) {
        let of_profile = profile.and_then(|profile| profile.delay).map(AskedDelay::Of);
        let levels = [
            (own, Source::Container),
            (self.pod.delay, Source::Pod),
            (self.namespace.delay, Source::Namespace),
            (of_profile, Source::Profile),
        ];
        let said = levels.into_iter().find_map(|(delay, source)| Some((delay?, source)));
        said.unwrap_or((self.policy.default_delay, Source::Default))
    }

    /// Returns the delay of the known fronts, including those that the pod itself names.
    fn front(&self) -> Option<FrontDelay> {
        let gates = self.spec.readiness_gates.value().and_then(|gates| gates.needed());
        match (self.behind.get().cloned(), gates) {
            (Some(known), Some(gates)) => Some(known.and(gates)),
            (known, gates) => known.or(gates),
        }
    }

    fn delay(&self, own: Option<AskedDelay>, profile: Option<&Profile>) -> ChosenDelay {
        let (asked, from) = self.asked_delay(own, profile);
        if let AskedDelay::Of(delay) = asked {
            return ChosenDelay { delay, from, front: None, note: None };
        }
        if let Some(front) = self.front() {
            return ChosenDelay { delay: front.delay, from, front: Some(front), note: None };
        }
        let delay = match self.policy.default_delay {
            AskedDelay::Of(delay) => delay,
            AskedDelay::Auto => DELAY_WITHOUT_FRONTS.at_most(self.policy.maximum_delay_seconds),
        };
        ChosenDelay {
            delay,
            from: Source::Default,
            front: None,
            note: Some(HookNote::NoFrontKnown),
        }
    }

    /// Returns the time that the application may take: from the annotation with the highest
    /// precedence, from its own settings, or from the configuration.
    fn timeout(&self, own: Option<i64>, container: &Container<'_>) -> Option<Timeout> {
        let levels = [
            (own, Source::Container),
            (self.pod.quit_timeout_seconds, Source::Pod),
            (self.namespace.quit_timeout_seconds, Source::Namespace),
        ];
        let said = levels.into_iter().find_map(|(seconds, from)| Some((seconds?, from)));
        if let Some((seconds, from)) = said {
            return Some(Timeout { seconds, from, option: None });
        }
        let own = own_timeout(container).map(|own| Timeout {
            seconds: own.seconds,
            from: Source::Application,
            option: Some(own.option),
        });
        own.or_else(|| {
            let seconds = self.policy.default_quit_timeout_seconds?;
            Some(Timeout { seconds, from: Source::Default, option: None })
        })
    }

    fn report_shell_as_pid_1(
        &mut self,
        container: &Container<'_>,
        image: Option<&ImageReference<'_>>,
        name: &str,
    ) {
        if self.is_for_windows || !self.spec.has_own_process_namespaces() {
            return;
        }
        if let Some(found) = shell_as_pid_1(container, image) {
            let place = format!("container {name}");
            let aspect = (found.certainty == pid1::Certainty::Likely).then_some(Aspect::Likely);
            let problem = Problem::new(ProblemCode::ShellIsPid1, place, found);
            self.problems.push(problem.with_aspect(aspect));
        }
    }

    pub(super) fn tell(&mut self, code: ProblemCode, container: &str) {
        self.problems.push(Problem::new(code, format!("container {container}"), ""));
    }
}

const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// Time that an application may take to finish.
#[derive(Debug, Clone, Copy)]
struct Timeout {
    seconds: i64,
    from: Source,
    /// The application's own option that sets the time.
    option: Option<&'static str>,
}

impl Timeout {
    fn note(self, notes: &mut Vec<HookNote>) -> (i64, Source) {
        let Self { seconds, from, option } = self;
        notes.extend(option.map(|option| HookNote::OwnTimeout { seconds, option }));
        (seconds, from)
    }
}

fn place(profile: Option<&Profile>) -> Place {
    let margin = profile.and_then(|profile| profile.sidecar_margin_seconds);
    match margin {
        Some(margin_seconds) => Place::Sidecar { margin_seconds },
        None => Place::Application(profile.and_then(|profile| profile.role)),
    }
}

impl Candidate<'_> {
    /// Adopts the delay of an existing hook, which already determines whether it is watched.
    fn with_what_is_there(mut self) -> Self {
        let all = match &self.standing {
            Standing::Free(_) => return self,
            Standing::Earlier(earlier) => earlier.delay,
            Standing::OwnHook(_) | Standing::LeftAlone(_) => self.delay_seconds,
        };
        (self.least_seconds, self.unwatched) = (all, None);
        (self.hold, self.report) = (None, None);
        if matches!(self.standing, Standing::Earlier(_))
            && let Some(watch) = self.earlier_hook().and_then(recognised_watch)
        {
            self.least_seconds = watch.least_seconds;
            self.extra_seconds = watch.extra_seconds;
            self.quiet_seconds = watch.quiet_seconds;
        }
        self
    }

    fn earlier_hook(&self) -> Option<&PreStop<'_>> {
        self.container?.lifecycle.value()?.pre_stop.value()
    }
}

fn standing<'a>(
    container: &'a Container<'a>,
    name: &str,
    earlier: Option<&Status<'a>>,
) -> Standing<'a> {
    let Some(lifecycle) = container.lifecycle.value() else {
        return Standing::Free(PreStopParent::Container);
    };
    match &lifecycle.pre_stop {
        Shape::Absent => Standing::Free(PreStopParent::Lifecycle),
        Shape::Wrong => Standing::OwnHook(None),
        Shape::Value(hook) => match earlier.and_then(|status| status.container(name)) {
            Some(recorded) => Standing::Earlier(Box::new(recorded.clone())),
            None => Standing::OwnHook(OwnHook::read(hook)),
        },
    }
}

fn default_container<'a>(keys: &'a Keys<'_>) -> Option<&'a str> {
    keys.default_container.value().map(AsRef::as_ref)
}

// The main container.
impl<'a> Context<'a> {
    /// Returns the main container, for settings of the pod that can be for one container only;
    /// `None` if there are no such settings.
    fn main_container(&self, earlier: Option<&Status<'a>>) -> Option<Main<'a>> {
        let is_named =
            |choice: &Option<ProfileChoice>| choice.as_ref().is_some_and(ProfileChoice::is_named);
        let is_needed = self.pod.quit.is_some()
            || is_named(&self.pod.profile)
            || is_named(&self.namespace.profile);
        if !is_needed {
            return None;
        }
        let recorded = earlier.and_then(Status::main).filter(|name| self.is_unique(name));
        let recorded = recorded.and_then(|name| self.named(name));
        let named = recorded.or_else(|| self.named(self.default_container?));
        if let Some((index, name)) = named {
            return Some(Main { index, name, found: MainBy::Certain });
        }
        let mut applications = self.names().filter(|(index, name)| {
            let container = self.spec.containers().get(*index).and_then(Shape::value);
            let image = container.and_then(|container| container.image.value());
            let image = image.and_then(|image| ImageReference::parse(image));
            let found = self.policy.catalogue.for_container(name, image.as_ref());
            !matches!(place(found.map(|(profile, _)| profile)), Place::Sidecar { .. })
        });
        let first = applications.next();
        let found = if applications.next().is_some() { MainBy::First } else { MainBy::Certain };
        let (index, name) = first.or_else(|| self.names().next())?;
        Some(Main { index, name, found })
    }

    /// Iterates over the index and name of every container that has a name.
    fn names(&self) -> impl Iterator<Item = (usize, &'a str)> {
        let containers = self.spec.containers().iter().enumerate();
        containers.filter_map(|(index, shape)| Some((index, shape.value()?.name.value()?.as_ref())))
    }

    /// Returns whether one container has the name, as Kubernetes requires.
    fn is_unique(&self, name: &str) -> bool {
        self.names().filter(|(_, own)| *own == name).count() == 1
    }

    /// Returns the index and name of the first container with a name.
    fn named(&self, name: &str) -> Option<(usize, &'a str)> {
        self.names().find(|(_, own)| *own == name)
    }
}

//! The behaviour of a container that stops without an injected hook. For the audit.

use super::own_delay::own_delay;
use super::own_hook::OwnHook;
use super::own_timeout::own_timeout;
use super::pod::Container;
use super::shell::{Word, base_name};
use crate::catalogue::{Catalogue, ImageReference, Profile, ProfileHook, Signal};
use crate::view::Shape;

/// Programs that stop other processes.
const KILLERS: [&str; 3] = ["kill", "pkill", "killall"];

/// A container without any injection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written<'c> {
    pub(crate) hook: WrittenHook,
    /// Whether the hook ends the application first and then sleeps to wait for its end.
    pub(crate) waits_after_quit: bool,
    /// Seconds for which the application keeps serving after its stop signal, according to its own
    /// settings.
    pub(crate) own_delay: i64,
    /// Seconds that the application takes to stop by its own settings, and the option that sets
    /// them.
    pub(crate) timeout: Option<(i64, &'static str)>,
    /// Whether the application is known to drop its requests on the stop signal.
    pub(crate) stops_abruptly: bool,
    /// Role of the container, according to the catalogue.
    pub(crate) role: WrittenRole,
    /// Name of the container's profile in the catalogue.
    pub(crate) profile: Option<&'c str>,
    /// Whether `lifecycle.stopSignal` differs from the signal that the container gets without it,
    /// so that the application depends on the field.
    pub(crate) needs_stop_signal: bool,
}

/// The container's own hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WrittenHook {
    None,
    /// The hook only sleeps, for this many seconds.
    Delay(i64),
    /// The hook does more, and sleeps for at least this many seconds.
    More(i64),
}

/// Role of a container, according to the catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WrittenRole {
    /// An application, or a container with an unknown image.
    Application,
    /// It runs beside an application.
    Sidecar,
    /// Its operator, chart or image handles its stop.
    LeftAlone,
}

impl<'c> Written<'c> {
    pub(crate) fn of(container: &Container<'_>, catalogue: &'c Catalogue) -> Self {
        let image = container.image.value().and_then(|image| ImageReference::parse(image));
        let name = container.name.value().map_or("", AsRef::as_ref);
        let profile = catalogue.for_container(name, image.as_ref()).map(|(profile, _)| profile);
        let role = match profile {
            Some(profile) if profile.sidecar_margin_seconds.is_some() => WrittenRole::Sidecar,
            Some(profile) if profile.hook == ProfileHook::LeaveAlone => WrittenRole::LeftAlone,
            _ => WrittenRole::Application,
        };
        Self {
            hook: hook(container),
            waits_after_quit: waits_after_quit(container),
            own_delay: own_delay(container),
            timeout: own_timeout(container).map(|timeout| (timeout.seconds, timeout.option)),
            stops_abruptly: profile
                .is_some_and(|profile| stops_abruptly(container, image.as_ref(), profile)),
            role,
            profile: profile.map(|profile| profile.name.as_str()),
            needs_stop_signal: needs_stop_signal(container, image.as_ref(), profile),
        }
    }

    /// Returns by how many seconds the stop signal is certainly delayed.
    pub(crate) const fn held_seconds(&self) -> i64 {
        match self.hook {
            WrittenHook::None => 0,
            WrittenHook::Delay(seconds) | WrittenHook::More(seconds) => seconds,
        }
    }
}

fn hook(container: &Container<'_>) -> WrittenHook {
    let pre_stop = container.lifecycle.value().map(|lifecycle| &lifecycle.pre_stop);
    match pre_stop {
        None | Some(Shape::Absent) => WrittenHook::None,
        Some(Shape::Wrong) => WrittenHook::More(0),
        Some(Shape::Value(hook)) => match OwnHook::read(hook) {
            Some(hook) if hook.is_plain_delay() => WrittenHook::Delay(hook.seconds),
            Some(hook) => WrittenHook::More(hook.seconds),
            None => WrittenHook::More(0),
        },
    }
}

/// Returns whether the first command of the hook stops a process.
fn waits_after_quit(container: &Container<'_>) -> bool {
    let hook = container.lifecycle.value().and_then(|lifecycle| lifecycle.pre_stop.value());
    let hook = hook.and_then(OwnHook::read);
    let first = hook.as_ref().and_then(|hook| hook.commands.first());
    first.filter(|first| first.after_seconds == 0).is_some_and(|first| {
        let words: Vec<_> = first.command.words.iter().filter_map(Word::certain).collect();
        KILLERS.contains(&base_name(first.command.program()))
            || words.windows(2).any(|pair| matches!(pair, ["-s", "quit" | "stop"]))
    })
}

fn needs_stop_signal(
    container: &Container<'_>,
    image: Option<&ImageReference<'_>>,
    profile: Option<&Profile>,
) -> bool {
    let own = container.lifecycle.value().and_then(|lifecycle| lifecycle.stop_signal.value());
    let Some(Ok(own)) = own.map(|signal| signal.parse::<Signal>()) else { return false };
    let of_image = image.zip(profile).filter(|(image, profile)| profile.is_for(image));
    let of_image = of_image.and_then(|(image, profile)| profile.stop_signal(image.certain_tag()));
    of_image.map_or(Signal::TERM, |fact| fact.signal) != own
}

/// Returns whether the application is known to drop its requests on the stop signal. If the author
/// sets a command, the program is not known.
fn stops_abruptly(
    container: &Container<'_>,
    image: Option<&ImageReference<'_>>,
    profile: &Profile,
) -> bool {
    let has_command = match &container.command {
        Shape::Absent => false,
        Shape::Value(command) => !command.is_empty(),
        Shape::Wrong => true,
    };
    let Some(image) = image.filter(|image| !has_command && profile.is_for(image)) else {
        return false;
    };
    let tag = image.certain_tag();
    let own = container.lifecycle.value().and_then(|lifecycle| lifecycle.stop_signal.value());
    let is_graceful = match own.map(|signal| signal.parse::<Signal>()) {
        None => profile.stop_signal(tag).map(|fact| fact.graceful),
        Some(Ok(signal)) => profile.is_graceful_signal(signal, tag),
        Some(Err(_)) => None,
    };
    is_graceful == Some(false)
}

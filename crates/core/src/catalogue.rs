//! Profiles: facts about applications and their images, as data. The built-in profiles are in
//! `catalogue/catalogue.yaml`; a configuration can add or replace profiles. Also lists which images
//! have a shell and a `sleep` program.
//!
//! A profile contains the images it is for, the hook that they need, and the signals by which they
//! stop. The first profile that matches an image is used, so the file is ordered: first images that
//! must not be mistaken for an application (controllers, exporters), then specific ones, then
//! general ones.

mod built_in;
mod index;
mod names;
mod programs;
mod signal;
mod tags;

pub(crate) mod glob;
pub(crate) mod image;

use std::sync::{Arc, LazyLock, Weak};

use serde::Deserialize;

use self::index::{Index, Indexed};
use self::names::ContainerNames;
use crate::duration::Delay;

pub use self::built_in::BUILT_IN_JSON;
pub use self::image::{ImagePattern, ImageReference, PatternError};
pub use self::programs::{Presence, Programs, ProgramsOfImages};
pub use self::signal::{Signal, UnknownSignal};
pub use self::tags::{Membership, RangeError, TagPattern, TagPatternError, TagRange};

/// Reserved values of `prestop.dev/profile`; no profile may have these names.
pub const RESERVED_NAMES: [&str; 2] = ["auto", "none"];

/// Profiles in the order in which they are tried, and facts about the programs of images. Clones
/// share both.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Catalogue {
    profiles: Arc<[Profile]>,
    index: Arc<Index>,
    container_names: Arc<ContainerNames>,
    programs: Arc<[ProgramsOfImages]>,
    programs_index: Arc<Index>,
}

/// Identity of a catalogue's profiles, which does not keep them in memory: clones of a catalogue
/// have the same edition, and no other catalogue has it.
#[derive(Debug, Clone)]
pub struct Edition(Weak<[Profile]>);

/// Facts about one application in one family of images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Unique name, used by `prestop.dev/profile` and the reports.
    pub name: String,
    /// The images that the profile is for. Empty for a profile that is selected by name only.
    pub images: Vec<ImagePattern>,
    /// The tags of these images that the profile is for. Empty: all tags, and references without a
    /// tag.
    pub tag_patterns: Vec<TagPattern>,
    /// The fixed names under which injectors add this sidecar to pods, used for images that match
    /// no profile.
    pub container_names: Vec<String>,
    /// The container's role among the servers of one pod.
    pub role: Option<Role>,
    /// The hook that these images need.
    pub hook: ProfileHook,
    /// The profile's own delay, which takes precedence over the configured default.
    pub delay: Option<Delay>,
    /// Whether the hook waits until connections are closed. Takes precedence over the configured
    /// default.
    pub hold: Option<Hold>,
    /// For a proxy or log shipper that must outlive the application: seconds by which its delay is
    /// longer than the longest delay of the application's containers.
    pub sidecar_margin_seconds: Option<i64>,
    /// The image's stop signals, and whether the application finishes its requests on them.
    pub stop_signals: Vec<StopSignal>,
    /// The reason for this hook, in one sentence.
    pub reason: String,
    /// Link to the source.
    pub link: String,
}

/// Whether a hook waits until the connections to the pod's ports are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hold {
    /// The hook does not wait for connections.
    None,
    /// The hook waits, if the image has the programs that this needs.
    Connections,
}

/// The role of a server if requests pass through more than one container of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Receives requests from clients and may pass them on: nginx, httpd, Caddy, a load balancer.
    Front,
    /// Receives requests from a front in the same pod, as php-fpm does, and has to outlive the
    /// front's drain.
    Backend,
}

/// How a container's profile was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy<'c> {
    /// By its image, with the pattern that matched.
    Image(&'c ImagePattern),
    /// By its name, because its image matches no profile.
    ContainerName,
}

/// The hook that a profile injects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileHook {
    /// No hook: the image's operator or chart sets one, or a delay would do harm.
    LeaveAlone,
    /// The delay alone: the image's own stop signal is sufficient, or there is nothing better.
    Delay,
    /// A delay, a quit, and a wait until the application is done.
    Quit(Quit),
}

/// How to ask an application to finish its work and exit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quit {
    /// The application's own command; empty if only a signal is used.
    pub command: Vec<String>,
    /// Signal for PID 1, if there is no command or the command failed.
    pub signal: Option<Signal>,
    /// The names (`/proc/1/comm`) under which PID 1 is the application. A PID 1 with another name
    /// gets no signal. A name that ends in `*` is a prefix: `php-fpm*` also matches `php-fpm8.2`.
    pub process_names: Vec<String>,
    /// Whether the quit is also used for an image that is known to stop gracefully without it.
    pub when: QuitWhen,
}

/// Condition for the use of a profile's quit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum QuitWhen {
    /// For every tag.
    #[default]
    Always,
    /// Only if image and tag are not known to stop gracefully on their stop signal.
    Needed,
}

/// A fact about images: the stop signal that the runtime sends, and its effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopSignal {
    /// The tags to which the fact applies; `None` for all, including unknown ones.
    pub tags: Option<TagRange>,
    /// The image's `STOPSIGNAL`; TERM if it has none.
    pub signal: Signal,
    /// Whether the application finishes its open requests on this signal.
    pub graceful: bool,
    /// Link to the source; may be empty.
    pub link: String,
}

impl Catalogue {
    /// Creates a catalogue from profiles in the order in which they are tried.
    #[must_use]
    pub fn new(profiles: Vec<Profile>) -> Self {
        Self {
            index: Arc::new(Index::of(&profiles)),
            container_names: Arc::new(ContainerNames::of(&profiles)),
            profiles: profiles.into(),
            ..Self::default()
        }
    }

    /// Replaces the facts about programs, given in the order in which they are tried.
    #[must_use]
    pub fn with_programs(self, programs: Vec<ProgramsOfImages>) -> Self {
        let programs_index = Arc::new(Index::of(&programs));
        Self { programs_index, programs: programs.into(), ..self }
    }

    /// Replaces the profiles and keeps the facts about programs.
    #[must_use]
    pub fn with_profiles(self, profiles: Vec<Profile>) -> Self {
        let Self { programs, programs_index, .. } = self;
        Self { programs, programs_index, ..Self::new(profiles) }
    }

    /// Returns the catalogue that is compiled in.
    #[must_use]
    pub fn built_in() -> &'static Self {
        static BUILT_IN: LazyLock<Catalogue> = LazyLock::new(built_in::built_in);
        &BUILT_IN
    }

    /// Returns all profiles, in the order in which they are tried.
    #[must_use]
    pub fn profiles(&self) -> &[Profile] {
        &self.profiles
    }

    /// Returns the identity of the profiles.
    #[must_use]
    pub fn edition(&self) -> Edition {
        Edition(Arc::downgrade(&self.profiles))
    }

    /// Returns the profile with a name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<&Profile> {
        self.profiles.iter().find(|profile| profile.name == name)
    }

    /// Returns the first profile for an image, with the pattern that matched.
    #[must_use]
    pub fn for_image(&self, image: &ImageReference<'_>) -> Option<(&Profile, &ImagePattern)> {
        self.index.first(&self.profiles, image)
    }

    /// Returns the profile of a container: the first one for its image, else the first one for its
    /// name. The placeholder image `auto` matches no profile.
    #[must_use]
    pub fn for_container(
        &self,
        name: &str,
        image: Option<&ImageReference<'_>>,
    ) -> Option<(&Profile, FoundBy<'_>)> {
        let image = image.filter(|image| !image.is_placeholder());
        if let Some((profile, pattern)) = image.and_then(|image| self.for_image(image)) {
            return Some((profile, FoundBy::Image(pattern)));
        }
        let profile = self.profiles.get(self.container_names.profile(name)?)?;
        Some((profile, FoundBy::ContainerName))
    }

    /// Returns whether an image has a shell and a `sleep` program, as far as known.
    #[must_use]
    pub fn programs(&self, image: &ImageReference<'_>) -> Programs {
        self.programs_of_images(image).map_or(Programs::UNKNOWN, |known| known.programs)
    }

    /// Returns the first fact about the programs of an image.
    #[must_use]
    pub fn programs_of_images(&self, image: &ImageReference<'_>) -> Option<&ProgramsOfImages> {
        self.programs_index.first(&self.programs, image).map(|(known, _)| known)
    }

    /// Returns all facts about programs, in the order in which they are tried.
    #[must_use]
    pub fn all_programs(&self) -> &[ProgramsOfImages] {
        &self.programs
    }
}

impl Edition {
    /// Returns whether the catalogue has these profiles.
    #[must_use]
    pub fn is_of(&self, catalogue: &Catalogue) -> bool {
        // The memory is not reused for another catalogue as long as a weak pointer to it exists.
        std::ptr::addr_eq(self.0.as_ptr(), Arc::as_ptr(&catalogue.profiles))
    }
}

impl Indexed for Profile {
    fn images(&self) -> &[ImagePattern] {
        &self.images
    }

    fn is_for_tag(&self, tag: Option<&str>) -> bool {
        tags::any_matches(&self.tag_patterns, tag)
    }
}

impl Profile {
    /// Returns whether one of the profile's patterns matches this image.
    #[must_use]
    pub fn is_for(&self, image: &ImageReference<'_>) -> bool {
        self.is_for_tag(image.tag) && self.images.iter().any(|pattern| pattern.matches(image))
    }

    /// Returns the stop signal of the image with this tag (`None`: no tag, or not certain), if it
    /// is known. The first fact that certainly applies is used.
    #[must_use]
    pub fn stop_signal(&self, tag: Option<&str>) -> Option<&StopSignal> {
        self.stop_signals.iter().find(|fact| fact.holds_for(tag))
    }

    /// Returns whether the application finishes its requests on this signal, whatever the image's
    /// own signal is; `None` if that is not known. A fact for this signal that certainly applies to
    /// the tag decides; otherwise all facts about the signal have to agree. The signal of the
    /// profile's quit is graceful.
    #[must_use]
    pub fn is_graceful_signal(&self, signal: Signal, tag: Option<&str>) -> Option<bool> {
        let mut facts = self.stop_signals.iter().filter(|fact| fact.signal == signal);
        if let Some(certain) = facts.clone().find(|fact| fact.holds_for(tag)) {
            return Some(certain.graceful);
        }
        if let Some(first) = facts.next() {
            return facts.all(|fact| fact.graceful == first.graceful).then_some(first.graceful);
        }
        let quit_sends_it =
            matches!(&self.hook, ProfileHook::Quit(quit) if quit.signal == Some(signal));
        quit_sends_it.then_some(true)
    }

    /// Returns whether the image is known to finish its requests on its own stop signal.
    #[must_use]
    pub fn stops_gracefully(&self, tag: Option<&str>) -> bool {
        self.stop_signal(tag).is_some_and(|fact| fact.graceful)
    }
}

impl StopSignal {
    /// Returns whether the fact certainly applies to the tag.
    fn holds_for(&self, tag: Option<&str>) -> bool {
        self.tags.as_ref().is_none_or(|range| range.contains(tag) == Membership::Inside)
    }
}

//! `prestop catalogue`: lists known applications, and explains which hook an image gets.

use std::io::{self, Write};

use prestop_core::catalogue::{
    Catalogue, Hold, ImageReference, Presence, Profile, ProfileHook, Programs, Quit, QuitWhen, Role,
};
use prestop_core::duration::HumanSeconds;
use prestop_core::policy::Policy;
use serde_json::{Value, json};

use super::Exit;
use crate::cli::{CatalogueArguments, ReadingForm};

/// Version of the JSON form.
const FORM_VERSION: u32 = 1;

/// Lists the catalogue, or explains images.
pub(super) fn run(arguments: &CatalogueArguments) -> anyhow::Result<Exit> {
    let policy = super::policy(arguments.config.as_deref())?;
    let mut out = io::stdout().lock();
    if arguments.output == ReadingForm::Json {
        return for_machines(&arguments.images, &policy, &mut out);
    }
    if arguments.images.is_empty() {
        list(&policy, &mut out)?;
        return Ok(Exit::Done);
    }
    let mut exit = Exit::Done;
    for image in &arguments.images {
        if !explain(image, &policy, &mut out)? {
            exit = Exit::BadInput;
        }
    }
    Ok(exit)
}

/// Writes the catalogue, or the result for each image, as one JSON object.
fn for_machines(images: &[String], policy: &Policy, out: &mut impl Write) -> anyhow::Result<Exit> {
    let mut exit = Exit::Done;
    let report = if images.is_empty() {
        let profiles: Vec<_> = policy.catalogue.profiles().iter().map(described).collect();
        json!({"version": FORM_VERSION, "profiles": profiles})
    } else {
        let images = images.iter().map(|image| {
            let Some(reference) = ImageReference::parse(image) else {
                exit = Exit::BadInput;
                return json!({"image": image, "error": "not an image reference"});
            };
            let Some((profile, pattern)) = policy.catalogue.for_image(&reference) else {
                let programs = programs_of(&reference, &policy.catalogue);
                return json!({"image": image, "profile": null, "programs": programs});
            };
            let fact = profile.stop_signal(reference.certain_tag());
            json!({
                "image": image, "pattern": pattern.to_string(), "profile": described(profile),
                "programs": programs_of(&reference, &policy.catalogue),
                "stop": fact.map(|fact| json!({
                    "signal": fact.signal.to_string(), "isGraceful": fact.graceful,
                    "link": fact.link,
                })),
            })
        });
        json!({"version": FORM_VERSION, "images": images.collect::<Vec<_>>()})
    };
    writeln!(out, "{report:#}")?;
    Ok(exit)
}

fn described(profile: &Profile) -> Value {
    let images: Vec<_> = profile.images.iter().map(ToString::to_string).collect();
    let mut described = json!({
        "name": profile.name, "images": images, "hook": hook(profile),
        "reason": profile.reason, "link": profile.link,
    });
    let least_delay = profile.delay.filter(|delay| delay.is_range());
    let fields = [
        ("delaySeconds", profile.delay.map(|delay| delay.most_seconds.into())),
        ("leastDelaySeconds", least_delay.map(|delay| delay.least_seconds.into())),
        ("hold", profile.hold.map(|hold| Value::from(hold_word(hold)))),
        ("sidecarMarginSeconds", profile.sidecar_margin_seconds.map(Value::from)),
        ("quit", quit_of(profile).map(|quit| Value::from(quit_words(quit)))),
        ("tagPatterns", texts(&profile.tag_patterns)),
        ("containerNames", texts(&profile.container_names)),
        ("role", profile.role.map(|role| Value::from(role_word(role)))),
    ];
    if let Some(object) = described.as_object_mut() {
        let set = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        object.extend(set);
    }
    described
}

/// Returns a list of texts, unless it is empty.
fn texts(values: &[impl ToString]) -> Option<Value> {
    let texts: Vec<_> = values.iter().map(ToString::to_string).collect();
    (!texts.is_empty()).then(|| Value::from(texts))
}

fn programs_of(reference: &ImageReference<'_>, catalogue: &Catalogue) -> Value {
    let Programs { shell, sleep } = catalogue.programs(reference);
    let word = |presence| match presence {
        Presence::Present => "present",
        Presence::Absent => "absent",
        Presence::Unknown => "unknown",
    };
    json!({"shell": word(shell), "sleep": word(sleep)})
}

const fn hold_word(hold: Hold) -> &'static str {
    match hold {
        Hold::None => "none",
        Hold::Connections => "connections",
    }
}

const fn role_word(role: Role) -> &'static str {
    match role {
        Role::Front => "front",
        Role::Backend => "backend",
    }
}

const fn quit_of(profile: &Profile) -> Option<&Quit> {
    match &profile.hook {
        ProfileHook::Quit(quit) => Some(quit),
        ProfileHook::LeaveAlone | ProfileHook::Delay => None,
    }
}

/// Writes one line per profile: name, hook, images with their tags, containers.
fn list(policy: &Policy, out: &mut impl Write) -> io::Result<()> {
    let profiles = policy.catalogue.profiles();
    let width = profiles.iter().map(|profile| profile.name.len()).max().unwrap_or_default();
    for profile in profiles {
        let (hook, matches) = (hook(profile), matches(profile));
        writeln!(out, "{:width$}  {hook:30}  {matches}", profile.name)?;
    }
    writeln!(
        out,
        "\nThe first match is used; container names count only if no profile matches the image.\nImages that match no profile get the delay only."
    )
}

/// Explains the hook of an image. Returns false if it is not an image reference.
fn explain(image: &str, policy: &Policy, out: &mut impl Write) -> io::Result<bool> {
    let Some(reference) = ImageReference::parse(image) else {
        writeln!(
            out,
            "{image}: not an image reference; a pod with this image gets the delay only"
        )?;
        return Ok(false);
    };
    let Some((profile, pattern)) = policy.catalogue.for_image(&reference) else {
        writeln!(out, "{image}: no profile matches: delay only")?;
        explain_programs(&reference, &policy.catalogue, out)?;
        return Ok(true);
    };
    writeln!(out, "{image}: profile {} (matches {pattern})", profile.name)?;
    writeln!(out, "  hook     {}", hook(profile))?;
    match profile.role {
        None => {}
        Some(Role::Front) => writeln!(out, "  role     front: backends in its pod outlive it")?,
        Some(Role::Backend) => writeln!(out, "  role     backend: outlives a front in its pod")?,
    }
    if let Some(delay) = profile.delay {
        writeln!(out, "  delay    {delay}")?;
    }
    if let Some(seconds) = profile.sidecar_margin_seconds {
        writeln!(out, "  sidecar  stays {} longer than the application", HumanSeconds(seconds))?;
    }
    match profile.stop_signal(reference.certain_tag()) {
        None => writeln!(out, "  stop     by a signal that image and tag do not determine")?,
        Some(fact) => {
            let how = if fact.graceful { "finishes its requests" } else { "drops its requests" };
            writeln!(out, "  stop     by {}, on which it {how}", fact.signal)?;
            if !fact.link.is_empty() && fact.link != profile.link {
                writeln!(out, "           {}", fact.link)?;
            }
        }
    }
    if let ProfileHook::Quit(quit) = &profile.hook {
        let graceful = profile.stops_gracefully(reference.certain_tag());
        writeln!(out, "  quit     {}", quit_words(quit))?;
        let wait = match (graceful, quit.when) {
            (true, QuitWhen::Needed) => "not needed for this tag: delay only",
            (true, QuitWhen::Always) => "no wait after it: the stop signal is graceful too",
            (false, _) => "then wait until it is done: the stop signal may not be graceful",
        };
        writeln!(out, "           {wait}")?;
    }
    if profile.hold == Some(Hold::Connections) {
        let instead = if quit_of(profile).is_some() { ", instead of the quit" } else { "" };
        writeln!(out, "  hold     until no connection is left, if the image has a shell{instead}")?;
    }
    writeln!(out, "  why      {}\n           {}", profile.reason, profile.link)?;
    explain_programs(&reference, &policy.catalogue, out)?;
    Ok(true)
}

/// Writes whether a hook can run a shell or `sleep` in the image, if known.
fn explain_programs(
    reference: &ImageReference<'_>,
    catalogue: &Catalogue,
    out: &mut impl Write,
) -> io::Result<()> {
    let Some(known) = catalogue.programs_of_images(reference) else {
        return writeln!(out, "  programs shell and sleep: not known");
    };
    let Programs { shell, sleep } = known.programs;
    let word = |presence| match presence {
        Presence::Present => "yes",
        Presence::Absent => "no",
        Presence::Unknown => "not known",
    };
    writeln!(out, "  programs shell: {}; sleep: {}", word(shell), word(sleep))?;
    writeln!(out, "           {}\n           {}", known.reason, known.link)
}

/// Returns the conditions by which a profile is found.
fn matches(profile: &Profile) -> String {
    let words = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(" ");
    let mut text = words(&mut profile.images.iter().map(ToString::to_string));
    if !profile.tag_patterns.is_empty() {
        let tags = words(&mut profile.tag_patterns.iter().map(ToString::to_string));
        text = format!("{text} (tags {tags})");
    }
    if !profile.container_names.is_empty() {
        let names = profile.container_names.join(" ");
        text = format!("{text} (containers {names})");
    }
    if text.is_empty() { "(by name only)".to_owned() } else { text.trim_start().to_owned() }
}

fn hook(profile: &Profile) -> &'static str {
    match &profile.hook {
        ProfileHook::LeaveAlone => "left alone",
        ProfileHook::Delay if profile.sidecar_margin_seconds.is_some() => "delay, as a sidecar",
        ProfileHook::Delay => "delay",
        ProfileHook::Quit(Quit { when: QuitWhen::Always, .. }) => "delay, quit",
        ProfileHook::Quit(Quit { when: QuitWhen::Needed, .. }) => "delay, quit where needed",
    }
}

fn quit_words(quit: &Quit) -> String {
    let names = quit.process_names.join(" or ");
    match (quit.command.is_empty(), quit.signal) {
        (false, Some(signal)) => {
            format!("{}, else {signal} to PID 1 if that is {names}", quit.command.join(" "))
        }
        (false, None) => quit.command.join(" "),
        (true, Some(signal)) => format!("{signal} to PID 1 if that is {names}"),
        (true, None) => String::new(),
    }
}

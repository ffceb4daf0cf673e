//! `prestop catalogue`: what is known about applications, and what one image gets and why.

use std::io::{self, Write};

use crate::catalogue::{ImageReference, Profile, ProfileHook, Quit, QuitWhen};
use crate::cli::CatalogueArguments;
use crate::duration::HumanSeconds;
use crate::policy::Policy;

use super::Exit;

/// Lists the catalogue, or explains images.
pub(super) fn run(arguments: &CatalogueArguments) -> anyhow::Result<Exit> {
    let policy = super::policy(arguments.config.as_deref())?;
    let mut out = io::stdout().lock();
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

/// One line per profile: name, hook, images.
fn list(policy: &Policy, out: &mut impl Write) -> io::Result<()> {
    let profiles = policy.catalogue.profiles();
    let width = profiles.iter().map(|profile| profile.name.len()).max().unwrap_or_default();
    for profile in profiles {
        let images: Vec<_> = profile.images.iter().map(ToString::to_string).collect();
        let images = if images.is_empty() { "(by name only)".to_owned() } else { images.join(" ") };
        let hook = hook(profile);
        writeln!(out, "{:width$}  {hook:30}  {images}", profile.name)?;
    }
    writeln!(
        out,
        "\nThe first that matches is taken. Images that none matches get the delay alone."
    )
}

/// What one image gets. False where it is no image reference.
fn explain(image: &str, policy: &Policy, out: &mut impl Write) -> io::Result<bool> {
    let Some(reference) = ImageReference::parse(image) else {
        writeln!(out, "{image}: not an image reference; a pod with it gets the delay alone")?;
        return Ok(false);
    };
    let Some((profile, pattern)) = policy.catalogue.for_image(&reference) else {
        writeln!(out, "{image}: no profile matches: delay only")?;
        return Ok(true);
    };
    writeln!(out, "{image}: profile {} (matches {pattern})", profile.name)?;
    writeln!(out, "  hook     {}", hook(profile))?;
    if let Some(seconds) = profile.delay_seconds {
        writeln!(out, "  delay    {}", HumanSeconds(seconds))?;
    }
    if let Some(seconds) = profile.sidecar_margin_seconds {
        writeln!(out, "  sidecar  stays {} longer than the application", HumanSeconds(seconds))?;
    }
    match profile.stop_signal(reference.certain_tag()) {
        None => writeln!(out, "  stop     by a signal that image and tag do not tell")?,
        Some(fact) => {
            let how = if fact.graceful { "finishes its requests" } else { "drops its requests" };
            writeln!(out, "  stop     by {}, on which it {how}", fact.signal)?;
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
    writeln!(out, "  why      {}\n           {}", profile.reason, profile.link)?;
    Ok(true)
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
    let told = match (quit.command.is_empty(), quit.signal) {
        (false, Some(signal)) => format!("{}, else {signal} to PID 1", quit.command.join(" ")),
        (false, None) => quit.command.join(" "),
        (true, Some(signal)) => format!("{signal} to PID 1"),
        (true, None) => String::new(),
    };
    format!("{told}; only if PID 1 is {names}")
}

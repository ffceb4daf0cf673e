//! Commands of a hook that end the application (`docs/rules.md`, section 10): its own quit
//! commands, and signals.

use crate::catalogue::{ImageReference, Profile, ProfileHook, Signal};

use super::container::{Candidate, Context};
use super::own_hook::program;
use super::shell::{self, Command, Word, base_name};

/// Effect of a command on the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// The application accepts no new connections and finishes its requests.
    Finishes,
    /// The application drops its requests.
    Drops,
}

/// The application of a container.
pub(super) struct Application<'s, 'a> {
    pub(super) candidate: &'s Candidate<'a>,
    pub(super) context: &'s Context<'a>,
}

impl Application<'_, '_> {
    /// Returns the effect of the command; `None` if it does not end the application.
    pub(super) fn effect(&self, command: &Command<'_>) -> Option<Effect> {
        let (program, arguments) = program(&command.words)?;
        match program {
            "nginx" | "nginx-debug" | "openresty" | "angie" => of_option(arguments, "-s"),
            "apache2" | "httpd" => of_option(arguments, "-k"),
            "apachectl" | "apache2ctl" => {
                of_option(arguments, "-k").or_else(|| effect_of_word(arguments.first()?.certain()?))
            }
            "kill" | "pkill" | "killall" => self.effect_of_signal(program, arguments),
            _ => None,
        }
        .or_else(|| self.is_quit_of_profile(program, arguments).then_some(Effect::Finishes))
    }

    fn is_quit_of_profile(&self, program: &str, arguments: &[Word<'_>]) -> bool {
        let Some(Profile { hook: ProfileHook::Quit(quit), .. }) = self.candidate.known else {
            return false;
        };
        let Some((first, rest)) = quit.command.split_first() else { return false };
        base_name(first) == program
            && arguments.iter().map(Word::certain).eq(rest.iter().map(|word| Some(word.as_str())))
    }

    fn effect_of_signal(&self, program: &str, arguments: &[Word<'_>]) -> Option<Effect> {
        let (signal, target) = sent(program, arguments)?;
        let profile = self.candidate.known?;
        let quit = match &profile.hook {
            ProfileHook::Quit(quit) => Some(quit),
            ProfileHook::Delay | ProfileHook::LeaveAlone => None,
        };
        let names = quit.map_or(&[][..], |quit| &quit.process_names);
        let is_application = match target.certain() {
            Some("1") if program == "kill" => {
                self.context.spec.has_own_process_namespaces() && !self.has_own_command()
            }
            Some(_) if program == "kill" => false,
            Some(target) => names.iter().any(|name| is_name(target, name)),
            // Such as `$(cat /run/nginx.pid)`, `$(pidof nginx)`.
            None => names.iter().any(|name| target.text.contains(name.trim_end_matches('*'))),
        };
        if !is_application {
            return None;
        }
        if quit.is_some_and(|quit| quit.signal == Some(signal)) {
            return Some(Effect::Finishes);
        }
        let image = self.candidate.container?.image.value();
        let image = image.and_then(|image| ImageReference::parse(image));
        let image = image.as_ref().filter(|image| profile.is_for(image))?;
        let is_graceful = profile.is_graceful_signal(signal, image.certain_tag())?;
        Some(if is_graceful { Effect::Finishes } else { Effect::Drops })
    }

    /// Returns whether the container has its own command, which may run any program.
    fn has_own_command(&self) -> bool {
        let command = self.candidate.container.map(|container| &container.command);
        command.and_then(shell::list).is_none_or(|command| !command.is_empty())
    }
}

/// Returns the effect of an option with a word for the kind of stop: `-s quit`, `-squit`.
fn of_option(arguments: &[Word<'_>], option: &str) -> Option<Effect> {
    let mut arguments = arguments.iter().map(Word::certain);
    while let Some(argument) = arguments.next() {
        match argument?.strip_prefix(option) {
            Some("") => return effect_of_word(arguments.next()??),
            Some(word) => return effect_of_word(word),
            None => {}
        }
    }
    None
}

fn effect_of_word(word: &str) -> Option<Effect> {
    match word {
        "quit" | "graceful-stop" => Some(Effect::Finishes),
        "stop" => Some(Effect::Drops),
        _ => None,
    }
}

/// Returns the signal that `kill`, `pkill` or `killall` sends, and its target; `None` unless there is
/// exactly one target.
fn sent<'w, 'a>(program: &str, arguments: &'w [Word<'a>]) -> Option<(Signal, &'w Word<'a>)> {
    let mut sent = signal("TERM");
    let mut rest = arguments;
    while let [first, tail @ ..] = rest
        && let Some(option) = first.certain().and_then(|text| text.strip_prefix('-'))
    {
        rest = tail;
        match option {
            "-" => break,
            "s" | "n" | "-signal" => {
                let (name, tail) = tail.split_first()?;
                sent = signal(name.certain()?);
                rest = tail;
            }
            "x" | "f" | "o" | "e" | "q" if program != "kill" => {}
            option => sent = signal(option.strip_prefix("-signal=").unwrap_or(option)),
        }
        sent?;
    }
    match rest {
        [target] => Some((sent?, target)),
        _ => None,
    }
}

/// Parses a signal as a shell does: by name in any case, or by its number on Linux.
fn signal(text: &str) -> Option<Signal> {
    let name = match text {
        "1" => "HUP",
        "2" => "INT",
        "3" => "QUIT",
        "10" => "USR1",
        "12" => "USR2",
        "15" => "TERM",
        "28" => "WINCH",
        name => name,
    };
    name.to_ascii_uppercase().parse().ok()
}

fn is_name(target: &str, name: &str) -> bool {
    name.strip_suffix('*').map_or(target == name, |start| target.starts_with(start))
}

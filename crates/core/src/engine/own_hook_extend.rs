//! Existing hooks that are completed: `prestop.dev/own-hook: extend` (`docs/rules.md`, section 13).

use std::borrow::Cow;

use serde_json::{Value, json};

use super::Source;
use super::container::quit::Quit;
use super::container::{Candidate, Context, Ending, ImagePrograms, Sleep};
use super::hook;
use super::own_hook::{OwnHook, Rest};
use super::own_hook_end::{Application, Effect};
use super::own_hook_form::{Form, Program};
use super::own_hook_problems::is_instant;
use super::pod::PreStop;
use crate::catalogue::Presence;
use crate::policy::OwnHookRule;

/// Size limit for a hook or status that is kept in the status annotation, in bytes.
pub(super) const LARGEST_KEPT_BYTES: usize = 4 * 1024;

const WINDOWS: &str = "the pod is for Windows";
const NO_SLEEP: &str = "the image has no sleep program";
const OTHER_FIELD: &str = "the hook has a field that Kubernetes does not know";

/// A hook of the author that is replaced by a hook that does more.
#[derive(Debug, Clone)]
pub(super) struct Extension<'a> {
    original: &'a PreStop<'a>,
    /// Seconds for which the hook sleeps before any other command.
    pub(super) delay_seconds: i64,
    /// Source of the delay without this hook.
    delay_from: Source,
    /// The program that the hook runs after that.
    pub(super) program: Option<Program<'a>>,
}

/// Reason why a hook is not completed although its author asked for it; `None` if there is nothing
/// to complete.
pub(super) type Refusal = Option<&'static str>;

impl<'a> Context<'a> {
    /// Returns the extension of a container's hook, if the settings ask for one.
    pub(super) fn extension(
        &self,
        own: Option<OwnHookRule>,
        hook: &'a PreStop<'a>,
        programs: ImagePrograms<'_>,
        delay_from: Source,
    ) -> Result<Extension<'a>, Refusal> {
        let levels = [own, self.pod.own_hook, self.namespace.own_hook];
        let said = levels.into_iter().flatten().next().unwrap_or(self.policy.default_own_hook);
        if said == OwnHookRule::Keep || !self.extends || hook::is_script(hook) {
            return Err(None);
        }
        match Form::of(hook) {
            // A sleep of 0 s is the way to declare in Kubernetes that no delay is needed.
            // `Unusable` is a hook that the API server refuses or that never runs.
            Form::Delay { seconds: 0 } | Form::Unusable => Err(None),
            // It would be lost: the status keeps the known fields.
            Form::Delay { .. } | Form::Program(_) if has_other_fields(hook) => {
                Err(Some(OTHER_FIELD))
            }
            // It is not known which programs a Windows image has.
            Form::Delay { .. } | Form::Program(_)
                if self.is_for_windows && !hook.exec.is_absent() =>
            {
                Err(Some(WINDOWS))
            }
            Form::Delay { .. } if matches!(self.sleep(programs, None), Sleep::Impossible(_)) => {
                Err(Some(if self.is_for_windows { WINDOWS } else { NO_SLEEP }))
            }
            Form::Delay { seconds } => {
                Ok(Extension { original: hook, delay_seconds: seconds, delay_from, program: None })
            }
            Form::Program(_) if programs.get().shell == Presence::Absent => {
                Err(Some("the image has no shell to run a delay before it"))
            }
            Form::Program(_) if programs.get().sleep == Presence::Absent => Err(Some(NO_SLEEP)),
            Form::Program(program) => Ok(Extension {
                original: hook,
                delay_seconds: program.after_seconds,
                delay_from,
                program: Some(program),
            }),
            Form::HttpGet => Err(Some("a delay can't be put before an httpGet hook")),
        }
    }
}

impl<'a> Extension<'a> {
    /// Returns the quit that runs the author's program.
    pub(super) fn quit(&self) -> Option<Quit<'a>> {
        let program = self.program.as_ref()?;
        let command = program.command.iter().map(|argument| (*argument).to_owned()).collect();
        Some(Quit {
            command: Cow::Owned(command),
            signal: None,
            process_names: &[],
            waits: false,
            from: Source::OwnHook,
        })
    }

    /// Returns the original hook in the form that the status annotation keeps.
    pub(super) fn kept(&self) -> Value {
        let PreStop { sleep, exec, .. } = self.original;
        let arguments = |exec: &super::pod::Exec<'_>| {
            let command = exec.command.value().map(Vec::as_slice).unwrap_or_default();
            command
                .iter()
                .filter_map(|text| Some(text.value()?.clone().into_owned()))
                .collect::<Vec<_>>()
        };
        let original = match (sleep.value(), exec.value()) {
            (Some(sleep), _) => json!({"sleep": {"seconds": sleep.seconds.value()}}),
            (None, Some(exec)) => json!({"exec": {"command": arguments(exec)}}),
            (None, None) => Value::Null,
        };
        let text = original.to_string();
        if text.len() > LARGEST_KEPT_BYTES {
            return Value::from(digest(text.as_bytes()));
        }
        original
    }
}

/// Returns whether the hook has a field that Kubernetes does not know. An API server removes such
/// fields, manifests may contain them.
fn has_other_fields(hook: &PreStop<'_>) -> bool {
    hook.has_other_fields
        || hook.sleep.value().is_some_and(|sleep| sleep.has_other_fields)
        || hook.exec.value().is_some_and(|exec| exec.has_other_fields)
}

/// Returns the FNV-1a hash with 64 bits, which is sufficient to recognise the original hook.
fn digest(bytes: &[u8]) -> String {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("fnv1a:{hash:016x}")
}

impl<'a> Candidate<'a> {
    /// Completes the author's hook: at least its own delay, and time for its quit.
    pub(super) fn complete(&mut self, context: &Context<'a>) {
        let Some(extension) = &self.extension else { return };
        let own = extension.delay_seconds;
        if own > self.delay_seconds {
            self.delay_seconds = own;
            self.delay_from = Source::OwnHook;
        }
        self.least_seconds = self.least_seconds.max(own);
        self.unwatched = self.unwatched.filter(|_| own < self.delay_seconds);
        let waits = extension
            .program
            .as_ref()
            .and_then(|program| self.last_end(&program.content, context))
            .is_some_and(|is_signal| is_signal || self.ending != Ending::Graceful);
        if let Some(quit) = self.quit.as_mut().filter(|quit| quit.from == Source::OwnHook) {
            quit.waits = waits;
        }
    }

    /// Returns whether an annotation for this container sets its delay.
    pub(super) fn has_delay_of_its_own(&self) -> bool {
        let replaced = self.extension.as_ref().map(|extension| extension.delay_from);
        [Some(self.delay_from), replaced].contains(&Some(Source::Container))
    }

    /// Returns whether a hook's last command makes the application finish, and if so, whether it
    /// sends a signal.
    fn last_end(&self, hook: &OwnHook<'_>, context: &Context<'a>) -> Option<bool> {
        let mut last = hook.commands.iter().rev().skip_while(|run| is_instant(run));
        let run = last.next()?;
        if hook.rest == Rest::Unknown || hook.seconds > run.after_seconds {
            return None;
        }
        let application = Application { candidate: self, context };
        let effect = application.effect(&run.command)?;
        let is_signal = super::own_hook::program(&run.command.words)
            .is_some_and(|(program, _)| matches!(program, "kill" | "pkill" | "killall"));
        (effect == Effect::Finishes).then_some(is_signal)
    }
}

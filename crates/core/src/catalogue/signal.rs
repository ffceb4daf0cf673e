//! Signals by name, as `kill -s NAME` of every POSIX shell understands them.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// Names of the signals that may be sent to an application. KILL and STOP are excluded: neither
/// asks an application to finish its requests.
const NAMES: &[&str] = &[
    "ABRT", "ALRM", "CONT", "HUP", "INT", "PIPE", "QUIT", "TERM", "TSTP", "TTIN", "TTOU", "URG",
    "USR1", "USR2", "WINCH",
];

/// A signal that can ask an application to quit, by its name without `SIG`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Signal(&'static str);

/// Error for a text that is not the name of a supported signal.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a supported signal; use one of {}", NAMES.join(", "))]
pub struct UnknownSignal;

impl Signal {
    /// The default stop signal of container runtimes.
    pub const TERM: Self = Self("TERM");

    /// The name without `SIG`, upper case: `QUIT`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.0
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// Parses `QUIT` or `SIGQUIT`; upper case only, no numbers.
    fn from_str(text: &str) -> Result<Self, UnknownSignal> {
        let name = text.strip_prefix("SIG").unwrap_or(text);
        NAMES.iter().find(|known| **known == name).map(|known| Self(known)).ok_or(UnknownSignal)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_with_and_without_prefix() {
        assert_eq!("QUIT".parse::<Signal>().map(Signal::name), Ok("QUIT"));
        assert_eq!("SIGWINCH".parse::<Signal>().map(Signal::name), Ok("WINCH"));
    }

    #[test]
    fn refuses_what_does_not_ask_an_application_to_finish() {
        for text in
            ["", "KILL", "SIGKILL", "STOP", "9", "quit", "SIG", "SIGSIGQUIT", "QUIT 1", "-QUIT"]
        {
            assert_eq!(text.parse::<Signal>(), Err(UnknownSignal), "{text:?}");
        }
    }
}

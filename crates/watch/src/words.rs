//! Lines for people.

use jiff::Timestamp;

use super::cause::Cause;
use super::gaps::{Gap, Source};
use super::judge::{End, Withdrawn};
use super::termination::Termination;
use super::verdict::Weight;

/// Prints a time of day as `12:03:44`, in UTC.
#[must_use]
pub fn clock(at: Timestamp) -> String {
    let seconds = at.as_second().rem_euclid(24 * 3600);
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Prints seconds as `0.3s` or `12s`: tenths only if they are not zero.
#[must_use]
pub fn seconds(seconds: f64) -> String {
    let text = format!("{seconds:.1}");
    format!("{}s", text.strip_suffix(".0").unwrap_or(&text))
}

/// Prints a count as `1 pod` or `2 pods`.
#[must_use]
pub fn count(number: u64, word: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {word}{plural}")
}

impl Weight {
    /// Returns the sign at the beginning of a line.
    #[must_use]
    pub const fn sign(self) -> char {
        match self {
            Self::Bad => '×',
            Self::Unknown => '‼',
            Self::Good => '√',
        }
    }
}

impl Termination {
    /// Returns the termination as one line. `weight` is its weight without accepted verdicts.
    #[must_use]
    pub fn line(&self, weight: Weight) -> String {
        let mut parts = vec![self.deletion()];
        parts.extend(self.withdrawal());
        parts.extend(
            self.hook_ended_after.map(|after| format!("hook ended after {}", seconds(after))),
        );
        if let (Some(after), Some(how)) = (self.exited_after(), self.exit()) {
            parts.push(format!("exited after {} with {how}", seconds(after.max(0.0))));
        }
        let sentences: Vec<_> =
            self.verdicts.iter().map(|verdict| verdict.text().sentence).collect();
        format!(
            "{} {}/{} {}: {}: {} [{}]",
            weight.sign(),
            self.namespace,
            self.pod,
            self.container,
            parts.join(", "),
            sentences.join("; "),
            self.verdict().code()
        )
    }

    fn deletion(&self) -> String {
        let Some(deleted) = self.deleted else { return "vanished".to_owned() };
        let by = match self.cause {
            Cause::Unknown => String::new(),
            cause => format!(" ({})", cause.words()),
        };
        format!("deleted at {}{by}", clock(deleted))
    }

    fn withdrawal(&self) -> Option<String> {
        match self.withdrawn? {
            Withdrawn::After(after) => Some(format!("endpoint withdrawn after {}", seconds(after))),
            Withdrawn::NotWithin(after) => {
                Some(format!("endpoint not withdrawn within {}", seconds(after)))
            }
            Withdrawn::Unknown => None,
        }
    }

    /// Prints the exit as `code 0` or `signal TERM (143)`.
    fn exit(&self) -> Option<String> {
        let End::Exited(exit) = &self.end else { return None };
        let name = exit.signal.and_then(signal_name);
        Some(match (name, exit.signal) {
            (Some(name), _) => format!("signal {name} ({})", exit.code),
            (None, Some(signal)) => format!("signal {signal} ({})", exit.code),
            (None, None) => format!("code {}", exit.code),
        })
    }
}

impl Gap {
    /// Returns the gap as one line.
    #[must_use]
    pub fn line(&self) -> String {
        let times = format!("{} to {}", clock(self.from), clock(self.to));
        let missed = if self.listed_anew.is_empty() {
            "each watch continued where it had stopped; nothing was missed".to_owned()
        } else {
            let names: Vec<_> = self.listed_anew.iter().map(|source| source.words()).collect();
            let vanished = match self.vanished {
                0 => "no pod that ran before is missing".to_owned(),
                pods => format!("{} ended unseen", count(pods, "pod")),
            };
            format!("{} were listed anew; {vanished}", names.join(" and "))
        };
        format!(
            "‼ no connection to the API server for {} ({times}: {}): {missed} [gap]",
            seconds(self.seconds()),
            self.why
        )
    }
}

impl Source {
    /// Words for people.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Pods => "pods",
            Self::Events => "events",
            Self::EndpointSlices => "endpoint slices",
        }
    }
}

const fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "HUP",
        2 => "INT",
        3 => "QUIT",
        4 => "ILL",
        6 => "ABRT",
        7 => "BUS",
        8 => "FPE",
        9 => "KILL",
        10 => "USR1",
        11 => "SEGV",
        12 => "USR2",
        15 => "TERM",
        28 => "WINCH",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        assert_eq!(clock(Timestamp::from_second(86_400 * 3 + 3_723).unwrap()), "01:02:03");
        assert_eq!(seconds(0.34), "0.3s");
        assert_eq!(seconds(12.0), "12s");
        assert_eq!(count(1, "pod"), "1 pod");
        assert_eq!(count(0, "pod"), "0 pods");
    }

    #[test]
    fn a_gap_says_what_was_missed() {
        let gap = |listed_anew, vanished| Gap {
            from: Timestamp::from_second(60).unwrap(),
            to: Timestamp::from_second(80).unwrap(),
            why: "connection refused".to_owned(),
            listed_anew,
            vanished,
        };
        let line = gap(Vec::new(), 0).line();
        assert!(line.contains("for 20s (00:01:00 to 00:01:20: connection refused)"), "{line}");
        assert!(line.contains("nothing was missed"), "{line}");
        let line = gap(vec![Source::Pods, Source::Events], 2).line();
        assert!(line.contains("pods and events were listed anew; 2 pods ended unseen"), "{line}");
        assert!(gap(vec![Source::Pods], 0).line().contains("no pod that ran before is missing"));
    }
}

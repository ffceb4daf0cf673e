//! Totals of a watch.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::gaps::Gap;
use super::termination::{API_VERSION, Termination};
use super::verdict::{Verdict, Weight};
use super::words::{count, seconds};

/// Counts of terminations.
#[derive(Debug, Default)]
pub struct Summary {
    /// Verdicts that are accepted although they are bad.
    accepted: BTreeSet<Verdict>,
    verdicts: BTreeMap<Verdict, u64>,
    terminations: u64,
    bad: u64,
    unknown: u64,
    pods: BTreeSet<String>,
    gaps: u64,
    gap_seconds: f64,
    vanished: u64,
}

impl Summary {
    /// Creates an empty summary.
    #[must_use]
    pub fn new(accepted: impl IntoIterator<Item = Verdict>) -> Self {
        Self { accepted: accepted.into_iter().collect(), ..Self::default() }
    }

    /// Counts the end of a container.
    pub fn add(&mut self, termination: &Termination) {
        self.terminations += 1;
        *self.verdicts.entry(termination.verdict()).or_default() += 1;
        self.pods.insert(termination.uid.clone());
        match self.weight(termination) {
            Weight::Bad => self.bad += 1,
            Weight::Unknown => self.unknown += 1,
            Weight::Good => {}
        }
    }

    /// Counts a gap.
    pub fn add_gap(&mut self, gap: &Gap) {
        self.gaps += 1;
        self.gap_seconds += gap.seconds();
        self.vanished += gap.vanished;
    }

    /// Returns the weight of a termination: that of its most severe verdict that is not accepted.
    #[must_use]
    pub fn weight(&self, termination: &Termination) -> Weight {
        let verdicts =
            termination.verdicts.iter().filter(|verdict| !self.accepted.contains(verdict));
        let weights: Vec<_> = verdicts.map(|verdict| verdict.weight()).collect();
        let heaviest = [Weight::Bad, Weight::Unknown].into_iter().find(|it| weights.contains(it));
        heaviest.unwrap_or(Weight::Good)
    }

    /// Returns the number of bad terminations.
    #[must_use]
    pub const fn bad(&self) -> u64 {
        self.bad
    }

    /// Returns the number of terminations for which it is not known whether they are bad.
    #[must_use]
    pub const fn unknown(&self) -> u64 {
        self.unknown
    }

    /// Returns the summary as lines for people.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if self.terminations == 0 {
            lines.push("no container was terminated".to_owned());
        } else {
            let pods = u64::try_from(self.pods.len()).unwrap_or(u64::MAX);
            lines.push(format!(
                "{} in {} ended: {} bad, {} unknown",
                count(self.terminations, "container"),
                count(pods, "pod"),
                self.bad,
                self.unknown
            ));
        }
        for (verdict, number) in &self.verdicts {
            let text = verdict.text();
            let accepted = if self.accepted.contains(verdict) { " (accepted)" } else { "" };
            lines.push(format!("  {number:>5}  {} [{}]{accepted}", text.sentence, text.code));
            if !text.advice.is_empty() && accepted.is_empty() {
                lines.push(format!("         {}", text.advice));
            }
        }
        if self.gaps > 0 {
            lines.push(format!(
                "{} without a connection to the API server, {} in all; {} ended unseen in them",
                count(self.gaps, "time"),
                seconds(self.gap_seconds),
                count(self.vanished, "pod")
            ));
        }
        lines
    }

    /// Returns the summary as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        let verdicts: BTreeMap<_, _> =
            self.verdicts.iter().map(|(verdict, number)| (verdict.code(), number)).collect();
        json!({
            "apiVersion": API_VERSION,
            "kind": "Summary",
            "pods": self.pods.len(),
            "containers": self.terminations,
            "bad": self.bad,
            "unknown": self.unknown,
            "verdicts": verdicts,
            "gaps": self.gaps,
            "gapSeconds": self.gap_seconds,
            "podsEndedUnseenInGaps": self.vanished,
        })
    }
}

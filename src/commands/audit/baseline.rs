//! Findings that existed before: they are not shown and do not count.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::Context;

use super::json;
use super::report::{Audited, Identity, State};

/// The number of occurrences of each finding in the baseline.
#[derive(Debug, Default)]
pub(super) struct Baseline(BTreeMap<Identity, usize>);

impl Baseline {
    /// Reads a file that `--write-baseline` or `-o json` wrote.
    ///
    /// # Errors
    /// When the file can't be read, or is not such a report.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("baseline {name}"))?;
        let identities = json::identities(&text).with_context(|| {
            format!("baseline {name}: not a report of prestop audit -o json or --write-baseline")
        })?;
        let mut counts = BTreeMap::new();
        for identity in identities {
            *counts.entry(identity).or_default() += 1;
        }
        Ok(Self(counts))
    }

    /// Marks the findings that the baseline has, and returns the rest of the baseline: findings
    /// that no longer exist.
    pub(super) fn apply(mut self, workloads: &mut [Audited]) -> Vec<Identity> {
        for workload in workloads {
            let identities: Vec<_> =
                workload.findings.iter().map(|it| workload.identity(&it.finding)).collect();
            for (located, identity) in workload.findings.iter_mut().zip(identities) {
                let Some(left) = self.0.get_mut(&identity).filter(|left| **left > 0) else {
                    continue;
                };
                *left -= 1;
                if located.state == State::Open {
                    located.state = State::Known;
                }
            }
        }
        let gone = self.0.into_iter().flat_map(|(it, count)| std::iter::repeat_n(it, count));
        gone.collect()
    }
}

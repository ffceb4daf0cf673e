//! Readiness: a list of named checks, in the format of Kubernetes' own servers. No check uses the
//! network.

use std::fmt::Write as _;

/// A readiness check.
pub(crate) struct Condition {
    name: &'static str,
    is_so: Box<dyn Fn() -> bool + Send + Sync>,
    otherwise: &'static str,
    weight: Weight,
}

/// Effect of a failed check.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// The server is not ready.
    Needed,
    /// The failure is only reported.
    Told,
}

/// All readiness checks.
#[derive(Default)]
pub struct Readiness(Vec<Condition>);

impl Readiness {
    /// Creates an empty list: the server is ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check; `otherwise` describes the problem if it fails.
    #[must_use]
    pub fn with(
        self,
        name: &'static str,
        otherwise: &'static str,
        is_so: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        self.add(Condition { name, is_so: Box::new(is_so), otherwise, weight: Weight::Needed })
    }

    /// Adds a check that is reported but does not affect readiness.
    #[must_use]
    pub fn telling(
        self,
        name: &'static str,
        otherwise: &'static str,
        is_so: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        self.add(Condition { name, is_so: Box::new(is_so), otherwise, weight: Weight::Told })
    }

    fn add(mut self, check: Condition) -> Self {
        self.0.push(check);
        self
    }

    /// Returns a line for each check, with the reason for a failed one.
    ///
    /// # Errors
    /// The same text, if a check failed that affects readiness.
    pub fn report(&self) -> Result<String, String> {
        let mut text = String::new();
        let mut is_ready = true;
        for check in &self.0 {
            // Writing to a String never fails.
            let _ = if (check.is_so)() {
                writeln!(text, "[+]{} ok", check.name)
            } else if check.weight == Weight::Told {
                writeln!(text, "[!]{}: {}", check.name, check.otherwise)
            } else {
                is_ready = false;
                writeln!(text, "[-]{} failed: {}", check.name, check.otherwise)
            };
        }
        if is_ready { Ok(text) } else { Err(text) }
    }
}

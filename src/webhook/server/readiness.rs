//! Whether requests should come here: a list of checks by name, as Kubernetes' own servers have
//! them. None of them asks the network.

use std::fmt::Write as _;

/// One thing that has to be so.
pub(crate) struct Condition {
    name: &'static str,
    is_so: Box<dyn Fn() -> bool + Send + Sync>,
    otherwise: &'static str,
    weight: Weight,
}

/// What follows when something is not so.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// No requests should come here.
    Needed,
    /// It is reported only.
    Told,
}

/// Everything that has to be so.
#[derive(Default)]
pub struct Readiness(Vec<Condition>);

impl Readiness {
    /// Nothing has to be so.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One thing more; `otherwise` says what is missing while it is not so.
    #[must_use]
    pub fn with(
        self,
        name: &'static str,
        otherwise: &'static str,
        is_so: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        self.add(Condition { name, is_so: Box::new(is_so), otherwise, weight: Weight::Needed })
    }

    /// A condition that is reported but does not affect readiness.
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

    /// Each check on a separate line, or the reasons of failed checks.
    ///
    /// # Errors
    /// With the same text when something is missing.
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

//! The review that goes back. `allowed` is written as a constant: there is no field for it.

use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::engine::reason::printable;
use crate::engine::{Decision, Outcome};

/// The API server cuts warnings together at 4096 characters, and single ones at 256 from then on.
const LONGEST_WARNING: usize = 120;
const MOST_WARNINGS: usize = 5;

/// An answer that allows.
pub(super) struct Answer<'a> {
    pub(super) api_version: &'static str,
    /// As it came.
    pub(super) uid: &'a str,
    /// A JSON patch; `None`: the object stays as it is.
    pub(super) patch: Option<&'a [u8]>,
    pub(super) warnings: Vec<String>,
    pub(super) audit: Audit,
}

/// What the API server writes into its audit log, under the webhook's name.
#[derive(Clone, Copy, serde::Serialize)]
pub(super) struct Audit {
    decision: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
}

impl Audit {
    pub(super) const fn of(decision: &Decision<'_>) -> Self {
        match decision.outcome {
            Outcome::Injected(_) => Self { decision: "injected", reason: None },
            Outcome::Skipped(reason) => Self::skipped(reason.code()),
        }
    }

    pub(super) const fn skipped(reason: &'static str) -> Self {
        Self { decision: "skipped", reason: Some(reason) }
    }
}

/// What the person behind `kubectl` is told: first what was not done at all, then what its author
/// can mend, then what is wrong with the namespace.
pub(super) fn warnings(decision: &Decision<'_>) -> Vec<String> {
    let mut warnings = Vec::new();
    if let Outcome::Skipped(reason) = decision.outcome
        && reason.is_surprising()
    {
        warnings.push(warning(reason.code(), reason.explanation().sentence));
    }
    let is_of_namespace = |place: &str| place.starts_with("namespace ");
    for of_namespace in [false, true] {
        for problem in &decision.problems {
            if is_of_namespace(&problem.place) == of_namespace {
                let told = if problem.detail.is_empty() {
                    problem.code.explanation().sentence
                } else {
                    problem.detail.as_str()
                };
                let code = format!("{}: {}", problem.code.code(), problem.place);
                warnings.push(warning(&code, told));
            }
        }
    }
    if warnings.len() > MOST_WARNINGS {
        let left_out = warnings.len() - (MOST_WARNINGS - 1);
        warnings.truncate(MOST_WARNINGS - 1);
        warnings
            .push(format!("prestop: {left_out} more problems; prestop inject -o report tells all"));
    }
    warnings
}

fn warning(code: &str, told: &str) -> String {
    printable(&format!("prestop: {code}: {told}"), LONGEST_WARNING)
}

impl Answer<'_> {
    pub(super) fn to_json(&self) -> Vec<u8> {
        // Everything in it can be written: texts, and one constant.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut review = serializer.serialize_struct("AdmissionReview", 3)?;
        review.serialize_field("apiVersion", self.api_version)?;
        review.serialize_field("kind", "AdmissionReview")?;
        review.serialize_field("response", &Response(self))?;
        review.end()
    }
}

struct Response<'a>(&'a Answer<'a>);

impl Serialize for Response<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let answer = self.0;
        let mut response = serializer.serialize_struct("AdmissionResponse", 6)?;
        response.serialize_field("uid", answer.uid)?;
        response.serialize_field("allowed", &true)?;
        if let Some(patch) = answer.patch {
            response.serialize_field("patchType", "JSONPatch")?;
            response.serialize_field("patch", &Base64(patch))?;
        }
        if !answer.warnings.is_empty() {
            response.serialize_field("warnings", &answer.warnings)?;
        }
        response.serialize_field("auditAnnotations", &answer.audit)?;
        response.end()
    }
}

struct Base64<'a>(&'a [u8]);

impl Serialize for Base64<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&Base64Display::new(self.0, &STANDARD))
    }
}

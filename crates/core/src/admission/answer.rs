//! The review that is sent back. `allowed` is written as a constant: there is no field for it.

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::Simd;
use base64::engine::general_purpose::PAD;

use crate::engine::hook::append;
use crate::engine::printable::{is_plain, printable};
use crate::engine::{Decision, Outcome};

/// Length limit for one warning. If all warnings together exceed 4096 characters, the API server
/// truncates them, each to 256 characters.
const LONGEST_WARNING: usize = 120;
const MOST_WARNINGS: usize = 5;
/// Upper bound for the size of an answer without its uid, patch and warnings, in bytes.
const FIXED_BYTES: usize = 256;
/// Two quotation marks and a comma.
const QUOTES_BYTES: usize = 3;

/// An answer that allows the request.
pub(super) struct Answer<'a> {
    pub(super) api_version: &'static str,
    /// The review's uid, unchanged.
    pub(super) uid: &'a str,
    /// The JSON patch; `None` admits the object unchanged.
    pub(super) patch: Option<&'a [u8]>,
    pub(super) warnings: Vec<String>,
    pub(super) audit: Audit,
}

/// Audit annotations, which the API server writes into its audit log under the webhook's name.
#[derive(Clone, Copy)]
pub(super) struct Audit {
    decision: &'static str,
    reason: Option<&'static str>,
}

impl Audit {
    pub(super) const fn of(decision: &Decision<'_>) -> Self {
        match decision.outcome {
            Outcome::Injected(_) => Self { decision: "injected", reason: None },
            Outcome::Skipped(reason) => Self::skipped(reason.code()),
        }
    }

    /// For a workload, which is never changed.
    pub(super) const fn warned(is_warned: bool) -> Self {
        Self { decision: if is_warned { "warned" } else { "quiet" }, reason: None }
    }

    pub(super) const fn skipped(reason: &'static str) -> Self {
        Self { decision: "skipped", reason: Some(reason) }
    }
}

/// Returns the warnings that `kubectl` prints: first the reason why the pod was skipped, then
/// problems that the author of the pod can fix, then problems of the namespace.
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
    bounded(warnings, "prestop inject -o report")
}

/// Limits the warnings to the number that an answer may have; the last one then names the command
/// that lists the rest.
pub(super) fn bounded(mut warnings: Vec<String>, command: &str) -> Vec<String> {
    if warnings.len() > MOST_WARNINGS {
        let left_out = warnings.len() - (MOST_WARNINGS - 1);
        warnings.truncate(MOST_WARNINGS - 1);
        warnings.push(format!("prestop: {left_out} more problems; {command} lists all of them"));
    }
    warnings
}

pub(super) fn warning(code: &str, told: &str) -> String {
    printable(&format!("prestop: {code}: {told}"), LONGEST_WARNING)
}

impl Answer<'_> {
    /// Writes the JSON by hand into a single allocation, because the patch is most of it.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let base64 = self.patch.map_or(0, base64_bytes);
        let warnings = self.warnings.len() * (LONGEST_WARNING + QUOTES_BYTES);
        let mut json =
            Vec::with_capacity(FIXED_BYTES + self.uid.len() + QUOTES_BYTES + base64 + warnings);
        json.extend_from_slice(b"{\"apiVersion\":\"");
        json.extend_from_slice(self.api_version.as_bytes());
        json.extend_from_slice(b"\",\"kind\":\"AdmissionReview\",\"response\":{\"uid\":");
        append_text(&mut json, self.uid);
        json.extend_from_slice(b",\"allowed\":true");
        if let Some(patch) = self.patch {
            json.extend_from_slice(b",\"patchType\":\"JSONPatch\",\"patch\":\"");
            append_base64(&mut json, patch);
            json.push(b'"');
        }
        if !self.warnings.is_empty() {
            json.extend_from_slice(b",\"warnings\":");
            append(&mut json, &self.warnings);
        }
        json.extend_from_slice(b",\"auditAnnotations\":{\"decision\":");
        append_text(&mut json, self.audit.decision);
        if let Some(reason) = self.audit.reason {
            json.extend_from_slice(b",\"reason\":");
            append_text(&mut json, reason);
        }
        json.extend_from_slice(b"}}}");
        json
    }
}

fn append_text(json: &mut Vec<u8>, text: &str) {
    if is_plain(text) {
        json.push(b'"');
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
    } else {
        append(json, text);
    }
}

const fn base64_bytes(bytes: &[u8]) -> usize {
    bytes.len().div_ceil(3) * 4
}

fn append_base64(json: &mut Vec<u8>, bytes: &[u8]) {
    static STANDARD: LazyLock<Simd> = LazyLock::new(|| Simd::standard(PAD));
    let start = json.len();
    json.resize(start + base64_bytes(bytes), 0);
    // The slice has exactly the length of the encoded text.
    let _ = STANDARD.encode_slice(bytes, json.get_mut(start..).unwrap_or_default());
}

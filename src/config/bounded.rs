//! Values with bounds, each with its position in the file. The bounds are part of the type, so that
//! the schema and the check agree.

use std::borrow::Cow;
use std::time::Duration;

use prestop_core::duration::HumanSeconds;
use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema, json_schema};
use serde::Deserialize;
use serde_saphyr::Spanned;

use super::error::{Finding, Position};
use super::profiles::DurationText;

/// A whole number, which the file may omit.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Number<const LEAST: u64, const MOST: u64>(Option<Spanned<i128>>);

/// A duration in seconds, which the file may omit.
#[derive(Debug, Default, Deserialize)]
#[serde(transparent)]
pub(super) struct Seconds<const LEAST: i64, const MOST: i64>(Option<DurationText>);

/// The reason for the bounds, appended to the message.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Why {
    pub(super) least: &'static str,
    pub(super) most: &'static str,
}

impl<const LEAST: u64, const MOST: u64> Number<LEAST, MOST> {
    /// Returns the position of the value, if the file has it.
    pub(super) fn place(&self) -> Option<Position> {
        self.0.as_ref().map(|value| value.referenced.into())
    }

    /// Returns the number, or the default if the file has none; `None` if it is out of bounds.
    pub(super) fn read(
        &self,
        path: &str,
        default: usize,
        findings: &mut Vec<Finding>,
    ) -> Option<usize> {
        let Some(value) = &self.0 else { return Some(default) };
        if (i128::from(LEAST)..=i128::from(MOST)).contains(&value.value) {
            return usize::try_from(value.value).ok();
        }
        let message = format!("allowed: {LEAST} to {MOST}");
        findings.push(Finding::new(path, value.referenced.into(), message));
        None
    }
}

impl<const LEAST: i64, const MOST: i64> Seconds<LEAST, MOST> {
    /// Returns the position of the value, if the file has it.
    pub(super) fn place(&self) -> Option<Position> {
        self.0.as_ref().map(|text| text.location().into())
    }

    /// Returns the duration, or the default if the file has none or an invalid one.
    pub(super) fn read(
        &self,
        path: &str,
        default: Duration,
        findings: &mut Vec<Finding>,
    ) -> Duration {
        self.read_with(path, default, Why::default(), findings)
    }

    /// Like [`Self::read`], with reasons for the bounds.
    pub(super) fn read_with(
        &self,
        path: &str,
        default: Duration,
        why: Why,
        findings: &mut Vec<Finding>,
    ) -> Duration {
        let Some(text) = &self.0 else { return default };
        let message = match text.seconds() {
            Ok(seconds) if (LEAST..=MOST).contains(&seconds) => {
                return Duration::from_secs(seconds.unsigned_abs());
            }
            Ok(seconds) => {
                let why = if seconds < LEAST { why.least } else { why.most };
                format!("allowed: {} to {}{why}", HumanSeconds(LEAST), HumanSeconds(MOST))
            }
            Err(cause) => cause.to_string(),
        };
        findings.push(Finding::new(path, text.location().into(), message));
        default
    }
}

/// Formats a duration for people.
pub(super) fn human(duration: Duration) -> String {
    HumanSeconds(i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)).to_string()
}

impl<const LEAST: u64, const MOST: u64> JsonSchema for Number<LEAST, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("NumberFrom{LEAST}To{MOST}").into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "format": "uint64", "minimum": LEAST, "maximum": MOST})
    }
}

impl<const LEAST: i64, const MOST: i64> JsonSchema for Seconds<LEAST, MOST> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        DurationText::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        DurationText::json_schema(generator)
    }
}

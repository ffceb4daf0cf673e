//! The format of delays: a duration, or a range of two.

use std::borrow::Cow;
use std::sync::LazyLock;

use prestop_core::duration::{self, AskedDelay, Delay, DelayError};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_saphyr::{Location, Spanned};
use thiserror::Error;

use super::DURATION_PATTERN;

/// Pattern of the delays that [`prestop_core::duration::parse_delay`] reads, for editors.
pub static DELAY_PATTERN: LazyLock<String> = LazyLock::new(|| {
    let one = DURATION_PATTERN.trim_start_matches('^').trim_end_matches('$');
    format!("^{one}(-{one})?$")
});

/// A delay in the file, with its position: `15s`, or `10s-2m`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct DelayText(Spanned<String>);

/// A delay that can depend on the fronts of a pod: like [`DelayText`], or `auto`.
#[derive(Debug, Clone, Deserialize)]
#[serde(transparent)]
pub(crate) struct AskedDelayText(DelayText);

/// Reason why a delay in the file is not one of whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[non_exhaustive]
pub(crate) enum DelayTextError {
    /// Not a delay at all.
    #[error(transparent)]
    NotADelay(#[from] DelayError),
    /// `1500ms`: fractions of a second are not supported.
    #[error("write whole seconds: Kubernetes has no fractions")]
    Fraction,
}

impl DelayText {
    /// Returns the delay in whole seconds.
    ///
    /// # Errors
    /// When it is not a delay, or has a fraction of a second.
    pub(crate) fn delay(&self) -> Result<Delay, DelayTextError> {
        let parsed = duration::parse_delay(&self.0.value)?;
        if parsed.rounded_up {
            return Err(DelayTextError::Fraction);
        }
        Ok(parsed.delay)
    }

    /// Returns the value with its position.
    pub(super) const fn spanned(&self) -> &Spanned<String> {
        &self.0
    }

    /// Returns the position where it is used.
    #[must_use]
    pub(crate) const fn location(&self) -> Location {
        self.0.referenced
    }
}

impl AskedDelayText {
    /// Returns the delay in whole seconds, or that it depends on the fronts.
    ///
    /// # Errors
    /// When it is neither `auto` nor a delay, or has a fraction of a second.
    pub(crate) fn delay(&self) -> Result<AskedDelay, DelayTextError> {
        if self.0.spanned().value == AskedDelay::AUTO {
            return Ok(AskedDelay::Auto);
        }
        self.0.delay().map(AskedDelay::Of)
    }

    /// Returns the position where it is used.
    #[must_use]
    pub(crate) const fn location(&self) -> Location {
        self.0.location()
    }
}

impl JsonSchema for AskedDelayText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "AskedDelay".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let pattern = DELAY_PATTERN.trim_start_matches('^').trim_end_matches('$');
        json_schema!({
            "title": "a delay such as 15s, a range such as 10s-2m, whole seconds, or auto",
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": format!("^({pattern}|{})$", AskedDelay::AUTO),
        })
    }
}

impl JsonSchema for DelayText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Delay".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a delay such as 15s, a range such as 10s-2m, or whole seconds",
            "type": ["string", "integer"],
            "minimum": 0,
            "pattern": DELAY_PATTERN.as_str(),
        })
    }
}

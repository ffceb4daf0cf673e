//! The fronts of a pod, and the time for which they keep sending new requests after the pod has
//! begun to terminate. Pure: objects in, fronts out.
//!
//! - [`table`]: the known fronts, data from `fronts/fronts.yaml`; `format`: its validator
//! - [`pod`]: a pod as Services see it
//! - [`objects`]: Services, routes and the objects that they refer to, with the fields that matter
//!   here
//! - `scraped`: ports that only monitoring and probes use
//! - `search`: from a pod to its Services, and from these to every object that names them
//!
//! Objects may be added in any order. A reference to a missing object is not an error: the front is
//! then known less precisely.

mod format;
mod scraped;
mod search;

pub mod objects;
pub mod pattern;
pub mod pod;
pub mod table;

use std::cell::OnceCell;
use std::cmp::Reverse;
use std::fmt;

use crate::duration::Delay;

pub use self::objects::Surroundings;
pub use self::pod::PodShape;
pub use self::table::{FrontKind, FrontTable, RecognisedBy, Withdrawal};

/// A front of a pod: an object or a load balancer that sends requests to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front<'t> {
    /// The entry of the table.
    pub kind: &'t FrontKind,
    /// The time for which the front keeps sending, according to the settings of its objects.
    pub withdrawal: Withdrawal,
    /// The path of a request: the Gateway, Ingress or Service that receives it first, and so on to
    /// the Service that selects the pod. Empty if the pod itself names the front.
    pub path: Vec<ObjectName>,
    /// Details: a setting that was applied, or an object that is missing.
    pub detail: Option<String>,
}

/// Identity of an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// `kind`.
    pub kind: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// The combined needs of all fronts of a pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// The delay that covers all fronts that withdraw the pod; `None` if no front does.
    pub delay: Option<Delay>,
    /// Whether a front keeps sending until the pod is gone, whatever the delay is.
    pub has_endless: bool,
}

/// The delay that the fronts of a pod need, and the slowest front for which a delay helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontDelay {
    /// The longest bounds of all fronts.
    pub delay: Delay,
    /// The slowest front's entry in the table.
    pub kind: &'static FrontKind,
    /// The path of a request through it; empty if the pod itself names it.
    pub path: Vec<ObjectName>,
}

/// The delay that a pod's fronts need, computed when a delay first depends on it, which is rare.
#[derive(Clone)]
pub struct AskedFront<'f> {
    ask: &'f dyn Fn() -> Option<FrontDelay>,
    found: OnceCell<Option<FrontDelay>>,
}

/// Returns the combined needs of fronts: the longest bounds.
#[must_use]
pub fn need(fronts: &[Front<'_>]) -> Need {
    fronts.iter().fold(Need::default(), |need, front| match front.withdrawal {
        Withdrawal::Never => Need { has_endless: true, ..need },
        Withdrawal::Within(delay) => {
            let delay = need.delay.map_or(delay, |longest| longest.and(delay));
            Need { delay: Some(delay), ..need }
        }
    })
}

impl FrontDelay {
    /// Returns the delay for the fronts of a pod, given with the slowest first; `None` if a delay
    /// helps with none of them.
    #[must_use]
    pub fn of(fronts: &[Front<'static>]) -> Option<Self> {
        let delay = need(fronts).delay?;
        let slowest = fronts.iter().find(|front| front.withdrawal != Withdrawal::Never)?;
        Some(Self { delay, kind: slowest.kind, path: slowest.path.clone() })
    }
}

impl FrontDelay {
    /// Combines two delays; the result names the slower front, or `self` if both are equal.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let delay = self.delay.and(other.delay);
        let is_slower = Withdrawal::Within(other.delay) > Withdrawal::Within(self.delay);
        if is_slower { Self { delay, ..other } } else { Self { delay, ..self } }
    }
}

impl AskedFront<'static> {
    /// Creates an answer that is already known.
    #[must_use]
    pub fn known(front: Option<FrontDelay>) -> Self {
        Self { ask: &|| None, found: OnceCell::from(front) }
    }
}

impl<'f> AskedFront<'f> {
    /// Creates an answer that is computed on demand; `ask` is called at most once.
    #[must_use]
    pub fn new(ask: &'f dyn Fn() -> Option<FrontDelay>) -> Self {
        Self { ask, found: OnceCell::new() }
    }

    /// Returns the answer.
    pub fn get(&self) -> Option<&FrontDelay> {
        self.found.get_or_init(self.ask).as_ref()
    }
}

impl fmt::Debug for AskedFront<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AskedFront").field(&self.found).finish()
    }
}

impl Front<'_> {
    /// Sort key: the slowest first; then by name and path, so that the order of objects does not
    /// matter.
    fn order(&self) -> impl Ord + '_ {
        (Reverse(self.withdrawal), &self.kind.name, &self.path, &self.detail)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

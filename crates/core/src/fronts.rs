//! The fronts of a pod, and how long they keep sending new requests after the pod has begun to
//! terminate. Pure: objects in, fronts out.
//!
//! - [`table`]: the fronts that are known, data from `fronts/fronts.yaml`; `format`: its validator
//! - [`pod`]: a pod as Services see it
//! - [`objects`]: Services, routes and what they refer to, as far as they matter here
//! - `scraped`: ports that only monitoring and probes use
//! - `search`: from a pod to its Services, and from these to everything that names them
//!
//! Objects may come in any order. What is referred to and is not there is not an error: the front is then
//! known less exactly.

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

/// Something in front of a pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Front<'t> {
    /// The entry of the table.
    pub kind: &'t FrontKind,
    /// How long it keeps sending, with the settings of its objects.
    pub withdrawal: Withdrawal,
    /// The way of a request: the Gateway, Ingress or Service that takes it first, and so on to the Service
    /// that selects the pod. Empty where the pod itself says it.
    pub path: Vec<ObjectName>,
    /// What in particular: a setting that was read, an object that is missing.
    pub detail: Option<String>,
}

/// An object as people name it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    /// `kind`.
    pub kind: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

/// What all fronts of a pod need together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    /// The delay that outlasts all that withdraw the pod; `None` where nothing does.
    pub delay: Option<Delay>,
    /// Something sends until the pod is gone, whatever the delay is.
    pub has_endless: bool,
}

/// The delay that the fronts of a pod need, and the slowest of those that a delay helps with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrontDelay {
    /// The longest bounds of all of them.
    pub delay: Delay,
    /// The entry of the table.
    pub kind: &'static FrontKind,
    /// The way of a request through it; empty where the pod itself says it.
    pub path: Vec<ObjectName>,
}

/// The delay that a pod's fronts need, found when a delay first depends on it: most pods never ask.
#[derive(Clone)]
pub struct AskedFront<'f> {
    ask: &'f dyn Fn() -> Option<FrontDelay>,
    found: OnceCell<Option<FrontDelay>>,
}

/// The delay that all these fronts need: the longest.
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
    /// Of the fronts of a pod, the slowest first; `None` if there is none that a delay helps with.
    #[must_use]
    pub fn of(fronts: &[Front<'static>]) -> Option<Self> {
        let delay = need(fronts).delay?;
        let slowest = fronts.iter().find(|front| front.withdrawal != Withdrawal::Never)?;
        Some(Self { delay, kind: slowest.kind, path: slowest.path.clone() })
    }
}

impl FrontDelay {
    /// What two of them need together; named after the slower one, or the first.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let delay = self.delay.and(other.delay);
        let is_slower = Withdrawal::Within(other.delay) > Withdrawal::Within(self.delay);
        if is_slower { Self { delay, ..other } } else { Self { delay, ..self } }
    }
}

impl AskedFront<'static> {
    /// The answer is here already.
    #[must_use]
    pub fn known(front: Option<FrontDelay>) -> Self {
        Self { ask: &|| None, found: OnceCell::from(front) }
    }
}

impl<'f> AskedFront<'f> {
    /// `ask` is called at most once.
    #[must_use]
    pub fn new(ask: &'f dyn Fn() -> Option<FrontDelay>) -> Self {
        Self { ask, found: OnceCell::new() }
    }

    /// The answer.
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
    /// The slowest first; then by name and way, so that the order of objects does not matter.
    fn order(&self) -> impl Ord + '_ {
        (Reverse(self.withdrawal), &self.kind.name, &self.path, &self.detail)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

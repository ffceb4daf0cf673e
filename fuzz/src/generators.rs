//! Pods, namespaces and policies for properties and fuzz targets: realistic values, common mistakes, and absurd
//! values. Simple values come first everywhere, so that failures shrink to them.

mod annotations;
mod fields;
mod objects;
mod policies;
mod workloads;

use std::collections::BTreeMap;
use std::fmt;

use prestop_core::catalogue::Catalogue;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::policy::Policy;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, RngSeed};
use serde_json::{Map, Value, json};

use self::fields::{
    hostile_container, hostile_labels, hostile_spec, metadata, shorten_sleeps, valid_container,
    valid_labels, valid_spec,
};
pub use self::objects::{any_object, odd_value};
pub use self::policies::test_catalogue;
pub use self::policies::{namespace, policy};
pub use self::workloads::{Audited, GOOD, any_workload, audited, good};

/// Names of containers; the annotations use them as well.
const NAMES: [&str; 6] = [
    "web",
    "app",
    "istio-proxy",
    "log-shipper",
    "x",
    "a-name-of-sixty-three-letters-which-is-the-most-that-is-allowed",
];

/// The name of the container that another webhook adds; not one of [`NAMES`].
const ADDED: &str = "added-by-another-webhook";

/// A namespace, with the parts that matter.
#[derive(Debug, Clone, Default)]
pub struct Namespace {
    /// Labels of the namespace.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the namespace.
    pub annotations: BTreeMap<String, String>,
}

impl Namespace {
    /// Returns the settings as the engine reads them.
    #[must_use]
    pub fn settings(&self) -> NamespaceSettings {
        NamespaceSettings::read(texts(&self.labels), texts(&self.annotations))
    }
}

fn texts(map: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}

/// The input of the engine.
#[derive(Clone)]
pub struct Case {
    /// The pod.
    pub pod: Value,
    /// The pod's namespace.
    pub namespace: Namespace,
    /// The policy.
    pub policy: Policy,
}

impl fmt::Debug for Case {
    /// Prints the case briefly for failures: the catalogue only by the number of its profiles.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let profiles = self.policy.catalogue.profiles().len();
        let policy = Policy { catalogue: Catalogue::default(), ..self.policy.clone() };
        let Self { pod, namespace, .. } = self;
        write!(f, "{pod}\n{namespace:?}\n{policy:?}\nwith {profiles} profiles")
    }
}

/// Generates a pod with a namespace and a policy.
pub fn case(pods: impl Strategy<Value = Value>) -> impl Strategy<Value = Case> {
    (pods, namespace(), policy()).prop_map(|(pod, namespace, policy)| Case {
        pod,
        namespace,
        policy,
    })
}

/// With at most this many cases, they are the same every time.
const FIXED_CASES: u32 = 10_000;

/// Returns the configuration of the properties. The number of cases is 1,000, or the value of
/// `PROPTEST_CASES`, which `just properties` can set to any number.
#[must_use]
pub fn config() -> ProptestConfig {
    let asked: Option<u32> =
        std::env::var("PROPTEST_CASES").ok().and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(1_000),
        // The seed is fixed, so the cases are the same every time, unless more are requested.
        rng_seed: if asked.is_some_and(|cases| cases > FIXED_CASES) {
            RngSeed::Random
        } else {
            RngSeed::Fixed(20_261_124)
        },
        // A case that has failed becomes a test of its own, not an entry in a file of seeds.
        failure_persistence: None,
        rng_algorithm: RngAlgorithm::XorShift,
        ..ProptestConfig::default()
    }
}

/// Generates pods that the API server accepts.
pub fn valid_pod() -> impl Strategy<Value = Value> {
    let fields = (
        object(metadata(annotations::valid(), valid_labels())),
        object(valid_spec()),
        vec(object(valid_container()), 1..5),
    );
    fields.prop_map(|(metadata, mut spec, mut containers)| {
        for (container, name) in containers.iter_mut().zip(NAMES) {
            container["name"] = name.into();
        }
        spec["containers"] = containers.into();
        shorten_sleeps(&mut spec);
        json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    })
}

/// Generates arbitrary values, most of which look like pods.
pub fn hostile_pod() -> impl Strategy<Value = Value> {
    let container = prop_oneof![
        40 => object(hostile_container()),
        1 => select(vec![json!(null), json!("web"), json!(5), json!([]), json!({})]),
    ];
    let containers = prop_oneof![
        60 => vec(container, 1..7).prop_map(Value::Array),
        1 => select(vec![json!(null), json!([]), json!({"web": {}}), json!("web")]),
    ];
    let spec = (object(hostile_spec()), containers).prop_map(|(mut spec, containers)| {
        spec["containers"] = containers;
        spec
    });
    let metadata = prop_oneof![
        60 => object(metadata(annotations::hostile(), hostile_labels())).prop_map(Some),
        1 => select(vec![None, Some(json!(null)), Some(json!([])), Some(json!("name"))]),
    ];
    let pod = (metadata, spec, unknown(), any::<u64>());
    let pod = pod.prop_map(|(metadata, spec, unknown, seed)| {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod"});
        pod["spec"] = spec;
        for (key, value) in [("metadata", metadata), ("x-unknown", unknown)] {
            if let Some(value) = value {
                pod[key] = value;
            }
        }
        shuffled(&pod, seed)
    });
    prop_oneof![
        80 => pod,
        1 => select(vec![
            json!(null), json!("pod"), json!([]), json!({}), json!({"spec": null}),
            json!({"spec": []}), json!({"spec": {}}), json!({"kind": "Pod", "spec": {"containers": [{}]}}),
        ]),
    ]
}

/// Generates valid pods and others in equal numbers.
pub fn any_pod() -> impl Strategy<Value = Value> {
    prop_oneof![valid_pod(), hostile_pod()]
}

/// Generates a container that another webhook adds, and its position.
pub fn added_container() -> impl Strategy<Value = (Value, prop::sample::Index)> {
    let container = object(valid_container()).prop_map(|mut container| {
        container["name"] = ADDED.into();
        // The sleep fits even the shortest grace period.
        if let Some(seconds) = container.pointer_mut("/lifecycle/preStop/sleep/seconds") {
            *seconds = 0.into();
        }
        container
    });
    (container, any::<prop::sample::Index>())
}

/// Returns the same document with the keys of every object in another order; seed 0 leaves it
/// unchanged.
#[must_use]
pub fn shuffled(value: &Value, seed: u64) -> Value {
    let mut state = seed;
    shuffle(value, &mut state)
}

fn shuffle(value: &Value, state: &mut u64) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| shuffle(item, state)).collect(),
        Value::Object(entries) => {
            let mut entries: Vec<_> = entries.iter().collect();
            for last in (1..entries.len()).rev() {
                // Xorshift is good enough for mixing, and 0 stays 0, in which case nothing is
                // swapped.
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                if *state != 0 {
                    let chosen = usize::try_from(*state % (last as u64 + 1)).unwrap_or(last);
                    entries.swap(last, chosen);
                }
            }
            let entries = entries.into_iter();
            entries.map(|(key, value)| (key.clone(), shuffle(value, state))).collect()
        }
        scalar => scalar.clone(),
    }
}

type Field = (&'static str, BoxedStrategy<Option<Value>>);

/// Generates an object with these fields, if they are present.
fn object(fields: Vec<Field>) -> BoxedStrategy<Value> {
    let (keys, values): (Vec<&'static str>, Vec<_>) = fields.into_iter().unzip();
    values
        .prop_map(move |values| {
            let fields = keys.iter().zip(values);
            let present = fields.filter_map(|(key, value)| Some(((*key).to_owned(), value?)));
            Value::Object(present.collect::<Map<_, _>>())
        })
        .boxed()
}

/// Generates one of these values in the given percentage of objects.
///
/// A single number decides, because unions of strategies are slow, and there are many of these. It
/// shrinks to the first value, then to none.
fn sometimes(percent: usize, values: Vec<Value>) -> BoxedStrategy<Option<Value>> {
    let count = values.len();
    (0..100 * count)
        .prop_map(move |drawn| {
            let present = drawn.checked_sub((100 - percent) * count)?;
            values.get(present / percent).cloned()
        })
        .boxed()
}

/// Generates a value that a newer Kubernetes, or a mistake, could have put there.
fn unknown() -> BoxedStrategy<Option<Value>> {
    let values = vec![
        json!(null),
        json!({"seconds": 1.0, "nested": [null, {"a/b~c": "é\u{0}"}]}),
        json!([1, "two", -0.0]),
        json!(18_446_744_073_709_551_615_u64),
    ];
    sometimes(8, values)
}

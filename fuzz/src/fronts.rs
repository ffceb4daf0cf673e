//! The fronts of pods: the order of objects does not matter, and following the changes gives the
//! same result as reading the final objects.

use arbitrary::Unstructured;
use prestop_core::fronts::{FrontTable, PodShape, Surroundings};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::generators::{any_object, odd_value};
use crate::structured::{Generator, edit, generated};

thread_local! {
    static CHANGES: Generator<Vec<Change>> = changes().boxed();
    static ORDERS: Generator<Orders> = orders().boxed();
}

/// A change of an object.
#[derive(Debug, Clone)]
pub enum Change {
    /// The object was created or replaced.
    Replaced(Value),
    /// The object was deleted.
    Removed(Value),
    /// A list without the object was read.
    Unlisted(Value),
}

fn change() -> impl Strategy<Value = Change> {
    let object = any_object().prop_map(named);
    (object, 0..4).prop_map(|(object, kind)| match kind {
        0 => Change::Removed(object),
        1 => Change::Unlisted(object),
        _ => Change::Replaced(object),
    })
}

/// Completes an object as the API server would have it: with a kind, a name and, except for
/// classes, a namespace.
fn named(mut object: Value) -> Value {
    if !object.is_object() {
        object = json!({"apiVersion": "v1"});
    }
    for (key, value) in [("apiVersion", "v1"), ("kind", "Service")] {
        if object[key].as_str().is_none_or(str::is_empty) {
            object[key] = value.into();
        }
    }
    let is_cut = |field: &str| object["metadata"][field].as_str().is_none_or(str::is_empty);
    if is_cut("name") || is_cut("namespace") {
        object["metadata"] = json!({"name": "web", "namespace": "shop"});
    }
    object
}

/// Returns `apiVersion`, `kind`, namespace and name. The namespace is empty for kinds without
/// namespaces.
fn names(object: &Value) -> (&str, &str, &str, &str) {
    let text = |pointer| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let kind = text("/kind");
    let namespace = if kind.ends_with("Class") { "" } else { text("/metadata/namespace") };
    (text("/apiVersion"), kind, namespace, text("/metadata/name"))
}

/// Objects in two orders, and a pod.
#[derive(Debug, Clone)]
pub struct Orders {
    objects: Vec<Value>,
    order: Vec<usize>,
    template: Value,
}

impl Change {
    fn edit(&mut self, choices: &mut Unstructured<'_>) {
        let (Self::Replaced(object) | Self::Removed(object) | Self::Unlisted(object)) = self;
        if choices.ratio(1, 3).unwrap_or(false) {
            let kind = ["apiVersion", "kind"].map(|key| (key, object[key].clone()));
            edit(object, choices);
            *object = named(object.take());
            // A watch of a kind gets no other kinds.
            for (key, value) in kind {
                object[key] = value;
            }
        }
    }
}

/// Generates a sequence of changes.
pub fn changes() -> impl Strategy<Value = Vec<Change>> {
    vec(change(), 0..16)
}

/// Generates objects in two orders, and a pod.
pub fn orders() -> impl Strategy<Value = Orders> {
    let objects = vec(any_object(), 0..8).prop_flat_map(|objects| {
        let order: Vec<usize> = (0..objects.len()).collect();
        (Just(objects), Just(order).prop_shuffle())
    });
    let template = prop_oneof![Just(pod()), odd_value()];
    (objects, template).prop_map(|((objects, order), template)| Orders { objects, order, template })
}

/// The input is changes or orders.
pub fn target(bytes: &[u8]) {
    match bytes.split_first() {
        Some((first, rest)) if first % 2 == 0 => {
            if let Some((mut changes, mut choices)) = generated(&CHANGES, rest) {
                for change in &mut changes {
                    change.edit(&mut choices);
                }
                are_followed(&changes);
            }
        }
        Some((_, rest)) => {
            if let Some((mut orders, mut choices)) = generated(&ORDERS, rest) {
                for object in &mut orders.objects {
                    edit(object, &mut choices);
                }
                give_the_same(&orders);
            }
        }
        None => {}
    }
}

/// Checks that following changes gives the same result as reading the final objects.
///
/// # Panics
/// Panics if the results differ.
pub fn are_followed(changes: &[Change]) {
    let mut followed = Surroundings::new(FrontTable::built_in(), "shop");
    let mut there: Vec<Value> = Vec::new();
    for change in changes {
        let (Change::Replaced(object) | Change::Removed(object) | Change::Unlisted(object)) =
            change;
        let (api_version, kind, namespace, name) = names(object);
        there.retain(|other| names(other) != names(object));
        match change {
            Change::Replaced(object) => {
                there.push(object.clone());
                followed.replace(api_version, kind, object);
            }
            Change::Removed(_) => followed.remove(api_version, kind, namespace, name),
            Change::Unlisted(_) => {
                followed.retain(api_version, kind, |of, own| (of, own) != (namespace, name));
            }
        }
    }
    let pod = PodShape::of_value(&pod(), "shop");
    assert_eq!(followed.fronts(&pod), surroundings(&there).fronts(&pod), "{changes:?}");
}

/// Checks that the fronts of a pod do not depend on the order of objects.
///
/// # Panics
/// Panics if they do.
pub fn give_the_same(Orders { objects, order, template }: &Orders) {
    let pod = PodShape::of_value(template, "shop");
    let other: Vec<Value> = order.iter().map(|index| objects[*index].clone()).collect();
    let (one, other) = (surroundings(objects), surroundings(&other));
    assert_eq!(one.fronts(&pod), other.fronts(&pod), "{objects:?} {order:?} {template}");
}

/// The pod whose fronts the changes affect.
fn pod() -> Value {
    json!({
        "metadata": {"labels": {"app": "web", "tier": "front"}},
        "spec": {"containers": [{"name": "web", "ports": [
            {"name": "http", "containerPort": 8080}, {"name": "dns", "containerPort": 53, "protocol": "UDP"},
        ]}]},
    })
}

/// Returns the surroundings of pods in the namespace `shop` that consist of these objects.
#[must_use]
pub fn surroundings(objects: &[Value]) -> Surroundings<'static> {
    let mut around = Surroundings::new(FrontTable::built_in(), "shop");
    for object in objects {
        let text = |field: &str| object.get(field).and_then(Value::as_str).unwrap_or_default();
        around.add(text("apiVersion"), text("kind"), object);
    }
    around
}

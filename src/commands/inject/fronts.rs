//! What is in front of the workloads of the input, for delays that depend on it.

use prestop_core::engine::template::{Object, Workload, objects};
use prestop_core::fronts::{FrontDelay, FrontTable, Surroundings};
use serde_json::Value;

use super::super::input::{Input, list_of_objects};
use super::edit::Place;
use super::{Mode, Run};

impl Run<'_> {
    /// The Services of the input and what names them, if any delay depends on them. What can't be read here is
    /// told when its turn comes.
    pub(super) fn surroundings(&self, inputs: &[Input]) -> Option<Surroundings<'static>> {
        if !self.asks_for_fronts || self.mode == Mode::Uninject {
            return None;
        }
        let namespace = &self.arguments.namespace;
        let mut around = Surroundings::new(FrontTable::built_in(), namespace);
        for input in inputs.iter().filter(|input| input.patch_of.is_none()) {
            let Ok(documents) = input.documents() else { continue };
            for document in documents.map_while(Result::ok) {
                if let Some((list, frame)) = list_of_objects(&document) {
                    for item in list.items() {
                        let Ok(Some(reading)) = item.document.read() else { continue };
                        let (list, pointer) = (&frame.value, item.pointer);
                        let place = Place::Item { list, pointer };
                        self.add_objects(&place.objects(&reading.value), &mut around);
                    }
                } else if let Ok(Some(reading)) = document.read() {
                    self.add_objects(&objects(&reading.value), &mut around);
                }
            }
        }
        Some(around)
    }

    fn add_objects(&self, objects: &[Object<'_>], around: &mut Surroundings<'static>) {
        for object in objects {
            if let (Some(api_version), Some(kind)) = (object.api_version(), object.kind())
                && object.workload(&self.arguments.kinds).is_none()
            {
                let value: &Value = object.value();
                around.add(api_version, kind, value);
            }
        }
    }

    /// The delay that the fronts of a workload need, as far as they are known.
    pub(super) fn behind(&self, workload: &Workload<'_>) -> Option<FrontDelay> {
        let pod = workload.pod_shape(&self.arguments.namespace);
        FrontDelay::of(&self.search?.fronts(&pod))
    }
}

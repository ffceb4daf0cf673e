//! What is in front of the workloads of the input, for delays that depend on it.

use prestop_core::engine::template::Workload;
use prestop_core::fronts::{FrontDelay, FrontTable, Surroundings};

use super::super::input::Input;
use super::super::objects::input_objects;
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
            let _ = input_objects(input, &mut |found| {
                let object = found.object;
                if let (Some(api_version), Some(kind)) = (object.api_version(), object.kind())
                    && object.workload(&self.arguments.kinds).is_none()
                {
                    around.add(api_version, kind, object.value());
                }
            });
        }
        Some(around)
    }

    /// The delay that the fronts of a workload need, as far as they are known.
    pub(super) fn behind(&self, workload: &Workload<'_>) -> Option<FrontDelay> {
        let pod = workload.pod_shape(&self.arguments.namespace);
        FrontDelay::of(&self.search?.fronts(&pod))
    }
}

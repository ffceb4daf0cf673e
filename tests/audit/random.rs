//! Arbitrary objects: no panic, and the order of documents does not matter.

use prestop_fuzz::audit::{is_the_same_in_any_order, says_something};
use prestop_fuzz::generators::{any_workload, audited};
use proptest::prelude::*;

proptest! {
    #[test]
    fn findings_do_not_depend_on_the_order_of_objects(input in audited()) {
        is_the_same_in_any_order(&input);
    }

    #[test]
    fn whole_objects_may_be_anything(objects in any_workload()) {
        says_something(&objects);
    }
}

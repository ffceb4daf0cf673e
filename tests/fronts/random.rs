//! Random objects: nothing panics, and the order of the objects doesn't matter.

use prestop_fuzz::fronts::{are_followed, changes, give_the_same, orders};
use proptest::prelude::*;

proptest! {
    #[test]
    fn changes_are_followed_to_the_end(changes in changes()) {
        are_followed(&changes);
    }

    #[test]
    fn the_order_of_objects_does_not_matter(orders in orders()) {
        give_the_same(&orders);
    }
}

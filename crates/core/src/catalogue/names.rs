//! The fixed names under which injectors add their sidecars. Every container of an unknown image is
//! looked up, so they are sorted.

use super::Profile;

/// Each name with the place of the first profile that has it, by length and name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ContainerNames(Vec<(String, usize)>);

impl ContainerNames {
    pub(super) fn of(profiles: &[Profile]) -> Self {
        let all = profiles.iter().enumerate().flat_map(|(place, profile)| {
            profile.container_names.iter().map(move |name| (name.clone(), place))
        });
        let mut names: Vec<_> = all.collect();
        // Stable, so the first profile of each name stays the first.
        names.sort_by(|(one, _), (other, _)| by_length(one).cmp(&by_length(other)));
        names.dedup_by(|(later, _), (earlier, _)| later == earlier);
        Self(names)
    }

    /// The place of the profile.
    pub(super) fn profile(&self, name: &str) -> Option<usize> {
        let found = self.0.binary_search_by(|(known, _)| by_length(known).cmp(&by_length(name)));
        found.ok().and_then(|index| self.0.get(index)).map(|(_, place)| *place)
    }
}

/// An order in which most names need not be compared.
const fn by_length(name: &str) -> (usize, &str) {
    (name.len(), name)
}

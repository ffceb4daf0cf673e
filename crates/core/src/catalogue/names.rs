//! The fixed names under which injectors add their sidecars. Every container with an unknown image
//! is looked up, so the names are sorted.

use super::Profile;

/// Each name with the index of the first profile that contains it, sorted by length and name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct ContainerNames(Vec<(String, usize)>);

impl ContainerNames {
    pub(super) fn of(profiles: &[Profile]) -> Self {
        let all = profiles.iter().enumerate().flat_map(|(place, profile)| {
            profile.container_names.iter().map(move |name| (name.clone(), place))
        });
        let mut names: Vec<_> = all.collect();
        // The sort is stable, so the first profile of each name comes first.
        names.sort_by(|(one, _), (other, _)| by_length(one).cmp(&by_length(other)));
        names.dedup_by(|(later, _), (earlier, _)| later == earlier);
        Self(names)
    }

    /// Returns the index of the profile for a name.
    pub(super) fn profile(&self, name: &str) -> Option<usize> {
        let found = self.0.binary_search_by(|(known, _)| by_length(known).cmp(&by_length(name)));
        found.ok().and_then(|index| self.0.get(index)).map(|(_, place)| *place)
    }
}

/// Sort key that puts the length first, so that most names need not be compared.
const fn by_length(name: &str) -> (usize, &str) {
    (name.len(), name)
}

//! Namespaces that are not watched: from a file, or none.

use std::collections::HashMap;
use std::io::Cursor;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prestop_core::admission::Namespaces;
use prestop_core::engine::settings::NamespaceSettings;
use prestop_core::engine::template;
use prestop_manifest::{Documents, ManifestError};

/// Settings of namespaces, by name.
pub(crate) type ByName = HashMap<String, Arc<NamespaceSettings>>;

/// The namespaces of a list that can be replaced at any time. Others are treated as missing.
#[derive(Debug, Default)]
pub(crate) struct ListedNamespaces(ArcSwap<ByName>);

/// No namespace is known: the configured defaults apply to all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AnyNamespace;

/// Reads the Namespaces among manifests. If a name occurs twice, the last one counts.
///
/// # Errors
/// When a document can't be read.
pub(crate) fn read(manifests: &[u8]) -> Result<ByName, ManifestError> {
    let mut known = HashMap::new();
    for document in Documents::new(Cursor::new(manifests)) {
        let value = document.and_then(|document| document.value())?;
        let found = value.iter().flat_map(template::namespaces);
        known.extend(found.map(|(name, settings)| (name, Arc::new(settings))));
    }
    Ok(known)
}

impl ListedNamespaces {
    /// Replaces the list.
    pub(crate) fn replace(&self, known: ByName) {
        self.0.store(Arc::new(known));
    }
}

impl Namespaces for ListedNamespaces {
    fn settings(&self, namespace: &str) -> Option<Arc<NamespaceSettings>> {
        self.0.load().get(namespace).cloned()
    }
    fn may_exist(&self, namespace: &str) -> bool {
        self.0.load().contains_key(namespace)
    }
}

impl Namespaces for AnyNamespace {
    fn settings(&self, _: &str) -> Option<Arc<NamespaceSettings>> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOP: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, annotations: {prestop.dev/delay: 7s}}\n";

    #[test]
    fn the_namespaces_of_a_file_are_known_until_they_are_replaced() {
        let listed = ListedNamespaces::default();
        assert!(!listed.may_exist("shop"));
        let other = "---\nkind: ConfigMap\nmetadata: {name: other}\n---\n";
        listed.replace(read(format!("{SHOP}{other}").as_bytes()).unwrap());
        assert!(listed.may_exist("shop") && listed.settings("shop").is_some());
        assert!(!listed.may_exist("other") && listed.settings("other").is_none());
        listed.replace(ByName::new());
        assert!(!listed.may_exist("shop"));
        assert!(AnyNamespace.may_exist("shop") && AnyNamespace.settings("shop").is_none());
    }

    #[test]
    fn the_last_of_one_name_counts_and_one_broken_document_is_an_error() {
        let later = SHOP.replace("7s", "9s");
        let both = read(format!("{SHOP}---\n{later}").as_bytes()).unwrap();
        let last = read(later.as_bytes()).unwrap();
        assert_eq!((both.len(), both.get("shop")), (1, last.get("shop")));
        assert!(read(format!("{SHOP}---\na: [\n").as_bytes()).is_err());
        assert!(read(b"").unwrap().is_empty());
    }
}

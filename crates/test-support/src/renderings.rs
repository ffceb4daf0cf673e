//! The output of the chart for every value set to null, to an empty map and to an empty list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock};
use std::thread;

use serde_json::{Map, Value};

use crate::helm::{Tools, documents, text};
use crate::root;

/// Values that render every object.
const EVERYTHING: &[&str] = &["--values", "charts/prestop/ci/everything-values.yaml"];

/// The result of helm for a value: the rendered text, or the error message.
pub type Rendered = Result<String, String>;

/// Collects the path of each value of values.yaml, and of each group of values.
fn paths(values: &Map<String, Value>, above: &str, found: &mut Vec<String>) {
    for (key, value) in values {
        let path = format!("{above}{key}");
        // Maps that the chart copies unchanged are not split into their keys.
        if let Some(map) = value.as_object().filter(|_| !key.contains(['.', '/'])) {
            paths(map, &format!("{path}."), found);
        }
        found.push(path);
    }
}

fn all_paths() -> Vec<String> {
    let values = std::fs::read_to_string(root().join("charts/prestop/values.yaml")).unwrap();
    let values = documents(&values).remove(0);
    let mut found = Vec::new();
    paths(values.as_object().unwrap(), "", &mut found);
    found.retain(|path| !path.contains("kubernetes.io"));
    assert!(found.len() > 100, "{found:?}");
    found
}

/// Three notations of an empty value.
const EMPTIES: [&str; 3] = ["null", "{}", "[]"];

/// The setting, such as `image.tag=null`, and whether it is combined with the values that render
/// everything.
type Setting = (String, bool);

/// Renders the chart with each value set to each of these, with the defaults and with everything
/// enabled. Computed once for all tests.
pub fn renderings(tools: &Tools) -> &'static BTreeMap<Setting, Rendered> {
    static RENDERINGS: OnceLock<BTreeMap<Setting, Rendered>> = OnceLock::new();
    RENDERINGS.get_or_init(|| render(tools))
}

fn render(tools: &Tools) -> BTreeMap<Setting, Rendered> {
    let paths = all_paths();
    let sets = paths.iter().flat_map(|path| EMPTIES.map(|empty| format!("{path}={empty}")));
    let work: Vec<_> = sets.flat_map(|set| [(set.clone(), false), (set, true)]).collect();
    let (work, done) = (Mutex::new(work), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                loop {
                    let Some((set, is_everything)) = work.lock().unwrap().pop() else {
                        return;
                    };
                    let more = if is_everything { EVERYTHING } else { &[] };
                    let output = tools.try_template(&[&["--set-json", &set], more].concat());
                    let rendered = if output.status.success() {
                        Ok(text(&output.stdout))
                    } else {
                        Err(text(&output.stderr))
                    };
                    done.lock().unwrap().insert((set, is_everything), rendered);
                }
            });
        }
    });
    done.into_inner().unwrap()
}

/// Returns the distinct documents of these renderings: most values change only one of them.
pub fn distinct<'a>(renderings: impl Iterator<Item = &'a Rendered>) -> BTreeSet<&'a str> {
    let rendered = renderings.filter_map(|rendered| rendered.as_deref().ok());
    rendered.flat_map(|text| text.split("---\n# Source: ").skip(1)).collect()
}

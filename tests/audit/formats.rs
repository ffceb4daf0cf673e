//! The output of `prestop audit` in each form, compared with files and with the schemas of these
//! forms.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use prestop_test_support::{program, schemas};

use super::*;

const GOLDEN: &str = "tests/audit/golden";

pub(super) fn root(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs the program in the root of the repository, so that names of files are the same everywhere.
pub(super) fn audit(arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.arg("audit").args(arguments).current_dir(root("")).output().unwrap()
}

pub(super) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

pub(super) fn is_as_in(file: &str, found: &str) {
    let path = root(file);
    if std::env::var_os("UPDATE_GENERATED").is_some() {
        fs::write(&path, found).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{file}: run UPDATE_GENERATED=1 cargo test audit::formats");
}

fn errors(schema: &Value, instance: &Value) -> Vec<String> {
    let validator = jsonschema::validator_for(schema).unwrap();
    validator.iter_errors(instance).map(|it| format!("{}: {it}", it.instance_path())).collect()
}

#[test]
fn each_form_is_as_it_was() {
    for (form, file) in [
        ("text", "shop.txt"),
        ("json", "shop.json"),
        ("sarif", "shop.sarif"),
        ("junit", "shop.xml"),
        ("github", "shop.github"),
        ("gitlab", "shop.gitlab.json"),
        ("markdown", "shop.md"),
        ("policyreport", "shop.policyreport.yaml"),
        ("openreports", "shop.openreports.yaml"),
    ] {
        let output = audit(&["-o", form, &format!("{GOLDEN}/shop.yaml")]);
        assert_eq!(output.status.code(), Some(1), "{form}: {}", text(&output.stderr));
        let version = format!("\"version\": \"{}\"", env!("CARGO_PKG_VERSION"));
        let found = text(&output.stdout)
            .replace(&version, "\"version\": \"VERSION\"")
            .replace(env!("CARGO_PKG_REPOSITORY"), "https://github.com/OWNER/REPO");
        is_as_in(&format!("{GOLDEN}/{file}"), &found);
    }
}

#[test]
fn the_json_form_is_as_its_schema_says() {
    let schema = text(&audit(&["--schema"]).stdout);
    is_as_in("docs/audit.schema.json", &schema);
    let schema: Value = serde_json::from_str(&schema).unwrap();
    let golden = fs::read_to_string(root(&format!("{GOLDEN}/shop.json"))).unwrap();
    let mut report: Value = serde_json::from_str(&golden).unwrap();
    assert_eq!(errors(&schema, &report), Vec::<String>::new());
    // The schema does refuse invalid reports.
    report["items"][0]["findings"][0]["severity"] = "bad".into();
    assert_eq!(errors(&schema, &report).len(), 1);
}

/// The parts of SARIF that code scanning needs; the test below uses the whole schema.
#[test]
fn sarif_has_rules_places_and_fingerprints() {
    let output = audit(&["-o", "sarif", &format!("{GOLDEN}/shop.yaml")]);
    let log: Value = serde_json::from_slice(&output.stdout).unwrap();
    let run = &log["runs"][0];
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert!(!results.is_empty());
    let mut fingerprints = BTreeSet::new();
    for result in results {
        let index = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(rules[index]["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "tests/audit/golden/shop.yaml");
        assert!(place["region"]["startLine"].as_u64() > Some(1));
        assert!(place["region"]["startColumn"].as_u64() >= Some(1));
        assert!(
            fingerprints.insert(result["partialFingerprints"]["prestopFinding/v1"].to_string())
        );
    }
    let quit = results.iter().find(|it| it["ruleId"] == "quit-without-wait").unwrap();
    let region = &quit["locations"][0]["physicalLocation"]["region"];
    let line = fs::read_to_string(root(&format!("{GOLDEN}/shop.yaml"))).unwrap();
    let line =
        line.lines().nth(usize::try_from(region["startLine"].as_u64().unwrap()).unwrap() - 1);
    let column = usize::try_from(region["startColumn"].as_u64().unwrap()).unwrap();
    assert_eq!(&line.unwrap()[column - 1..], "preStop:");
}

#[test]
fn each_line_on_github_is_one_command() {
    let output = audit(&["-o", "github", &format!("{GOLDEN}/shop.yaml")]);
    let said = text(&output.stdout);
    let lines: Vec<_> = said.lines().collect();
    let (summary, commands) = lines.split_last().unwrap();
    assert!(summary.contains("workloads") && commands.len() >= 5);
    for command in commands {
        assert_eq!(command.matches("::").count(), 2, "{command}");
        let file = "file=tests/audit/golden/shop.yaml,line=";
        assert!(command.starts_with("::") && command.contains(file), "{command}");
    }
}

/// GitLab needs all five fields of each entry, and compares branches by the fingerprint.
#[test]
fn a_code_quality_report_has_what_gitlab_needs() {
    let file = format!("{GOLDEN}/shop.yaml");
    let report = |arguments: &[&str]| -> Vec<Value> {
        serde_json::from_slice(&audit(&[arguments, &[file.as_str()]].concat()).stdout).unwrap()
    };
    let findings = report(&["-o", "gitlab"]);
    assert_eq!(report(&["-o", "codequality"]), findings);
    let mut fingerprints = BTreeSet::new();
    for finding in &findings {
        let object = finding.as_object().unwrap();
        let fields: BTreeSet<_> = object.keys().map(String::as_str).collect();
        let expected = ["check_name", "description", "fingerprint", "location", "severity"];
        assert_eq!(fields, BTreeSet::from(expected));
        assert!(["critical", "major", "info"].contains(&finding["severity"].as_str().unwrap()));
        assert!(fingerprints.insert(finding["fingerprint"].as_str().unwrap().to_owned()));
        assert_eq!(finding["location"]["path"], file);
        assert!(finding["location"]["lines"]["begin"].as_u64() > Some(1));
    }
    // The same findings as in the other forms, without the ignored ones.
    let log = audit(&["-o", "json", &file]).stdout;
    let all: Value = serde_json::from_slice(&log).unwrap();
    let items = all["items"].as_array().unwrap().iter();
    let open = items.flat_map(|it| it["findings"].as_array().unwrap());
    assert_eq!(open.filter(|it| it["state"] == "open").count(), findings.len());
    // Paths are relative to the repository, and the result without findings is an empty list.
    let here = audit(&["-o", "gitlab", &format!("./{file}")]).stdout;
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&here).unwrap(), findings);
    let none = audit(&["-o", "gitlab", "examples/prestop.yaml"]).stdout;
    assert_eq!(serde_json::from_slice::<Vec<Value>>(&none).unwrap(), Vec::<Value>::new());
}

/// Columns in JSON, in a list on one line, and after characters of more than one byte.
#[test]
fn columns_are_those_of_the_field() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.json");
    let objects = good();
    let mut broken = objects[0].clone();
    broken["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] = 0.into();
    broken["metadata"]["labels"] = json!({"é": "ü"});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [objects[1], broken]});
    fs::write(&file, list.to_string()).unwrap();
    let output = audit(&["-o", "json", file.to_str().unwrap()]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["items"][0]["findings"].as_array().unwrap();
    let grace = findings.iter().find(|it| it["rule"] == "grace-zero").unwrap();
    let column = usize::try_from(grace["column"].as_u64().unwrap()).unwrap();
    assert_eq!(grace["line"], 1);
    let rest: String = list.to_string().chars().skip(column - 1).collect();
    assert!(rest.starts_with("\"terminationGracePeriodSeconds\""), "{column}: {rest}");
}

/// Validates with the schemas of the authors of the formats.
#[test]
#[ignore = "needs the schemas of tests/tools/schemas, and Python 3; run: just test-tools"]
fn forms_of_others_are_as_their_schemas_say() {
    let printed = |form| audit(&["-o", form, &format!("{GOLDEN}/shop.yaml")]).stdout;
    let sarif = schemas::sarif();
    let mut log: Value = serde_json::from_slice(&printed("sarif")).unwrap();
    assert_eq!(errors(&sarif, &log), Vec::<String>::new());
    log["runs"][0]["results"][0]["level"] = "bad".into();
    assert_eq!(errors(&sarif, &log).len(), 1);
    for (form, file) in [("policyreport", "policyreports.yaml"), ("openreports", "reports.yaml")] {
        let definition: Value = serde_saphyr::from_str(&schemas::schema(file)).unwrap();
        let version = &definition["spec"]["versions"][0];
        let mut schema = version["schema"]["openAPIV3Schema"].clone();
        close(&mut schema);
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text(&printed(form))).unwrap();
        assert_eq!(documents.len(), 2, "{form}: one for each namespace");
        for document in documents {
            let group = definition["spec"]["group"].as_str().unwrap();
            assert_eq!(
                document["apiVersion"],
                format!("{group}/{}", version["name"].as_str().unwrap())
            );
            assert_eq!(document["kind"], definition["spec"]["names"]["kind"]);
            assert_eq!(errors(&schema, &document), Vec::<String>::new(), "{form}");
        }
    }
    let xml = root(&format!("{GOLDEN}/shop.xml"));
    let script = "import sys, xml.etree.ElementTree as e
root = e.parse(sys.argv[1]).getroot()
for node in [root, *root.iter('testsuite')]:
    for attribute, tag in [('tests', 'testcase'), ('failures', 'failure'), ('skipped', 'skipped')]:
        assert int(node.get(attribute)) == len(list(node.iter(tag))), (node.attrib, tag)";
    let status = Command::new("python3").args(["-c", script]).arg(xml).status().unwrap();
    assert!(status.success());
}

/// Makes unknown fields errors, which the API server drops silently.
fn close(schema: &mut Value) {
    let Value::Object(map) = schema else { return };
    let is_free = map.get("x-kubernetes-preserve-unknown-fields") == Some(&true.into());
    if map.get("properties").is_some_and(Value::is_object) && !is_free {
        map.entry("additionalProperties").or_insert(false.into());
    }
    for value in map.values_mut() {
        match value {
            Value::Array(items) => items.iter_mut().for_each(close),
            value => close(value),
        }
    }
}

//! Tools that render manifests: Helm, kustomize, and those that call them.

use std::path::Path;

use prestop_test_support::command::{feed, stderr, stdout};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Programs, blocks, delay, documents, example, root, write};

const ALLOWED: &str = "--enable-alpha-plugins --enable-exec";

fn chart() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("Chart.yaml"), "apiVersion: v2\nname: web\nversion: 1.0.0\n");
    write(&folder.path().join("templates/web.yaml"), &example());
    folder
}

/// Returns the files of the section: a kustomization with a transformer.
fn kustomization() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("web.yaml"), &example());
    for block in blocks("kustomize", "yaml") {
        let name = block.lines().next().unwrap().strip_prefix("# ").unwrap().to_owned();
        write(&folder.path().join(name), &block);
    }
    folder
}

#[test]
#[ignore = "needs the programs of tests/tools/clients/install; run: just test-tools"]
fn helm_3_injects_by_its_post_renderer() {
    let (programs, chart) = (Programs::new(), chart());
    let plain = programs.prints("helm template web .", chart.path());
    assert_eq!(delay(&plain), None);
    let block =
        blocks("Helm", "sh elsewhere").pop().unwrap().replace("\\\n", " ").replace("./chart", ".");
    let words: Vec<_> = block.split_whitespace().collect();
    let line = words.join(" ").replace("helm install", "helm template");
    let injected = programs.prints(&line, chart.path());
    assert_eq!(delay(&injected), Some(10));
    let mut expected = programs.command("prestop", chart.path());
    let expected = stdout(&feed(expected.args(["inject", "-"]), &plain));
    assert_eq!(documents(&injected), documents(&expected));
    // If prestop fails, Helm fails.
    let failed = format!("{line} --post-renderer-args --config=missing.yaml");
    assert!(!programs.run(&failed, chart.path()).status.success());
}

#[test]
#[ignore = "needs the programs of tests/tools/clients/install; run: just test-tools"]
fn kustomize_runs_prestop_as_a_transformer() {
    let (programs, folder) = (Programs::new(), kustomization());
    let build = format!("kustomize build {ALLOWED} .");
    let injected = programs.prints(&build, folder.path());
    assert_eq!(delay(&injected), Some(15));
    // kustomize's internal annotations are removed.
    assert!(!injected.contains("config.kubernetes.io"), "{injected}");
    // An error in the configuration fails the build, and the message names the field.
    let path = folder.path().join("prestop.yaml");
    let text = std::fs::read_to_string(&path).unwrap();
    write(&path, &text.replace("delay: 15s", "dealy: 15s"));
    let failed = programs.run(&build, folder.path());
    assert!(!failed.status.success());
    let said = stderr(&failed);
    assert!(said.contains("functionConfig: defaults.dealy: unknown field"), "{said}");
    // The example is the same, followed by a check.
    let example = format!("kustomize build {ALLOWED} --load-restrictor LoadRestrictionsNone .");
    let example = programs.prints(&example, &root("examples/kustomize-function"));
    assert_eq!(documents(&example), documents(&injected));
}

#[test]
#[ignore = "needs the programs of tests/tools/clients/install; run: just test-tools"]
fn kustomize_fails_where_a_check_finds_something() {
    let (programs, folder) = (Programs::new(), kustomization());
    let build = format!("kustomize build {ALLOWED} .");
    let check = std::fs::read_to_string(root("examples/kustomize-function/check.yaml")).unwrap();
    write(&folder.path().join("check.yaml"), &check);
    let validator = check.replace("[function, --check, --strict]", "[inject, --check, \"-\"]");
    write(&folder.path().join("validator.yaml"), &validator);
    for (lists, is_good) in [
        ("transformers: [prestop.yaml, check.yaml]", true),
        ("transformers: [check.yaml]", false),
        ("transformers: [prestop.yaml]\nvalidators: [validator.yaml]", true),
        ("validators: [validator.yaml]", false),
    ] {
        write(
            &folder.path().join("kustomization.yaml"),
            &format!("resources: [web.yaml]\n{lists}\n"),
        );
        let output = programs.run(&build, folder.path());
        assert_eq!(output.status.success(), is_good, "{lists}: {}", stderr(&output));
        let names = stderr(&output).contains("Deployment shop/web has no hook yet");
        assert_eq!(names, !is_good, "{lists}: {}", stderr(&output));
        assert_eq!(stdout(&output).contains("preStop"), is_good, "{lists}");
    }
}

/// Runs like Argo CD's server: in the folder of the application, with its variables.
#[test]
#[ignore = "needs the programs of tests/tools/clients/install; run: just test-tools"]
fn the_plugin_of_argo_cd_renders_and_injects() {
    let programs = Programs::new();
    let plugin = std::fs::read_to_string(root("examples/argocd/plugin.yaml")).unwrap();
    let plugin = documents(&plugin).remove(0);
    assert_eq!(
        (&plugin["apiVersion"], &plugin["kind"]),
        (&json!("argoproj.io/v1alpha1"), &json!("ConfigManagementPlugin"))
    );
    let generate = &plugin["spec"]["generate"];
    let words =
        ["command", "args"].into_iter().flat_map(|field| generate[field].as_array().unwrap());
    let words: Vec<_> = words.map(|word| word.as_str().unwrap()).collect();
    let run = |folder: &Path| {
        let mut command = programs.command(words[0], folder);
        command.args(&words[1..]).env("ARGOCD_APP_NAME", "web").env("ARGOCD_APP_NAMESPACE", "shop");
        command.output().unwrap()
    };
    let plain = tempfile::tempdir().unwrap();
    write(&plain.path().join("web.yaml"), &example());
    let kustomized = tempfile::tempdir().unwrap();
    write(&kustomized.path().join("web.yaml"), &example());
    write(&kustomized.path().join("kustomization.yaml"), "resources: [web.yaml]\nnamePrefix: a-\n");
    let chart = chart();
    for (folder, name) in
        [(plain.path(), "web"), (kustomized.path(), "a-web"), (chart.path(), "web")]
    {
        let output = run(folder);
        assert!(output.status.success(), "{}", stderr(&output));
        assert_eq!(delay(&stdout(&output)), Some(10));
        assert_eq!(documents(&stdout(&output))[0]["metadata"]["name"], name);
    }
    // If rendering fails, that is an error, and nothing is printed.
    write(&chart.path().join("templates/web.yaml"), "{{ fail \"no\" }}");
    let output = run(chart.path());
    assert!(!output.status.success() && output.stdout.is_empty());
}

/// Flux applies patches with its own copy of kustomize.
#[test]
#[ignore = "needs the programs of tests/tools/clients/install; run: just test-tools"]
fn patches_for_flux_give_what_inject_gives() {
    let programs = Programs::new();
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("web.yaml"), &example());
    let lines = programs.prints("prestop inject -o json-patch web.yaml", folder.path());
    let patches = lines.lines().map(|line| {
        let line: Value = serde_json::from_str(line).unwrap();
        let target =
            ["kind", "name", "namespace"].map(|field| (field, line["target"][field].clone()));
        json!({"target": Value::from_iter(target), "patch": line["patch"].to_string()})
    });
    let kustomization = json!({"resources": ["web.yaml"], "patches": patches.collect::<Vec<_>>()});
    write(&folder.path().join("kustomization.yaml"), &kustomization.to_string());
    let by_flux = programs.prints("kustomize build .", folder.path());
    let injected = programs.prints("prestop inject web.yaml", folder.path());
    assert_eq!(documents(&by_flux), documents(&injected));
}

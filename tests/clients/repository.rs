//! Checks of a repository: pre-commit, and the schemas of pipelines.

use prestop_test_support::command::{stderr, stdout};

use super::{Programs, blocks, example, root, write};

#[test]
#[ignore = "needs the programs of tests/tools/clients/install; run: just test-tools"]
fn pre_commit_runs_the_hooks() {
    let programs = Programs::new();
    let folder = tempfile::tempdir().unwrap();
    let git = |name: &str, line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let mut command = programs.command("git", &folder.path().join(name));
        command.args(["-c", "user.name=a", "-c", "user.email=a@example.com"]).args(words);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{line}: {}", stderr(&output));
        stdout(&output).trim().to_owned()
    };
    // The repository that provides the hooks.
    let hooks = std::fs::read_to_string(root(".pre-commit-hooks.yaml")).unwrap();
    write(&folder.path().join("hooks/.pre-commit-hooks.yaml"), &hooks);
    git("hooks", "init -q");
    git("hooks", "add .");
    git("hooks", "commit -qm hooks");
    let revision = git("hooks", "rev-parse HEAD");
    programs.prints(
        "pre-commit validate-manifest .pre-commit-hooks.yaml",
        &folder.path().join("hooks"),
    );
    // The repository that uses them.
    let config = blocks("pre-commit", "yaml").remove(0);
    let hooks_of = format!("file://{}", folder.path().join("hooks").display());
    let config = config.replace(env!("CARGO_PKG_REPOSITORY"), &hooks_of);
    let version = config.lines().find_map(|line| line.trim().strip_prefix("rev: ")).unwrap();
    let config = config.replace(version, &revision);
    assert!(config.contains(&revision) && config.contains(&hooks_of), "{config}");
    let used = folder.path().join("used");
    write(&used.join(".pre-commit-config.yaml"), &config);
    write(&used.join("manifests/web.yaml"), &example());
    write(&used.join("chart/templates/web.yaml"), "name: {{ .Values.name }}\n");
    git("used", "init -q");
    git("used", "add .");
    let run = |hook: &str| {
        let output = programs.run(&format!("pre-commit run --all-files -v {hook}"), &used);
        (output.status.success(), stdout(&output) + &stderr(&output))
    };
    let (is_good, said) = run("prestop-check");
    assert!(
        !is_good && said.contains("manifests/web.yaml: Deployment shop/web has no hook yet"),
        "{said}"
    );
    let (is_good, said) = run("prestop-audit");
    assert!(is_good && said.contains("Deployment shop/web (manifests/web.yaml:2)"), "{said}");
    write(
        &used.join(".pre-commit-config.yaml"),
        &config.replace("prestop-check", "prestop-inject"),
    );
    git("used", "add .");
    let (is_good, said) = run("prestop-inject");
    assert!(!is_good && said.contains("files were modified by this hook"), "{said}");
    assert!(std::fs::read_to_string(used.join("manifests/web.yaml")).unwrap().contains("preStop:"));
    git("used", "add .");
    let (is_good, said) = run("prestop-inject");
    assert!(is_good, "{said}");
}

#[test]
#[ignore = "needs the programs of tests/tools/clients/install; run: just test-tools"]
fn the_pipeline_for_gitlab_is_as_gitlab_reads_it() {
    let programs = Programs::new();
    let folder = tempfile::tempdir().unwrap();
    let pipeline = blocks("GitLab", "yaml").remove(0);
    write(&folder.path().join(".gitlab-ci.yml"), &pipeline);
    let check = "check-jsonschema --builtin-schema vendor.gitlab-ci .gitlab-ci.yml";
    programs.prints(check, folder.path());
    write(&folder.path().join(".gitlab-ci.yml"), &pipeline.replace("codequality:", "quality: "));
    assert!(!programs.run(check, folder.path()).status.success());
    // The script works as described.
    write(&folder.path().join("manifests/web.yaml"), &example());
    let script = pipeline.lines().find_map(|line| line.trim().strip_prefix("- ")).unwrap();
    let output = programs.command("sh", folder.path()).args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report = std::fs::read_to_string(folder.path().join("prestop.json")).unwrap();
    let report: Vec<serde_json::Value> = serde_json::from_str(&report).unwrap();
    assert_eq!(report[0]["location"]["path"], "manifests/web.yaml");
}

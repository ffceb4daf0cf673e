//! Files and folders: several files to standard output, Kustomize patches, files edited in place.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

use prestop_manifest::Documents;
use serde_json::Value;

use super::{CONFIG_MAP, deployment, folder, piped, prestop, run, stderr, stdout};

fn values(text: &str) -> Vec<Value> {
    let all = Documents::new(text.as_bytes());
    all.filter_map(|document| document.unwrap().value().unwrap()).collect()
}

#[test]
fn every_object_of_every_file_is_read_again() {
    let files = [
        ("1.yaml", CONFIG_MAP.to_owned()),
        ("2.yaml", format!("\u{feff}{}", deployment("a"))),
        ("3.yaml", format!("%YAML 1.2\n---\n{CONFIG_MAP}\n...\n")),
        ("4.json", "{\"a\":1}{\"b\":2}".to_owned()),
        ("5.yaml", format!("\u{feff}# c\n---\n{}", deployment("b").trim_end())),
        ("6.yaml", format!("%YAML 1.2\n# c\n---\n{CONFIG_MAP}")),
        ("7.yaml", "# nothing\n".to_owned()),
        ("8.yaml", deployment("c").replace('\n', "\r\n")),
    ];
    let folder = folder(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    let output = run(folder.path(), &["-q", "."]);
    assert!(output.status.success(), "{}", stderr(&output));
    let printed = stdout(&output);
    let found = values(&printed);
    assert_eq!(found.len(), 8, "{printed}");
    assert_eq!(printed.matches("preStop").count(), 3);
    let again = piped(&["-q", "-"], &printed);
    assert_eq!(stdout(&again), printed, "{}", stderr(&again));
    let in_place = run(folder.path(), &["-q", "-i", "."]);
    assert!(in_place.status.success(), "{}", stderr(&in_place));
    let texts: Vec<String> = files
        .iter()
        .map(|(name, _)| fs::read_to_string(folder.path().join(name)).unwrap())
        .collect();
    assert_eq!(texts.iter().flat_map(|text| values(text)).collect::<Vec<_>>(), found);
}

#[test]
fn patches_of_a_kustomization_are_skipped() {
    let whole = deployment("web");
    let folder = folder(&[
        ("base/kustomization.yaml", "resources: [web.yaml]\n"),
        ("base/web.yaml", &whole),
        (
            "over/kustomization.yml",
            "patches:\n- path: image.yaml\n- patch: 'x'\npatchesStrategicMerge: [../shared/merge.yaml]\n",
        ),
        ("over/image.yaml", &whole),
        ("shared/merge.yaml", &whole),
    ]);
    let output = run(folder.path(), &["-i", "."]);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("image.yaml: skipped: a patch of ./over/kustomization.yml"), "{said}");
    assert!(said.contains("merge.yaml: skipped"), "{said}");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!((read("over/image.yaml"), read("shared/merge.yaml")), (whole.clone(), whole));
    assert!(read("base/web.yaml").contains("preStop"));
    assert_eq!(run(folder.path(), &["--check", "."]).status.code(), Some(0));
}

#[cfg(unix)]
#[test]
fn a_file_that_cannot_be_written_is_reported_and_the_others_are_done() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    let folder = folder(&[
        ("read-only/changed.yaml", &deployment("a")),
        ("read-only/same.yaml", CONFIG_MAP),
        ("z.yaml", &deployment("b")),
    ]);
    let path = folder.path();
    let mode = |name: &str, mode: u32| {
        fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    let program = path.join("prestop");
    fs::copy(env!("CARGO_BIN_EXE_prestop"), &program).unwrap();
    let mut command = Command::new(&program);
    // Root can write everywhere.
    if chown(path.join("z.yaml"), Some(65534), None).is_ok()
        && chown(path, Some(65534), None).is_ok()
    {
        command.uid(65534);
    }
    mode("read-only", 0o555);
    command.current_dir(path).args(["inject", "-i", "read-only", "z.yaml"]);
    let output = loop {
        match command.output() {
            // A process that another test forks has the copy open for writing until it executes its
            // own program.
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            output => break output.unwrap(),
        }
    };
    mode("read-only", 0o755);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("read-only/changed.yaml: can't be written: "), "{said}");
    assert!(!said.contains("same.yaml"), "{said}");
    assert!(fs::read_to_string(path.join("z.yaml")).unwrap().contains("preStop"));
    assert_eq!(fs::read_dir(path.join("read-only")).unwrap().count(), 2);
}

#[cfg(unix)]
#[test]
fn a_signal_leaves_no_temporary_file() {
    let texts: Vec<(String, String)> =
        (0..300).map(|number| (format!("{number}.yaml"), deployment("web"))).collect();
    let files: Vec<(&str, &str)> =
        texts.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let folder = folder(&files);
    let is_begun = || {
        let text = fs::read_to_string(folder.path().join("0.yaml"));
        text.is_ok_and(|text| text.contains("preStop"))
    };
    let mut child = prestop(folder.path(), &["-q", "-i", "."]).spawn().unwrap();
    while !is_begun() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    let id = i32::try_from(child.id()).unwrap();
    let _ = Command::new("kill").args(["-TERM", &id.to_string()]).status();
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), Some(0 | 143)), "{status:?}");
    for entry in fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(path.extension().and_then(|it| it.to_str()), Some("yaml"), "{path:?}");
        assert_eq!(values(&fs::read_to_string(&path).unwrap()).len(), 1, "{path:?}");
    }
}

#[test]
fn strict_makes_problems_an_exit_status() {
    let misspelt = deployment("web").replace(
        "      labels: {app: web}",
        "      labels: {app: web}\n      annotations: {prestop.dev/dealy: 5s}",
    );
    assert_eq!(piped(&["-"], &misspelt).status.code(), Some(0));
    let strict = piped(&["--strict", "-"], &misspelt);
    assert_eq!(strict.status.code(), Some(1), "{}", stderr(&strict));
    assert!(stdout(&strict).contains("preStop"));
    assert_eq!(piped(&["--strict", "-"], &deployment("web")).status.code(), Some(0));
}

#[test]
fn an_input_without_documents_is_an_error() {
    for text in ["", "\n", "# c\n", "---\n---\n"] {
        let output = piped(&["-"], text);
        assert_eq!(output.status.code(), Some(3), "{text:?}");
        assert!(stderr(&output).contains("no document in the input"), "{}", stderr(&output));
    }
    let folder = folder(&[("a.yaml", ""), ("b.yaml", CONFIG_MAP)]);
    assert_eq!(run(Path::new(folder.path()), &["."]).status.code(), Some(0));
}

#[test]
fn the_summary_is_printed_once() {
    for form in ["yaml", "diff", "json-patch", "report"] {
        let output = piped(&["-o", form, "-"], &deployment("web"));
        let said = stdout(&output) + &stderr(&output);
        assert_eq!(said.matches("1 workload: 1 to inject").count(), 1, "{form}: {said}");
    }
}

#[test]
fn check_asks_only_for_what_inject_would_write() {
    for annotations in ["[a]", "text", "1"] {
        let text = deployment("web").replace(
            "      labels: {app: web}",
            &format!("      labels: {{app: web}}\n      annotations: {annotations}"),
        );
        let written = stdout(&piped(&["-q", "-"], &text));
        let check = piped(&["--check", "-"], &text);
        assert_eq!(
            check.status.code() == Some(1),
            written != text,
            "{annotations}: {}",
            stderr(&check)
        );
    }
}

#[test]
fn more_kinds_are_named_with_their_group() {
    let widget =
        deployment("web").replace("apps/v1", "example.com/v1").replace("Deployment", "Widget");
    let unknown = piped(&["-"], &widget);
    assert!(stderr(&unknown).contains("--kind Widget.example.com"), "{}", stderr(&unknown));
    assert_eq!(stdout(&unknown), widget);
    for kind in ["Widget.example.com", "example.com/Widget", "Widget"] {
        assert!(
            stdout(&piped(&["-q", "--kind", kind, "-"], &widget)).contains("preStop"),
            "{kind}"
        );
    }
    assert_eq!(stdout(&piped(&["-q", "--kind", "Widget.example.org", "-"], &widget)), widget);
    assert_eq!(piped(&["--kind", "widgets", "-"], &widget).status.code(), Some(2));
}

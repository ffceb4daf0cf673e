//! The owner of the repository is defined in one place.

use super::*;

#[test]
#[ignore = "needs git and Python 3; run: just test-tools"]
fn no_other_name_is_used_anywhere() {
    done(root(), "release/set-owner", &["--check"]);
}

#[test]
#[ignore = "needs git and Python 3; run: just test-tools"]
fn a_fork_is_named_everywhere() {
    let fork = copy();
    let owner = read(fork.path().join("release/owner"));
    let value =
        |name: &str| owner.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
    let (repository, registry) = (value("repository="), value("registry="));
    // Joined, so that this file doesn't contain the name.
    let other = ["Acme-Shop", "hooks"].join("/");
    done(fork.path(), "release/set-owner", &[&other, "--registry", "registry.example:5000"]);
    let is_old = format!("github\\.com/{repository}\\b\\|{registry}/{repository}\\b");
    let left = Command::new("git").args(["grep", "-n", &is_old]).current_dir(fork.path()).output();
    assert_eq!(text(&left.unwrap().stdout), "", "still named");
    let cargo = read(fork.path().join("Cargo.toml"));
    assert!(cargo.contains(&format!("repository = \"https://github.com/{other}\"")), "{cargo}");
    let values = read(fork.path().join("charts/prestop/values.yaml"));
    assert!(
        values.contains(&format!("  repository: registry.example:5000/{}\n", other.to_lowercase())),
        "{values}"
    );
    let chart = read(fork.path().join("charts/prestop/Chart.yaml"));
    assert!(chart.contains(&format!("home: https://github.com/{other}\n")), "{chart}");
    // Setting the old owner again restores all files.
    done(fork.path(), "release/set-owner", &[&repository, "--registry", &registry]);
    assert_eq!(git(fork.path(), &["diff", "--stat"]), "");
}

#[test]
#[ignore = "needs git and Python 3; run: just test-tools"]
fn a_second_place_and_a_wrong_name_are_errors() {
    let fork = copy();
    let refused = |arguments: &[&str], told: &str| {
        let output = run(fork.path(), "release/set-owner", arguments);
        let error = text(&output.stderr);
        assert!(!output.status.success() && error.contains(told), "{arguments:?}: {error}");
    };
    refused(&[], "OWNER/REPO is missing, such as acme/prestop");
    refused(&["acme"], "acme: OWNER/REPO is expected");
    refused(&["acme/prestop", "--registry", "https://ghcr.io"], "a host is expected");
    assert_eq!(git(fork.path(), &["diff", "--stat"]), "", "changed by a wrong name");
    let repository = env!("CARGO_PKG_REPOSITORY");
    fs::write(fork.path().join("src/link.txt"), format!("{repository}/issues\n")).unwrap();
    git(fork.path(), &["add", "src/link.txt"]);
    refused(&["--check"], "src/link.txt:1: take the owner from release/owner");
    fs::write(fork.path().join("src/link.txt"), format!("ghcr.io/some{}/prestop\n", "body"))
        .unwrap();
    refused(&["--check"], "src/link.txt:1: somebody/prestop is not");
}

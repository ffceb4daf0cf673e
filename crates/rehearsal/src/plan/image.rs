//! Programs that images lack, according to the catalogue.

use prestop_core::catalogue::{Catalogue, ImageReference, Presence};

/// Programs that images with a shell usually have: an image without both a shell and `sleep` has
/// none of them.
const OF_A_SHELL: &[&str] = &["cat", "curl", "echo", "env", "kill", "pkill", "true", "wget"];
const SHELLS: &[&str] = &["ash", "bash", "busybox", "dash", "sh"];

/// Returns why a program is not in an image, if that is known.
#[must_use]
pub(crate) fn lacks_programs(image: &str, program: &str, catalogue: &Catalogue) -> Option<String> {
    let name = program.rsplit('/').next().unwrap_or(program);
    let programs = catalogue.programs(&ImageReference::parse(image)?);
    let (no_shell, no_sleep) =
        (programs.shell == Presence::Absent, programs.sleep == Presence::Absent);
    let is_absent = if SHELLS.contains(&name) {
        no_shell
    } else if name == "sleep" {
        no_sleep
    } else {
        OF_A_SHELL.contains(&name) && no_shell && no_sleep
    };
    is_absent.then(|| format!("{program}: the image {image} has no such program"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacks(image: &str, program: &str) -> bool {
        lacks_programs(image, program, Catalogue::built_in()).is_some()
    }

    #[test]
    fn images_without_a_shell_are_known() {
        for image in [
            "gcr.io/distroless/static-debian12",
            "gcr.io/distroless/java21:nonroot",
            "envoyproxy/envoy-distroless:v1.31.0",
            "cgr.dev/chainguard/nginx:latest",
            "chainguard/nginx",
        ] {
            assert!(lacks(image, "/bin/sh"), "{image}");
            assert!(lacks(image, "sleep"), "{image}");
            assert!(lacks(image, "/usr/bin/wget"), "{image}");
            assert!(!lacks(image, "/app/server"), "{image}");
        }
        for image in
            ["nginx:1.15", "gcr.io/distroless/base:debug", "cgr.dev/chainguard/nginx:latest-dev"]
        {
            assert!(!lacks(image, "sleep"), "{image}");
        }
    }
}

//! What images are known not to have.

use crate::catalogue::ImageReference;

/// Programs that every image with a shell has, and images without one have not.
const OF_A_SHELL: &[&str] = &[
    "ash", "bash", "busybox", "cat", "curl", "dash", "echo", "env", "kill", "pkill", "sh", "sleep",
    "true", "wget",
];

/// Why this program is not in this image, if that is known.
///
/// Distroless images hold the application and nothing else; those with a tag of `debug` hold
/// busybox. Chainguard's are the same, and those with a tag of `-dev` have a shell.
#[must_use]
pub fn lacks_programs(image: &str, program: &str) -> Option<String> {
    let name = program.rsplit('/').next().unwrap_or(program);
    if !OF_A_SHELL.contains(&name) {
        return None;
    }
    let reference = ImageReference::parse(image)?;
    let tag = reference.tag.unwrap_or_default();
    let repository = image.split(['@']).next().unwrap_or(image);
    let distroless = repository.contains("distroless") && !tag.contains("debug");
    let chainguard = (repository.starts_with("cgr.dev/") || repository.starts_with("chainguard/"))
        && !tag.ends_with("-dev");
    (distroless || chainguard).then(|| format!("{program}: the image {image} has no such program"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_without_a_shell_are_known() {
        for image in [
            "gcr.io/distroless/static-debian12",
            "gcr.io/distroless/java21:nonroot",
            "envoyproxy/envoy-distroless:v1.31.0",
            "cgr.dev/chainguard/nginx:latest",
            "chainguard/nginx",
        ] {
            assert!(lacks_programs(image, "/bin/sh").is_some(), "{image}");
            assert!(lacks_programs(image, "/app/server").is_none(), "{image}");
        }
        for image in
            ["nginx:1.15", "gcr.io/distroless/base:debug", "cgr.dev/chainguard/nginx:latest-dev"]
        {
            assert!(lacks_programs(image, "sleep").is_none(), "{image}");
        }
    }
}

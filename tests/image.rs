//! The image that `.ci/oci-archive` builds without a container engine: it is exactly the
//! Dockerfile's last stage, has the same bytes each time, and can be imported by containerd.

mod containerd;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::{Value, json};
use tempfile::TempDir;

const NAME: &str = "registry.example/acme/prestop:0.0.0-test";
const SOURCE: &str = "https://git.example/acme/prestop";
const PROGRAM: &[u8] = b"#!/not/the/real/one\n";

struct Archive {
    folder: TempDir,
    file: PathBuf,
}

/// Builds an image with a small script in place of prestop.
fn archive(name: &str) -> Archive {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("prestop");
    fs::write(&program, PROGRAM).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let file = folder.path().join("image.tar");
    let output = oci_archive(&[
        "--name",
        name,
        "--build-arg",
        &format!("SOURCE={SOURCE}"),
        "--build-arg",
        "REVISION=0123abc",
        "--file",
        &format!("/out/prestop={}", program.display()),
        "--out",
        file.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Archive { folder, file }
}

fn oci_archive(arguments: &[&str]) -> Output {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    Command::new("python3")
        .arg(root.join(".ci/oci-archive"))
        .args(arguments)
        .current_dir(root)
        .env_remove("SOURCE_DATE_EPOCH")
        .output()
        .unwrap()
}

impl Archive {
    fn unpacked(&self) -> PathBuf {
        let folder = self.folder.path().join("unpacked");
        fs::create_dir_all(&folder).unwrap();
        tar(&["-xf", self.file.to_str().unwrap(), "-C", folder.to_str().unwrap()]);
        folder
    }
}

fn tar(arguments: &[&str]) -> String {
    let output = Command::new("tar").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn read(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// Returns the path of the blob of a descriptor, after checking its size and digest.
fn blob(folder: &Path, descriptor: &Value) -> PathBuf {
    let digest = descriptor["digest"].as_str().unwrap().replace(':', "/");
    let file = folder.join("blobs").join(digest);
    assert_eq!(descriptor["size"], fs::metadata(&file).unwrap().len());
    let sum = Command::new("sha256sum").arg(&file).output().unwrap();
    assert!(
        String::from_utf8_lossy(&sum.stdout)
            .starts_with(file.file_name().unwrap().to_str().unwrap())
    );
    file
}

#[test]
#[ignore = "needs Python 3; run: just test-tools"]
fn its_configuration_is_what_the_dockerfile_says() {
    let folder = archive(NAME);
    let folder = folder.unpacked();
    assert_eq!(read(&folder.join("oci-layout")), json!({"imageLayoutVersion": "1.0.0"}));
    let index = read(&folder.join("index.json"));
    assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], NAME);
    let manifest = read(&blob(&folder, &index["manifests"][0]));
    let image = read(&blob(&folder, &manifest["config"]));
    let description = env!("CARGO_PKG_DESCRIPTION");
    assert_eq!(
        image["config"],
        json!({
            "WorkingDir": "/",
            "Labels": {
                "org.opencontainers.image.title": "prestop",
                "org.opencontainers.image.description": description,
                "org.opencontainers.image.source": SOURCE,
                "org.opencontainers.image.url": SOURCE,
                "org.opencontainers.image.documentation": format!("{SOURCE}/tree/main/docs"),
                "org.opencontainers.image.revision": "0123abc",
                "org.opencontainers.image.vendor": "The prestop authors",
                "org.opencontainers.image.licenses": env!("CARGO_PKG_LICENSE"),
                "org.opencontainers.image.version": env!("CARGO_PKG_VERSION"),
            },
            "User": "65532:65532",
            "ExposedPorts": {"10250/tcp": {}, "10251/tcp": {}},
            "StopSignal": "SIGTERM",
            "Entrypoint": ["/prestop"],
            "Cmd": ["serve", "--listen", ":10250", "--admin-listen", ":10251"],
        })
    );
    assert_eq!(image["os"], "linux");
    // One file per layer, owned by root, with the right mode and content.
    let layers: Vec<_> =
        manifest["layers"].as_array().unwrap().iter().map(|layer| blob(&folder, layer)).collect();
    let listed: Vec<_> =
        layers.iter().map(|layer| tar(&["-tvf", layer.to_str().unwrap()])).collect();
    assert_eq!(listed.len(), 3);
    assert!(
        listed[0].starts_with("-rw-r--r-- 0/0") && listed[0].trim_end().ends_with(" LICENSE"),
        "{listed:?}"
    );
    assert!(
        listed[1].starts_with("-rw-r--r-- 0/0") && listed[1].trim_end().ends_with(" NOTICES"),
        "{listed:?}"
    );
    assert!(
        listed[2].starts_with("-rwxr-xr-x 0/0") && listed[2].trim_end().ends_with(" prestop"),
        "{listed:?}"
    );
    assert_eq!(tar(&["-xOf", layers[2].to_str().unwrap()]).as_bytes(), PROGRAM);
    // Compressed, as registries and scanners expect; the configuration has the digests of the
    // uncompressed layers.
    let digests: Vec<_> = layers.iter().map(|layer| digest_of_content(layer)).collect();
    assert_eq!(image["rootfs"]["diff_ids"], json!(digests));
    for layer in manifest["layers"].as_array().unwrap() {
        assert_eq!(layer["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
    }
    let annotations = &manifest["annotations"];
    assert_eq!(annotations["org.opencontainers.image.description"], description);
    assert_eq!(annotations["org.opencontainers.image.created"], "1970-01-01T00:00:00Z");
    // The manifest for `docker load`.
    let docker = &read(&folder.join("manifest.json"))[0];
    assert_eq!(docker["RepoTags"], json!([NAME]));
    assert_eq!(read(&folder.join(docker["Config"].as_str().unwrap())), image);
    for layer in docker["Layers"].as_array().unwrap() {
        assert!(folder.join(layer.as_str().unwrap()).exists());
    }
}

/// Returns the digest of the uncompressed content, with `sha256:`.
fn digest_of_content(compressed: &Path) -> String {
    let script = format!("gzip -dc '{}' | sha256sum", compressed.display());
    let sum = Command::new("sh").args(["-c", &script]).output().unwrap();
    format!("sha256:{}", String::from_utf8_lossy(&sum.stdout).split(' ').next().unwrap())
}

#[test]
#[ignore = "needs Python 3; run: just test-tools"]
fn several_architectures_are_an_index() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    fs::write(file("amd64"), "for amd64").unwrap();
    fs::write(file("arm64"), "for arm64").unwrap();
    let (amd64, arm64) = (
        format!("amd64:/out/prestop={}", file("amd64")),
        format!("arm64:/out/prestop={}", file("arm64")),
    );
    let output = oci_archive(
        &[
            &[
                "--name", NAME, "--arch", "amd64", "--arch", "arm64", "--file", &amd64, "--file",
                &arm64,
            ][..],
            &["--out", &file("image.tar"), "--digest-file", &file("digest")],
        ]
        .concat(),
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let archive = Archive { file: folder.path().join("image.tar"), folder };
    let folder = archive.unpacked();
    let root = &read(&folder.join("index.json"))["manifests"][0];
    assert_eq!(root["mediaType"], "application/vnd.oci.image.index.v1+json");
    let digest = fs::read_to_string(folder.parent().unwrap().join("digest")).unwrap();
    assert_eq!(root["digest"], digest.trim());
    let index = read(&blob(&folder, root));
    for (number, architecture) in ["amd64", "arm64"].into_iter().enumerate() {
        let entry = &index["manifests"][number];
        assert_eq!(entry["platform"], json!({"architecture": architecture, "os": "linux"}));
        let manifest = read(&blob(&folder, entry));
        assert_eq!(read(&blob(&folder, &manifest["config"]))["architecture"], architecture);
        let program = blob(&folder, manifest["layers"].as_array().unwrap().last().unwrap());
        assert_eq!(tar(&["-xzOf", program.to_str().unwrap()]), format!("for {architecture}"));
    }
    let title = &index["annotations"]["org.opencontainers.image.title"];
    assert_eq!(title, "prestop");
}

#[test]
#[ignore = "needs Python 3; run: just test-tools"]
fn the_same_files_give_the_same_image() {
    let (one, other) = (archive(NAME), archive(NAME));
    assert!(fs::read(&one.file).unwrap() == fs::read(&other.file).unwrap());
}

#[test]
#[ignore = "needs Python 3; run: just test-tools"]
fn short_names_are_those_of_the_usual_registry() {
    for (name, full) in [
        ("web:1", "docker.io/library/web:1"),
        ("shop/web:1", "docker.io/shop/web:1"),
        ("localhost:5000/web:1", "localhost:5000/web:1"),
    ] {
        let archive = archive(name);
        let index = read(&archive.unpacked().join("index.json"));
        assert_eq!(index["manifests"][0]["annotations"]["io.containerd.image.name"], full);
    }
}

#[test]
#[ignore = "needs Python 3; run: just test-tools"]
fn what_it_cannot_make_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let based = file("based", "FROM debian:12\n");
    let running = file("running", "FROM scratch\nRUN true\n");
    let unknown = file("unknown", "FROM scratch\nLABEL a=$NOBODY\n");
    let out = folder.path().join("out.tar").display().to_string();
    for (arguments, told) in [
        (&["--name", "prestop"][..], "a tag is missing"),
        (&["--name", "prestop:1"], "where is /out/prestop? Say --file /out/prestop=FILE"),
        (
            &["--name", "prestop:1", "--arch", "mips"],
            "--arch mips: one of amd64, arm64 is expected",
        ),
        (&["--name", "prestop:1", "--file", "/out/prestop"], "NAME=VALUE is expected"),
        (&["--name", "prestop:1", "--file", "/out/prestop=/nowhere"], "/nowhere is not a file"),
        (&["--name", "prestop:1", "--dockerfile", &based], "is not FROM scratch"),
        (&["--name", "prestop:1", "--dockerfile", &running], "RUN: not known"),
        (&["--name", "prestop:1", "--dockerfile", &unknown], "no ARG NOBODY"),
    ] {
        let output = oci_archive(&[arguments, &["--out", &out]].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && error.starts_with("error: ") && error.contains(told),
            "{told}: {error}"
        );
        assert!(!Path::new(&out).exists());
    }
}

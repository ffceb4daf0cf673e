//! Clusters of kubeconfigs, as kubectl reads them:
//! <https://kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig/>.
//!
//! kube reads the files and speaks to the cluster. The choice between them is made here, because kube
//! does not accept missing files in `KUBECONFIG`, compares `NO_PROXY` with the proxy instead of the
//! cluster, and does not name contexts in errors.

mod proxy;

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Uri;
use kube::client::AuthError;
use kube::config::{AuthInfo, Cluster, Config, Context, ExecAuthCluster, Kubeconfig};
use kube::{Client, Error};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use thiserror::Error as ThisError;

use super::{Choice, Target, failure};

/// The variables that name the home folder on Windows, in kubectl's order, some of them joined. The first is
/// the one of other systems.
const HOMES: [&[&str]; 3] = [&["HOME"], &["HOMEDRIVE", "HOMEPATH"], &["USERPROFILE"]];

/// The maximum number of contexts in a message.
const MOST_NAMES: usize = 12;

/// Reason why a client could not be created from a kubeconfig.
#[derive(Debug, ThisError)]
pub enum KubeconfigError {
    /// A file can't be read.
    #[error("kubeconfig {}: {error}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The error.
        error: io::Error,
    },
    /// The content of a file is invalid.
    #[error("kubeconfig {}: {}", .file.display(), failure::innermost(.error))]
    Parse {
        /// The file.
        file: PathBuf,
        /// The error.
        error: Box<kube::config::KubeconfigError>,
    },
    /// No context was given, and the file has no current context.
    #[error("the kubeconfig has no current context; {0}")]
    NoCurrentContext(Contexts),
    /// There is no context with this name.
    #[error("the kubeconfig has no context {0:?}; {1}")]
    NoSuchContext(String, Contexts),
    /// A context is not complete.
    #[error("context {context}: {why}; see `kubectl config view`")]
    Incomplete {
        /// Name of the context.
        context: String,
        /// The missing or invalid part.
        why: String,
    },
    /// The program that provides the credentials failed.
    #[error("context {context}: the program {program}, which gets the credentials, {why}")]
    Credentials {
        /// Name of the context.
        context: String,
        /// The command of the program.
        program: String,
        /// The error and the fix.
        why: String,
    },
    /// `HTTPS_PROXY`, or `proxy-url` of the cluster, is invalid.
    #[error("{0}")]
    Proxy(String),
    /// Any other error.
    #[error("context {context}: {why}")]
    Client {
        /// Name of the context.
        context: String,
        /// The error.
        why: String,
    },
}

/// The names of contexts, formatted as a sentence that explains how to choose one.
#[derive(Debug, PartialEq, Eq)]
pub struct Contexts(Vec<String>);

impl fmt::Display for Contexts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(names) = self;
        if names.is_empty() {
            return f.write_str("it has no context at all; set KUBECONFIG to another file");
        }
        let shown: Vec<_> = names.iter().take(MOST_NAMES).map(String::as_str).collect();
        let more = if names.len() > MOST_NAMES { ", ..." } else { "" };
        write!(
            f,
            "choose one with `kubectl config use-context NAME` or --context NAME: {}{more}",
            shown.join(", ")
        )
    }
}

/// Returns the paths of the kubeconfigs: the given one, or those in `KUBECONFIG`, or the one in the
/// home folder.
#[must_use]
pub(super) fn files(
    said: Option<&Path>,
    environment: impl Fn(&str) -> Option<OsString>,
) -> Vec<PathBuf> {
    if let Some(said) = said {
        return vec![said.to_owned()];
    }
    let listed = environment("KUBECONFIG").unwrap_or_default();
    let listed: Vec<_> =
        std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    if listed.is_empty() {
        let homes = if cfg!(windows) { &HOMES[..] } else { &HOMES[..1] };
        return in_home(homes, environment).into_iter().collect();
    }
    listed
}

/// Returns the kubeconfig in the first home folder that has one; if none has, the path in the first.
fn in_home(homes: &[&[&str]], environment: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let files = homes.iter().filter_map(|names| {
        let home: OsString = names.iter().map(|name| environment(name)).collect::<Option<_>>()?;
        Some(PathBuf::from(home).join(".kube").join("config"))
    });
    let mut files: Vec<_> = files.collect();
    let found = files.iter().position(|file| file.exists()).unwrap_or_default();
    (!files.is_empty()).then(|| files.swap_remove(found))
}

/// Reads and merges the files; `None` if none of them exists.
///
/// # Errors
/// When an existing file can't be used.
pub(super) fn read(files: &[PathBuf]) -> Result<Option<Kubeconfig>, KubeconfigError> {
    let mut merged: Option<Kubeconfig> = None;
    for file in files {
        match fs::metadata(file) {
            // Missing files are skipped, as kubectl does.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(KubeconfigError::Read { file: file.clone(), error }),
            Ok(_) => {}
        }
        let wrong = |error| match error {
            kube::config::KubeconfigError::ReadConfig(error, file) => {
                KubeconfigError::Read { file, error }
            }
            error => KubeconfigError::Parse { file: file.clone(), error: Box::new(error) },
        };
        let next = Kubeconfig::read_from(file).map_err(wrong)?;
        merged = Some(match merged {
            None => next,
            Some(merged) => merged.merge(next).map_err(wrong)?,
        });
    }
    Ok(merged)
}

/// Returns the cluster of the chosen context, or of the current one.
///
/// # Errors
/// When the context is missing or incomplete, or no client can be created for it.
pub(super) fn target(kubeconfig: &Kubeconfig, choice: &Choice) -> Result<Target, KubeconfigError> {
    let (name, context) = context(kubeconfig, choice)?;
    let incomplete = |why: String| KubeconfigError::Incomplete { context: name.to_owned(), why };
    let cluster = kubeconfig.clusters.iter().find(|it| it.name == context.cluster);
    let cluster = cluster.and_then(|it| it.cluster.as_ref());
    let cluster =
        cluster.ok_or_else(|| incomplete(format!("there is no cluster {:?}", context.cluster)))?;
    let user = context.user.as_deref().unwrap_or_default();
    // kubectl continues without a user too.
    let user = kubeconfig.auth_infos.iter().find(|it| it.name == user);
    let mut user = user.and_then(|it| it.auth_info.clone()).unwrap_or_default();
    if choice.impersonate.is_some() {
        user.impersonate.clone_from(&choice.impersonate);
        user.impersonate_groups = Some(choice.impersonate_groups.clone());
    }
    let config = config(cluster, user, &incomplete)?;
    let address = config.cluster_url.to_string();
    let via = match &config.proxy_url {
        Some(proxy) => format!(", by way of the proxy {}", proxy::printable(proxy)),
        None => String::new(),
    };
    let program = config.auth_info.exec.clone();
    // kube's clients use the default provider of the process.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::try_from(config).map_err(|error| match (error, program) {
        (Error::Auth(error), Some(program)) => KubeconfigError::Credentials {
            context: name.to_owned(),
            program: program.command.unwrap_or_default(),
            why: credentials(&error, program.install_hint.as_deref()),
        },
        (error, _) => {
            KubeconfigError::Client { context: name.to_owned(), why: failure::reason(&error) }
        }
    })?;
    Ok(Target {
        client,
        name: format!("{} (context {name}{via})", address.trim_end_matches('/')),
        namespace: context.namespace.clone().filter(|namespace| !namespace.is_empty()),
    })
}

fn context<'a>(
    kubeconfig: &'a Kubeconfig,
    choice: &'a Choice,
) -> Result<(&'a str, &'a Context), KubeconfigError> {
    let contexts = || Contexts(kubeconfig.contexts.iter().map(|it| it.name.clone()).collect());
    let current = choice.context.as_deref().or(kubeconfig.current_context.as_deref());
    let Some(name) = current.filter(|name| !name.is_empty()) else {
        return Err(KubeconfigError::NoCurrentContext(contexts()));
    };
    let found = kubeconfig.contexts.iter().find(|it| it.name == name);
    match found.and_then(|it| it.context.as_ref()) {
        Some(context) => Ok((name, context)),
        None => Err(KubeconfigError::NoSuchContext(name.to_owned(), contexts())),
    }
}

fn config(
    cluster: &Cluster,
    mut user: AuthInfo,
    incomplete: &impl Fn(String) -> KubeconfigError,
) -> Result<Config, KubeconfigError> {
    let server = cluster.server.as_deref().filter(|server| !server.is_empty());
    let server = server.ok_or_else(|| incomplete("its cluster has no server".to_owned()))?;
    let no_address =
        || incomplete(format!("server {server:?} is no address such as https://HOST:6443"));
    let address: Uri = server.parse().map_err(|_| no_address())?;
    if address.host().is_none() || !matches!(address.scheme_str(), Some("http" | "https")) {
        return Err(no_address());
    }
    if let Some(exec) = user.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        let known = ExecAuthCluster::try_from(cluster);
        exec.cluster = Some(known.map_err(|error| incomplete(failure::innermost(&error)))?);
    }
    let mut config = Config::new(address);
    config.root_cert = authority(cluster).map_err(incomplete)?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name.clone_from(&cluster.tls_server_name);
    config.auth_info = user;
    config.proxy_url = proxy::of(cluster.proxy_url.as_deref(), &config.cluster_url, |name| {
        std::env::var(name).ok()
    })
    .map_err(KubeconfigError::Proxy)?;
    Ok(config)
}

/// Returns the CA certificates of the cluster; `None` means those of the system.
fn authority(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, String> {
    let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let pem = if let Some(data) = text(&cluster.certificate_authority_data) {
        STANDARD
            .decode(data.trim())
            .map_err(|error| format!("certificate-authority-data: {error}"))?
    } else if let Some(file) = text(&cluster.certificate_authority) {
        fs::read(&file).map_err(|error| format!("certificate-authority {file}: {error}"))?
    } else {
        return Ok(None);
    };
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let certificates = certificates.map_err(|error| format!("certificate-authority: {error}"))?;
    if certificates.is_empty() {
        return Err("certificate-authority: no certificate in it".to_owned());
    }
    Ok(Some(certificates.iter().map(|it| it.to_vec()).collect()))
}

fn credentials(error: &AuthError, hint: Option<&str>) -> String {
    match error {
        AuthError::AuthExecStart(error) => {
            let what_to_do = hint.map_or("install it, or put its folder into PATH", str::trim);
            format!("can't be started: {error}; {what_to_do}")
        }
        AuthError::AuthExecRun { out, .. } => {
            let said = String::from_utf8_lossy(&out.stderr);
            let said = said.trim();
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            format!("failed ({}){said}; log in to the cluster again", out.status)
        }
        error => format!("failed: {}", failure::innermost(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(text: &str) -> Kubeconfig {
        Kubeconfig::from_yaml(text).unwrap()
    }

    fn refused(text: &str, context: Option<&str>) -> String {
        let choice = Choice { context: context.map(str::to_owned), ..Choice::default() };
        match target(&kubeconfig(text), &choice) {
            Ok(target) => panic!("{}", target.name),
            Err(error) => error.to_string(),
        }
    }

    const TWO: &str = "
clusters: [{name: c, cluster: {server: 'https://example.invalid:6443'}}]
contexts:
- {name: a, context: {cluster: c}}
- {name: b, context: {cluster: gone}}
users: []
";

    #[test]
    fn contexts_are_named_where_one_is_missing() {
        let choose = "choose one with `kubectl config use-context NAME` or \
                      --context NAME: a, b";
        assert_eq!(refused(TWO, None), format!("the kubeconfig has no current context; {choose}"));
        let empty = format!("current-context: ''\n{TWO}");
        assert_eq!(
            refused(&empty, None),
            format!("the kubeconfig has no current context; {choose}")
        );
        let said = format!("the kubeconfig has no context \"x\"; {choose}");
        assert_eq!(refused(TWO, Some("x")), said);
        assert_eq!(refused(&format!("current-context: x\n{TWO}"), None), said);
        assert!(refused("contexts: []", None).contains("no context at all; set KUBECONFIG"));
        assert!(refused(TWO, Some("b")).contains("context b: there is no cluster \"gone\""));
    }

    #[test]
    fn missing_parts_of_a_cluster_are_reported() {
        for (cluster, expected) in [
            ("{}", "its cluster has no server"),
            ("{server: 'no address'}", "server \"no address\" is no address"),
            ("{server: 'example.invalid:6443'}", "is no address such as https://HOST:6443"),
            ("{server: 'https://x', certificate-authority: /nonexistent}", "/nonexistent: No such"),
            (
                "{server: 'https://x', certificate-authority-data: '*'}",
                "certificate-authority-data: ",
            ),
            ("{server: 'https://x', certificate-authority-data: 'YQ=='}", "no certificate in it"),
        ] {
            let text = format!(
                "current-context: a\nclusters: [{{name: c, cluster: {cluster}}}]\n\
                 contexts: [{{name: a, context: {{cluster: c}}}}]"
            );
            let said = refused(&text, None);
            assert!(said.starts_with("context a: ") && said.contains(expected), "{said}");
        }
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_named_with_its_hint() {
        let with = |exec: &str| {
            refused(&format!("{TWO}\n").replace("users: []", &format!(
                "users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, {exec}}}}}}}]"
            )).replace("{cluster: c}", "{cluster: c, user: u}"), Some("a"))
        };
        let said = with("command: get-a-token, interactiveMode: Never");
        assert!(
            said.contains("the program get-a-token, which gets the credentials, can't be started"),
            "{said}"
        );
        assert!(said.contains("install it, or put its folder into PATH"), "{said}");
        let said = with("command: get-a-token, installHint: 'see example.com'");
        assert!(said.ends_with("; see example.com"), "{said}");
        let said =
            with("command: sh, args: ['-c', 'echo expired >&2; exit 3'], interactiveMode: Never");
        assert!(
            said.contains("failed (exit status: 3): expired; log in to the cluster again"),
            "{said}"
        );
    }

    #[test]
    fn files_are_those_of_the_argument_the_environment_or_home() {
        let environment = |name: &str| match name {
            "KUBECONFIG" => Some(OsString::from("/a::/b")),
            _ => Some(OsString::from("/home/me")),
        };
        let paths = |texts: &[&str]| texts.iter().map(PathBuf::from).collect::<Vec<_>>();
        assert_eq!(files(Some(Path::new("x")), environment), paths(&["x"]));
        assert_eq!(files(None, environment), paths(&["/a", "/b"]));
        let home = |name: &str| (name == "HOME").then(|| OsString::from("/home/me"));
        assert_eq!(files(None, home), paths(&["/home/me/.kube/config"]));
        assert_eq!(files(None, |_| None), paths(&[]));
    }

    #[test]
    fn the_home_of_windows_is_the_first_with_a_kubeconfig() {
        let folder = tempfile::tempdir().unwrap();
        let [cloud, drive, profile] =
            ["cloud", "drive", "profile"].map(|it| folder.path().join(it));
        let config = |home: &Path| home.join(".kube").join("config");
        let environment = |name: &str| match name {
            "HOME" => Some(cloud.clone().into_os_string()),
            "HOMEDRIVE" => Some(folder.path().as_os_str().to_owned()),
            "HOMEPATH" => Some(OsString::from("/drive")),
            _ => Some(profile.clone().into_os_string()),
        };
        assert_eq!(in_home(&HOMES, environment), Some(config(&cloud)));
        for home in [&profile, &drive, &cloud] {
            fs::create_dir_all(home.join(".kube")).unwrap();
            fs::write(config(home), "").unwrap();
            assert_eq!(in_home(&HOMES, environment), Some(config(home)));
        }
        // As where nobody set HOME, and a service has no drive.
        let service = |name: &str| environment(name).filter(|_| name == "USERPROFILE");
        assert_eq!(in_home(&HOMES, service), Some(config(&profile)));
    }

    #[test]
    fn files_that_are_not_there_are_passed_over_and_others_are_merged() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("one"), "current-context: a\n").unwrap();
        fs::write(path("two"), TWO).unwrap();
        let merged = read(&[path("none"), path("one"), path("two")]).unwrap().unwrap();
        assert_eq!((merged.current_context.as_deref(), merged.contexts.len()), (Some("a"), 2));
        assert!(read(&[path("none")]).unwrap().is_none());
        fs::write(path("broken"), "a: [").unwrap();
        let said = read(&[path("broken")]).unwrap_err().to_string();
        assert!(said.contains("broken: ") && !said.contains('"'), "{said}");
    }
}

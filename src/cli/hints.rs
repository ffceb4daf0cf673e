//! What people type who know other tools, and how it is said here. Each hint stands for a word that is
//! none of ours; clap tells that it is wrong, the hint tells what is right.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Error, builder::StyledStr};

/// A command, words that are none of its own, and what to do instead.
type Hint = (&'static str, &'static [&'static str], &'static str);

const HINTS: &[Hint] = &[
    (
        "inject",
        &["--dry-run", "--diff", "--plan", "--preview"],
        "inject changes no file without --in-place; -o diff shows what it would change",
    ),
    ("inject", &["--json", "--yaml", "--report", "--format", "--text"], FORM),
    (
        "inject",
        &["--delay", "--profile", "--quit", "--quit-command", "--quit-signal", "--quit-timeout"],
        "this is an annotation of the pod template, such as prestop.dev/delay: 15s, or a default of the \
         configuration file that --config names",
    ),
    (
        "inject",
        &["--grace-period", "--termination-grace-period", "--set", "--values"],
        "settings are annotations of the pod template or in the configuration file that --config names",
    ),
    (
        "inject",
        &["-l", "--selector", "--field-selector", "--exclude", "--include", "--skip"],
        "inject takes every workload of its input; name the files that you want, or label a pod template \
         prestop.dev/inject: disabled to leave it out",
    ),
    (
        "inject",
        &["-R", "--recursive", "-r"],
        "folders are searched with all folders in them; leave it out",
    ),
    (
        "inject",
        &["-k", "--kustomize"],
        "render it first: kustomize build FOLDER | prestop inject - | kubectl apply -f -",
    ),
    (
        "inject",
        &["--cluster", "-A", "--all-namespaces", "--server", "--token"],
        "inject reads manifests: kubectl get deployments -o yaml | prestop inject -o diff -; for fronts that are \
         not in them: --fronts-from-cluster",
    ),
    (
        "inject",
        &["-w", "--write", "--overwrite", "--inplace", "--fix"],
        "--in-place writes the files anew",
    ),
    (
        "inject",
        &["--kube-version", "--k8s-version", "--server-version"],
        "it is --kubernetes-version",
    ),
    (
        "inject",
        &["--output-dir", "--out", "--output-file"],
        "write it with the shell: prestop inject FILE >FILE2",
    ),
    ("inject", &["-v", "--verbose", "--explain"], "-o report says what is done and why"),
    (
        "check",
        &["-A", "--all-namespaces"],
        "check looks at every namespace that the webhook takes and tries a pod in the first; leave it \
         out, or choose with --namespace NAME where the pod is tried",
    ),
    (
        "check",
        &["-w", "--watch", "--timeout", "--retry"],
        "it is --wait DURATION, such as --wait 2m",
    ),
    ("check", &["--preflight", "--precheck", "--pre-install"], "it is --pre"),
    (
        "check",
        &["-f", "--file", "--filename", "-R"],
        "check looks at a cluster; for manifests: prestop inject --check FILE",
    ),
    (
        "check",
        &["-l", "--selector", "--name", "--release", "--service"],
        "check finds prestop by its webhook's entry pods.prestop.dev; choose among several with --webhook NAME",
    ),
    (
        "check",
        &["-v", "--verbose", "-q", "--quiet"],
        "each check is one line; -o json has all for machines",
    ),
    ("check", &["--fix"], "check changes nothing; it says what to do"),
    (
        "certificates",
        &["-A", "--all-namespaces"],
        "the Secret is in one namespace: --namespace NAME",
    ),
    (
        "certificates",
        &["--kubeconfig", "--context", "--as", "--as-group", "-n", "--namespace"],
        "options come after the command: prestop certificates status --context NAME",
    ),
    (
        "serve",
        &[
            "-p",
            "--port",
            "--host",
            "--bind",
            "--address",
            "--addr",
            "--bind-address",
            "--secure-port",
            "--webhook-port",
        ],
        "it is --listen ADDRESS:PORT, such as --listen 0.0.0.0:10250",
    ),
    (
        "serve",
        &[
            "--metrics-addr",
            "--metrics-address",
            "--metrics-bind-address",
            "--metrics-port",
            "--health-probe-bind-address",
            "--health-port",
            "--admin-port",
        ],
        "probes and metrics are at --admin-listen ADDRESS:PORT, such as --admin-listen 0.0.0.0:10251",
    ),
    (
        "serve",
        &["--tls-cert-file", "--cert", "--cert-file", "--certificate", "--cert-dir"],
        "it is --tls-cert FILE, with --tls-key FILE",
    ),
    (
        "serve",
        &["--tls-private-key-file", "--tls-key-file", "--key", "--key-file", "--private-key"],
        "it is --tls-key FILE, with --tls-cert FILE",
    ),
    (
        "serve",
        &["--kubeconfig", "--context", "--as"],
        "serve --cluster takes the kubeconfig of KUBECONFIG with its current context, or the pod's service account",
    ),
    ("serve", &["-f", "--file"], "the configuration file is --config FILE"),
    (
        "serve",
        &["-v", "--verbose", "--verbosity", "--log-level", "--log-format", "--debug"],
        "the log is set in the configuration file that --config names (docs/configuration.md)",
    ),
    (
        "serve",
        &["--delay", "--profile", "--set"],
        "defaults are in the configuration file that --config names, and in annotations of pods and namespaces",
    ),
    (
        "rehearse",
        &["--image"],
        "rehearse runs a program of this machine and no image: prestop rehearse -f FILE -- COMMAND",
    ),
    (
        "rehearse",
        &["-k", "--kustomize"],
        "render it first: kustomize build FOLDER | prestop rehearse -f - -- COMMAND",
    ),
    ("rehearse", &["--json", "--format", "--text"], FORM),
    (
        "rehearse",
        &["--delay", "--profile", "--grace-period"],
        "this is an annotation of the pod template, such as prestop.dev/delay: 15s, or a default of the \
         configuration file that --config names",
    ),
    (
        "rehearse",
        &["--kubeconfig", "--context", "-A"],
        "rehearse plays on this machine and asks no cluster; leave it out",
    ),
    ("rehearse", &["--dry-run", "--diff"], "prestop inject -o diff FILE shows what would change"),
    ("catalogue", &["--json", "--format", "--text", "--yaml"], FORM),
    (
        "catalogue",
        &["-f", "--file", "--filename"],
        "name images: prestop catalogue nginx:1.27; for manifests: prestop inject -o report FILE",
    ),
    (
        "catalogue",
        &["--image", "-i", "--profile", "--search"],
        "images are arguments: prestop catalogue nginx:1.27",
    ),
    ("audit", &["--json", "--format", "--text", "--sarif"], FORM),
    (
        "audit",
        &["--severity", "--fail-level", "--exit-code"],
        "it is --fail-on error|warning|info|never",
    ),
    (
        "audit",
        &["--fix", "--write"],
        "audit changes nothing; prestop inject --in-place FILE writes hooks",
    ),
    ("fronts", &["--json", "--format", "--text", "--yaml"], FORM),
    (
        "config",
        &["-f", "--file", "--filename", "-c", "--config"],
        "files are arguments: prestop config check FILE",
    ),
    (
        "version",
        &["--client", "--short"],
        "version prints this program's version unless --cluster is given; leave it out",
    ),
    ("version", &["--json", "--yaml", "--format"], FORM),
    (
        "function",
        &["-c", "--config", "--fn-config"],
        "the configuration is the functionConfig of the input (docs/tools.md)",
    ),
    (
        "function",
        &["-f", "--file", "--filename"],
        "function reads a ResourceList from standard input; for manifests: prestop inject FILE",
    ),
    ("explain", &["--code", "--reason"], "codes are arguments: prestop explain own-hook"),
    ("", &["-v", "-version"], "the version is -V, --version or prestop version"),
    (
        "",
        &["--kubeconfig", "--context", "--as", "--as-group", "-n", "--namespace"],
        "options come after the command: prestop check --context NAME",
    ),
];

/// The same for words in the place of a command.
const COMMANDS: &[Hint] = &[
    (
        "",
        &["install", "upgrade", "uninstall", "delete", "deploy"],
        "the chart installs and removes prestop: helm install prestop charts/prestop (docs/install.md)",
    ),
    (
        "",
        &["status", "doctor", "health", "verify", "test"],
        "prestop check looks at an installation",
    ),
    (
        "",
        &["lint", "validate", "scan", "plan", "diff", "dry-run"],
        "prestop inject --check FILE finds workloads without a hook; prestop inject -o diff FILE shows it",
    ),
    (
        "",
        &["apply", "patch", "add", "mutate", "annotate"],
        "prestop inject FILE | kubectl apply -f -",
    ),
    (
        "",
        &["remove", "disable", "skip", "revert", "eject"],
        "prestop uninject takes hooks out of manifests; the label prestop.dev/inject: disabled on the pod template keeps \
         them out (docs/rules.md)",
    ),
    ("", &["run", "server", "start", "webhook", "daemon"], "prestop serve is the webhook"),
    (
        "",
        &["profiles", "profile", "images", "list", "apps"],
        "prestop catalogue lists what is known of images",
    ),
    (
        "",
        &["simulate", "rollout", "drain", "bench", "load"],
        "prestop rehearse plays a rollout with a real server",
    ),
    ("", &["reasons", "codes", "reason", "why"], "prestop explain lists the codes"),
    (
        "certificates",
        &["renew", "rotate", "issue", "ca"],
        "certificates are renewed without a command; prestop certificates status shows when",
    ),
    (
        "certificates",
        &["show", "get", "list", "view", "info", "inspect", "check"],
        "prestop certificates status shows them",
    ),
    ("config", &["validate", "lint", "test", "verify"], "prestop config check FILE"),
    (
        "config",
        &["show", "get", "view", "print", "dump", "defaults", "init"],
        "prestop config schema prints every field; examples/prestop.yaml is an example",
    ),
    ("", &["logs", "log"], "kubectl logs -n NAMESPACE deployment/prestop"),
];

const FORM: &str = "it is -o: --help lists the forms";

/// The error with a tip that fits, where there is one. `arguments` are those of the process, without its
/// name.
pub(super) fn with_hint(mut error: Error, arguments: &[String]) -> Error {
    let hint = match error.kind() {
        ErrorKind::UnknownArgument => unknown_argument(&mut error, arguments),
        ErrorKind::InvalidSubcommand => {
            let word = text(&error, ContextKind::InvalidSubcommand);
            let above = command(arguments);
            let above = if above == word { "" } else { above };
            find(COMMANDS, above, &word).map(str::to_owned)
        }
        ErrorKind::MissingRequiredArgument if command(arguments) == "rehearse" => Some(
            "the server's command comes last, after --: prestop rehearse -f FILE -- COMMAND"
                .to_owned(),
        ),
        ErrorKind::MissingRequiredArgument if command(arguments) == "completions" => {
            Some("name your shell, such as prestop completions bash".to_owned())
        }
        ErrorKind::MissingRequiredArgument if command(arguments) == "inject" => {
            Some("name files or folders, or - for standard input".to_owned())
        }
        _ => None,
    };
    if let Some(hint) = hint {
        for kind in [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand] {
            error.remove(kind);
        }
        let hint = ContextValue::StyledStrs(vec![StyledStr::from(hint)]);
        error.insert(ContextKind::Suggested, hint);
    }
    error
}

fn unknown_argument(error: &mut Error, arguments: &[String]) -> Option<String> {
    let said = text(error, ContextKind::InvalidArg);
    let word = said.split('=').next().unwrap_or_default();
    let command = command(arguments);
    if let Some(hint) = find(HINTS, command, word) {
        return Some(hint.to_owned());
    }
    // A file of that name is hardly ever meant.
    if word.starts_with('-') {
        error.remove(ContextKind::Suggested);
        return None;
    }
    match command {
        "function" => Some(format!(
            "function reads a ResourceList from standard input; for manifests: prestop inject {said}"
        )),
        "check" => Some(format!(
            "check looks at a cluster and takes no files; for manifests: prestop inject --check {said}"
        )),
        "rehearse" => Some(format!(
            "the manifest is -f FILE, and the server's command comes after --: prestop rehearse -f \
             {} -- COMMAND",
            if said.contains('.') { said.as_str() } else { "FILE" }
        )),
        _ => None,
    }
}

fn find(hints: &[Hint], command: &str, word: &str) -> Option<&'static str> {
    let hint = hints.iter().find(|(of, words, _)| *of == command && words.contains(&word));
    hint.map(|(_, _, hint)| *hint)
}

/// The first word, unless it is an option.
fn command(arguments: &[String]) -> &str {
    let first = arguments.first().filter(|first| !first.starts_with('-'));
    first.map_or("", String::as_str)
}

fn text(error: &Error, kind: ContextKind) -> String {
    match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    /// A hint for a word that became ours would never be seen.
    #[test]
    fn no_hint_is_for_a_word_that_is_ours() {
        let cli = Cli::command();
        for (name, words, _) in HINTS {
            let command = cli.find_subcommand(name).unwrap_or(&cli);
            for argument in command.get_arguments() {
                let long = argument.get_long().map(|long| format!("--{long}"));
                let short = argument.get_short().map(|short| format!("-{short}"));
                for own in long.into_iter().chain(short) {
                    assert!(!words.contains(&own.as_str()), "{name} {own}");
                }
            }
        }
        for (name, words, _) in COMMANDS {
            let command = cli.find_subcommand(name).unwrap_or(&cli);
            assert!(words.iter().all(|word| command.find_subcommand(word).is_none()), "{words:?}");
        }
    }

    #[test]
    fn a_word_has_one_hint() {
        for table in [HINTS, COMMANDS] {
            let mut seen = HashSet::new();
            for (command, words, _) in table {
                assert!(
                    words.iter().all(|word| seen.insert((command, word))),
                    "{command} {words:?}"
                );
            }
        }
    }
}

//! The tables of hints.

/// Commands (`""` is the program without a command), wrong words after them, and the advice.
pub(super) type Hint = (&'static [&'static str], &'static [&'static str], &'static str);

const MANIFESTS: &[&str] = &["inject", "uninject"];

const FORM: &str = "choose the form with -o; --help lists the forms";
const VERSION: &str = "use --kubernetes-version VERSION, such as --kubernetes-version 1.33";
const SETTING: &str = "set it with an annotation of the pod template, such as prestop.dev/delay: 15s, or as \
                       a default in the configuration file (--config FILE)";
const NO_CHANGE: &str = "leave it out: this command changes nothing";
const FOLDERS: &str = "leave it out: folders are always searched recursively";
const SHELL: &str = "redirect standard output: prestop ... >FILE";

pub(super) const HINTS: &[Hint] = &[
    (
        &["inject"],
        &["--dry-run", "--diff", "--plan", "--preview"],
        "inject changes no file without --in-place; -o diff shows what it would change",
    ),
    (
        &["uninject"],
        &["--dry-run", "--diff", "--plan", "--preview"],
        "uninject changes no file without --in-place; -o diff shows what it would change",
    ),
    (
        &["inject"],
        &["--delay", "--profile", "--quit", "--quit-command", "--quit-signal", "--quit-timeout"],
        SETTING,
    ),
    (
        &["inject"],
        &["--grace-period", "--termination-grace-period", "--set", "--values"],
        "settings are annotations of the pod template, or defaults in the configuration file (--config FILE)",
    ),
    (
        MANIFESTS,
        &["-l", "--selector", "--field-selector", "--exclude", "--include", "--skip"],
        "every workload of the input is processed: name only the files you want. To exclude a workload from \
         injection, label its pod template prestop.dev/inject: disabled",
    ),
    (&["inject", "uninject", "audit", "fronts"], &["-R", "--recursive", "-r"], FOLDERS),
    (
        &["inject"],
        &["-k", "--kustomize"],
        "render it first: kustomize build FOLDER | prestop inject - | kubectl apply -f -",
    ),
    (
        &["uninject"],
        &["-k", "--kustomize"],
        "render it first: kustomize build FOLDER | prestop uninject -",
    ),
    (
        &["audit"],
        &["-k", "--kustomize"],
        "render it first: kustomize build FOLDER | prestop audit -",
    ),
    (
        &["fronts"],
        &["-k", "--kustomize"],
        "render it first: kustomize build FOLDER | prestop fronts -",
    ),
    (
        &["inject"],
        &["--cluster", "-A", "--all-namespaces", "--server", "--token"],
        "inject reads manifests: kubectl get deployments -o yaml | prestop inject -o diff -. To read Services \
         and other fronts from the cluster, use --fronts-from-cluster",
    ),
    (
        &["uninject"],
        &[
            "--cluster",
            "-A",
            "--all-namespaces",
            "--server",
            "--token",
            "--kubeconfig",
            "--context",
        ],
        "uninject reads manifests: kubectl get deployments -o yaml | prestop uninject -o diff -",
    ),
    (
        MANIFESTS,
        &["-w", "--write", "--overwrite", "--inplace", "--fix"],
        "use --in-place to write the files",
    ),
    (
        &["inject", "audit", "function", "rehearse", "serve"],
        &["--kube-version", "--k8s-version", "--server-version"],
        VERSION,
    ),
    (
        &["inject", "uninject", "audit", "fronts", "catalogue", "policy"],
        &["--output-dir", "--out", "--output-file"],
        SHELL,
    ),
    (
        &["inject"],
        &["-v", "--verbose", "--explain"],
        "use -o report: it shows what is done and why",
    ),
    (
        &["uninject"],
        &["-v", "--verbose", "--explain"],
        "use -o report: it shows what is removed and why",
    ),
    (
        &["inject", "uninject", "audit", "fronts", "catalogue", "rehearse", "version", "watch"],
        &["--json", "--yaml", "--format", "--text", "--report", "--sarif", "--junit"],
        FORM,
    ),
    (
        &["check"],
        &["-A", "--all-namespaces"],
        "leave it out: check covers every namespace that the webhook selects, and creates its test pod (a dry \
         run) in the first one; --namespace NAME chooses another",
    ),
    (
        &["check"],
        &["-w", "--watch", "--timeout", "--retry"],
        "use --wait DURATION, such as --wait 2m",
    ),
    (&["check"], &["--preflight", "--precheck", "--pre-install"], "use --pre"),
    (
        &["check"],
        &["-f", "--file", "--filename", "-R"],
        "check examines a cluster; for manifests: prestop inject --check FILE",
    ),
    (
        &["check"],
        &["-l", "--selector", "--name", "--release", "--service"],
        "check finds prestop by the webhook entry pods.prestop.dev; if there are several, choose one with \
         --webhook NAME",
    ),
    (
        &["check"],
        &["-v", "--verbose", "-q", "--quiet"],
        "each check prints one line; -o json prints everything in machine-readable form",
    ),
    (&["check"], &["--fix"], "check changes nothing; it prints how to fix each problem"),
    (
        &["certificates"],
        &["-A", "--all-namespaces"],
        "the Secret is in one namespace: --namespace NAME",
    ),
    (
        &["certificates"],
        &["--kubeconfig", "--context", "--as", "--as-group", "-n", "--namespace"],
        "put options after the subcommand: prestop certificates status --context NAME",
    ),
    (
        &["serve"],
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
        "use --listen ADDRESS:PORT, such as --listen 0.0.0.0:10250",
    ),
    (
        &["serve"],
        &[
            "--metrics-addr",
            "--metrics-address",
            "--metrics-bind-address",
            "--metrics-port",
            "--health-probe-bind-address",
            "--health-port",
            "--admin-port",
        ],
        "probes and metrics are served at --admin-listen ADDRESS:PORT, such as --admin-listen 0.0.0.0:10251",
    ),
    (
        &["serve"],
        &["--tls-cert-file", "--cert", "--cert-file", "--certificate", "--cert-dir"],
        "use --tls-cert FILE, together with --tls-key FILE",
    ),
    (
        &["serve"],
        &["--tls-private-key-file", "--tls-key-file", "--key", "--key-file", "--private-key"],
        "use --tls-key FILE, together with --tls-cert FILE",
    ),
    (
        &["serve"],
        &["--kubeconfig", "--context", "--as"],
        "serve --cluster uses the current context of the kubeconfig that KUBECONFIG names, or the service \
         account of its pod",
    ),
    (&["serve"], &["-f", "--file"], "the configuration file is --config FILE"),
    (
        &["serve"],
        &["-v", "--verbose", "--verbosity", "--log-level", "--log-format", "--debug"],
        "configure logging in the configuration file that --config names (docs/configuration.md)",
    ),
    (
        &["serve"],
        &["--delay", "--profile", "--set"],
        "set defaults in the configuration file that --config names, or with annotations of pods and namespaces",
    ),
    (
        &["rehearse"],
        &["--image"],
        "rehearse runs a program of this machine, not an image: prestop rehearse -f FILE -- COMMAND",
    ),
    (
        &["rehearse"],
        &["-k", "--kustomize"],
        "render it first: kustomize build FOLDER | prestop rehearse -f - -- COMMAND",
    ),
    (&["rehearse", "audit"], &["--delay", "--profile", "--grace-period"], SETTING),
    (
        &["rehearse"],
        &["--kubeconfig", "--context", "-A"],
        "leave it out: rehearse runs on this machine and uses no cluster",
    ),
    (
        &["rehearse"],
        &["--dry-run", "--diff"],
        "prestop inject -o diff FILE shows what would change",
    ),
    (
        &["catalogue"],
        &["-f", "--file", "--filename"],
        "name images: prestop catalogue nginx:1.27; for manifests: prestop inject -o report FILE",
    ),
    (
        &["catalogue"],
        &["--image", "-i", "--profile", "--search"],
        "images are arguments: prestop catalogue nginx:1.27",
    ),
    (
        &["audit"],
        &["--severity", "--fail-level", "--exit-code"],
        "use --fail-on error|warning|info|never",
    ),
    (
        &["audit"],
        &["--fix", "--write"],
        "audit changes nothing; prestop inject --in-place FILE writes hooks",
    ),
    (&["audit", "fronts", "check", "watch", "policy"], &["--dry-run", "--diff"], NO_CHANGE),
    (
        &["audit"],
        &["--rule", "--only", "--ignore", "--exclude", "--skip", "--disable"],
        "to ignore a rule, use the annotation audit.prestop.dev/ignore of the workload, or audit.ignore in the \
         configuration file (docs/audit.md)",
    ),
    (
        &["audit"],
        &["-v", "--verbose"],
        "use --explain RULE: it shows what a rule means and how to fix a finding",
    ),
    (
        &["config"],
        &["-f", "--file", "--filename", "-c", "--config"],
        "files are arguments: prestop config check FILE",
    ),
    (
        &["version"],
        &["--client", "--short"],
        "leave it out: version asks the cluster only with --cluster",
    ),
    (
        &["function"],
        &["-c", "--config", "--fn-config"],
        "the configuration is the functionConfig of the input (docs/tools.md)",
    ),
    (
        &["function"],
        &["-f", "--file", "--filename"],
        "function reads a ResourceList from standard input; for manifests: prestop inject FILE",
    ),
    (&["explain"], &["--code", "--reason"], "codes are arguments: prestop explain own-hook"),
    (
        &["policy"],
        &["-o", "--output", "--json", "--yaml", "--format"],
        "policy prints YAML; for JSON: prestop policy | kubectl create --dry-run=client -o json -f -",
    ),
    (
        &["policy"],
        &["-f", "--file", "--filename"],
        "policy reads no manifests; the configuration file is --config FILE",
    ),
    (
        &["policy"],
        &["-n", "--namespace", "-l", "--selector"],
        "the policy applies to the whole cluster: label the namespaces that should get hooks \
         prestop.dev/inject: enabled",
    ),
    (&["policy"], &["-A"], "use --all-namespaces"),
    (
        &["policy"],
        &["--profile", "-p", "--image"],
        "use --profiles NAME,NAME (prestop catalogue lists them)",
    ),
    (
        &["policy"],
        &["--apply", "--install"],
        "apply the output: prestop policy | kubectl apply -f -",
    ),
    (
        &["policy"],
        &["--kubernetes-version", "--kube-version", "--k8s-version"],
        "leave it out: the policy is the same for every version of Kubernetes from 1.36 on",
    ),
    (
        &["policy"],
        &["--kubeconfig", "--context", "--cluster"],
        "policy uses no cluster; name the cluster when you apply it: prestop policy | kubectl --context NAME apply -f -",
    ),
    (
        &["watch"],
        &["-f", "--file", "--filename"],
        "watch follows the pods of a cluster; for manifests: prestop audit FILE",
    ),
    (
        &["watch"],
        &["-w", "--watch", "--follow"],
        "leave it out: watch follows pods until Ctrl-C, or the end of --for DURATION or --until-rolled KIND/NAME",
    ),
    (
        &["watch"],
        &["--wait", "--duration", "--until", "--time", "--since"],
        "use --for DURATION, such as --for 10m; --until-rolled KIND/NAME ends when a rollout has ended",
    ),
    (
        &["watch"],
        &[
            "--deployment",
            "--statefulset",
            "--daemonset",
            "--workload",
            "--rollout",
            "--name",
            "--pod",
            "-p",
            "--container",
            "-c",
            "--field-selector",
        ],
        "choose pods with --until-rolled KIND/NAME, such as --until-rolled deployment/web, or with \
         --selector LABELS (-l), such as -l app=web",
    ),
    (
        &["watch"],
        &["--rps", "--qps", "--requests", "--concurrency"],
        "use --rate NUMBER (requests per second), together with --url",
    ),
    (
        &["watch"],
        &["--host", "--target", "--service", "--port", "--address", "--path", "--endpoint"],
        "use --url http://HOST[:PORT]/PATH, such as --url http://web.shop/healthz",
    ),
    (
        &["watch"],
        &["--ignore", "--allow", "--exclude", "--skip", "--fail-on"],
        "use --accept VERDICT, such as --accept no-hook, for each verdict that should not count as bad",
    ),
    (
        &["watch"],
        &["--picture", "--image", "--chart", "--output-file", "--out"],
        "--svg FILE writes a picture; the rest is printed to standard output",
    ),
    (
        &["watch"],
        &["-v", "--verbose", "-q", "--quiet"],
        "leave it out: watch prints one line for each container that ends; -o json prints every field",
    ),
    (&[""], &["-v", "-version"], "to print the version, use -V, --version or prestop version"),
    (
        &[""],
        &["--kubeconfig", "--context", "--as", "--as-group", "-n", "--namespace"],
        "put options after the command: prestop check --context NAME",
    ),
];

/// Hints for unknown commands.
pub(super) const COMMANDS: &[Hint] = &[
    (
        &[""],
        &["install", "upgrade", "uninstall", "delete", "deploy"],
        "install and remove prestop with its chart: helm install prestop charts/prestop (docs/install.md)",
    ),
    (
        &[""],
        &["status", "doctor", "health", "verify", "test"],
        "use prestop check: it examines an installation",
    ),
    (
        &[""],
        &["lint", "validate", "scan", "plan", "diff", "dry-run"],
        "prestop inject --check FILE finds workloads without a hook; prestop inject -o diff FILE shows it",
    ),
    (
        &[""],
        &["apply", "patch", "add", "mutate", "annotate"],
        "use prestop inject FILE | kubectl apply -f -",
    ),
    (
        &[""],
        &["remove", "disable", "skip", "revert", "eject"],
        "prestop uninject removes hooks from manifests; to prevent injection, label the pod template \
         prestop.dev/inject: disabled (docs/rules.md)",
    ),
    (
        &[""],
        &["run", "server", "start", "webhook", "daemon"],
        "use prestop serve: it runs the webhook",
    ),
    (
        &[""],
        &["profiles", "profile", "images", "list", "apps"],
        "use prestop catalogue: it lists the known applications and images",
    ),
    (
        &[""],
        &["simulate", "rollout", "drain", "bench", "load"],
        "prestop rehearse simulates a rollout with a real server; prestop watch follows one in a cluster",
    ),
    (
        &[""],
        &["events", "monitor", "follow", "observe", "tail"],
        "use prestop watch: it reports how pods end in a cluster",
    ),
    (&[""], &["reasons", "codes", "reason", "why"], "use prestop explain: it lists the codes"),
    (
        &["certificates"],
        &["renew", "rotate", "issue", "ca"],
        "certificates are renewed automatically; prestop certificates status shows when",
    ),
    (
        &["certificates"],
        &["show", "get", "list", "view", "info", "inspect", "check"],
        "use prestop certificates status",
    ),
    (&["config"], &["validate", "lint", "test", "verify"], "use prestop config check FILE"),
    (
        &["config"],
        &["show", "get", "view", "print", "dump", "defaults", "init"],
        "prestop config schema prints every field; examples/prestop.yaml is an example",
    ),
    (&[""], &["logs", "log"], "use kubectl logs -n NAMESPACE deployment/prestop"),
];

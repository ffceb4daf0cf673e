//! Wrong usages: options and commands of other tools, missing files, unreachable clusters. Each has
//! its exit status, and a message with the fix.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::thread;

use tempfile::TempDir;

use super::{DEPLOYMENT, folder, program, run, stderr, stdout, text};

const USAGE: i32 = 2;
const INPUT: i32 = 3;

/// Runs the program for a user whose home has no kubeconfig.
fn from_home(home: &TempDir, arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(program());
    command.args(arguments).current_dir(home.path()).env("HOME", home.path());
    for name in
        ["KUBECONFIG", "KUBERNETES_SERVICE_HOST", "HTTPS_PROXY", "https_proxy", "HTTP_PROXY"]
    {
        command.env_remove(name);
    }
    command.envs(variables.iter().copied()).output().unwrap()
}

fn refused(
    home: &TempDir,
    arguments: &[&str],
    variables: &[(&str, &str)],
    status: i32,
    part: &str,
) {
    let output = from_home(home, arguments, variables);
    // Terminals break lines; here each message is one text.
    let said = stderr(&output).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
    assert!(said.contains(part), "{arguments:?}: {said}\nexpected: {part}");
    assert!(!said.contains("as a value, use '--"), "{arguments:?}: {said}");
}

/// Arguments, status, and a part of the output.
const WRONG: &[(&str, i32, &str)] = &[
    ("audit", USAGE, "FILE|FOLDER|-"),
    ("audit", USAGE, "name files or folders, - for standard input, or use --cluster"),
    ("audit --delay 15s x.yaml", USAGE, "prestop.dev/delay: 15s"),
    ("audit -R .", USAGE, "folders are always searched recursively"),
    ("audit -k .", USAGE, "kustomize build FOLDER | prestop audit -"),
    ("audit --ignore no-delay x.yaml", USAGE, "audit.prestop.dev/ignore"),
    ("audit --dry-run x.yaml", USAGE, "this command changes nothing"),
    ("audit --junit x.yaml", USAGE, "choose the form with -o"),
    ("audit *.yml", INPUT, "remove the quotes, or name the folder"),
    ("audit https://example.com/x.yaml", INPUT, "URLs are not read"),
    ("audit --severity error x.yaml", USAGE, "--fail-on error|warning|info|never"),
    ("audit --fix x.yaml", USAGE, "prestop inject --in-place FILE"),
    ("audit missing.yaml", INPUT, "missing.yaml: No such file"),
    ("fronts --format json", USAGE, "choose the form with -o; --help lists the forms"),
    ("fronts *.yml", INPUT, "remove the quotes, or name the folder"),
    ("fronts -k .", USAGE, "kustomize build FOLDER | prestop fronts -"),
    ("fronts missing.yaml", INPUT, "missing.yaml: No such file"),
    ("inject", USAGE, "name files or folders, or - for standard input"),
    ("inject --dry-run x.yaml", USAGE, "-o diff shows what it would change"),
    ("inject --dry-run=client x.yaml", USAGE, "-o diff shows what it would change"),
    ("inject --diff x.yaml", USAGE, "-o diff shows"),
    ("inject --delay 15s x.yaml", USAGE, "prestop.dev/delay: 15s"),
    ("inject --delay=15s x.yaml", USAGE, "configuration file (--config FILE)"),
    ("inject --quit-signal QUIT x.yaml", USAGE, "annotation of the pod template"),
    ("inject --selector app=web x.yaml", USAGE, "prestop.dev/inject: disabled"),
    ("inject -l app=web x.yaml", USAGE, "prestop.dev/inject: disabled"),
    ("inject -R .", USAGE, "folders are always searched recursively"),
    ("inject --recursive .", USAGE, "leave it out"),
    ("inject -k .", USAGE, "kustomize build FOLDER | prestop inject -"),
    ("inject --context kind", USAGE, "name files or folders, or - for standard input"),
    ("inject -A", USAGE, "kubectl get deployments -o yaml"),
    ("inject --write x.yaml", USAGE, "--in-place"),
    ("inject --json x.yaml", USAGE, "choose the form with -o"),
    ("inject --kube-version 1.30 x.yaml", USAGE, "--kubernetes-version"),
    ("inject -v x.yaml", USAGE, "use -o report"),
    ("inject --fail-on error x.yaml", USAGE, "--fail-on is an option of prestop audit"),
    ("uninject", USAGE, "name files or folders, or - for standard input"),
    ("uninject --dry-run x.yaml", USAGE, "-o diff shows what it would change"),
    ("uninject -R .", USAGE, "folders are always searched recursively"),
    ("uninject -k .", USAGE, "kustomize build FOLDER | prestop uninject -"),
    ("uninject --config c.yaml x.yaml", USAGE, "--config is an option of prestop inject,"),
    ("uninject *.yml", INPUT, "remove the quotes, or name the folder"),
    ("inject --bogus x.yaml", USAGE, "unexpected argument '--bogus'"),
    ("inject --chek x.yaml", USAGE, "'--check'"),
    ("inject *.yml", INPUT, "remove the quotes, or name the folder"),
    ("inject https://example.com/x.yaml", INPUT, "curl -fsSL https://example.com/x.yaml | prestop"),
    ("inject -f https://example.com/x.yaml", INPUT, "URLs are not read"),
    ("inject --config *.yaml x.yaml", USAGE, "remove the quotes, or name the folder"),
    ("check -A", USAGE, "--namespace NAME chooses another"),
    ("check --timeout 5m", USAGE, "--wait DURATION, such as --wait 2m"),
    ("check --wait soon", USAGE, "a duration such as 30s, 2m or 1h"),
    ("check --preflight", USAGE, "use --pre"),
    ("check --pre --connect", USAGE, "'--pre' cannot be used with '--connect'"),
    ("check --as-group admins", USAGE, "--as <USER>"),
    ("check -f x.yaml", USAGE, "prestop inject --check FILE"),
    ("check x.yaml", USAGE, "prestop inject --check x.yaml"),
    ("check --release shop", USAGE, "--webhook NAME"),
    ("check --contxt kind", USAGE, "'--context'"),
    ("check", INPUT, "/.kube/config; set KUBECONFIG to its path"),
    ("check --context kind", INPUT, "no cluster to connect to: there is no kubeconfig at"),
    ("check --kubeconfig none", INPUT, "there is no kubeconfig at none; set KUBECONFIG"),
    ("audit --cluster x.yaml", USAGE, "x.yaml is a file; leave one of them out"),
    ("audit --cluster -f x.yaml", USAGE, "x.yaml is a file; leave one of them out"),
    ("audit --cluster -A -n shop", USAGE, "-A) and --namespace (-n) contradict each other"),
    (
        "audit -A x.yaml",
        USAGE,
        "-A) has an effect only with --cluster; add --cluster, or leave it out",
    ),
    (
        "audit -l app=web x.yaml",
        USAGE,
        "--selector (-l) has an effect only with --cluster; add --cluster",
    ),
    (
        "audit --context kind x.yaml",
        USAGE,
        "--context has an effect only with --cluster; add --cluster",
    ),
    ("audit --as me x.yaml", USAGE, "--as has an effect only with --cluster; add --cluster"),
    ("audit --cluster", INPUT, "/.kube/config; set KUBECONFIG to its path"),
    ("audit --cluster --kubeconfig none", INPUT, "there is no kubeconfig at none"),
    ("fronts --cluster x.yaml", USAGE, "x.yaml is a file; leave one of them out"),
    ("fronts -A", USAGE, "-A) has an effect only with --cluster; add --cluster"),
    ("fronts --cluster", INPUT, "/.kube/config; set KUBECONFIG to its path"),
    (
        "inject --context kind x.yaml",
        USAGE,
        "--context has an effect only with --fronts-from-cluster",
    ),
    ("inject -A x.yaml", USAGE, "--fronts-from-cluster"),
    ("certificates status", INPUT, "/.kube/config; set KUBECONFIG to its path"),
    ("certificates status -A", USAGE, "--namespace NAME"),
    ("certificates renew", USAGE, "certificates are renewed automatically"),
    ("certificates show", USAGE, "prestop certificates status"),
    ("certificates --context kind status", USAGE, "prestop certificates status --context NAME"),
    ("config validate x.yaml", USAGE, "prestop config check FILE"),
    ("validate x.yaml", USAGE, "prestop inject --check FILE"),
    ("config check -f x.yaml", USAGE, "prestop config check FILE"),
    ("config check *.yml", INPUT, "remove the quotes, or name the folder"),
    ("catalogue --json", USAGE, "choose the form with -o"),
    ("catalogue -f x.yaml", USAGE, "prestop inject -o report FILE"),
    ("catalog -f x.yaml", USAGE, "prestop inject -o report FILE"),
    ("catalogue --image nginx", USAGE, "prestop catalogue nginx:1.27"),
    ("explain own-hoks", INPUT, "there is no code own-hoks; did you mean own-hook"),
    ("explain nonsense", INPUT, "prestop explain lists them"),
    ("version --client", USAGE, "leave it out"),
    ("version --json", USAGE, "choose the form with -o"),
    ("completions", USAGE, "prestop completions bash"),
    ("function --config x.yaml", USAGE, "functionConfig"),
    ("function x.yaml", USAGE, "prestop inject x.yaml"),
    ("fn x.yaml", USAGE, "prestop inject x.yaml"),
    ("policy -o json", USAGE, "kubectl create --dry-run=client -o json -f -"),
    ("policy -f x.yaml", USAGE, "--config FILE"),
    ("policy x.yaml", USAGE, "policy takes no files"),
    ("policy -n shop", USAGE, "prestop.dev/inject: enabled"),
    ("policy --profile nginx", USAGE, "--profiles NAME,NAME"),
    ("policy --profiles ngin", USAGE, "did you mean nginx?"),
    ("policy --apply", USAGE, "prestop policy | kubectl apply -f -"),
    ("policy --kubernetes-version 1.36", USAGE, "from 1.36 on"),
    ("monitor", USAGE, "prestop watch"),
    ("install", USAGE, "helm install prestop"),
    ("status", USAGE, "prestop check"),
    ("apply -f x.yaml", USAGE, "| kubectl apply -f -"),
    ("injct x.yaml", USAGE, "'inject'"),
    ("--context kind check", USAGE, "prestop check --context NAME"),
    ("serve --listen 10250", USAGE, "127.0.0.1:10250"),
    ("serve --listen localhost:10250", USAGE, "127.0.0.1:10250"),
    ("serve --admin-listen 10251", USAGE, "write :10250 for every address"),
    ("serve --port 10250", USAGE, "--listen 0.0.0.0:10250"),
    ("serve --metrics-bind-address :8080", USAGE, "--admin-listen"),
    ("serve --tls-cert-file x", USAGE, "--tls-cert FILE"),
    ("serve --tls-private-key-file x", USAGE, "--tls-key FILE"),
    ("serve --kubeconfig x", USAGE, "KUBECONFIG"),
    ("serve --log-level debug", USAGE, "docs/configuration.md"),
];

#[test]
fn every_wrong_usage_names_the_fix() {
    let home = folder(&[("x.yaml", DEPLOYMENT)]);
    for (line, status, part) in WRONG {
        let arguments: Vec<_> = line.split(' ').collect();
        refused(&home, &arguments, &[], *status, part);
    }
}

#[cfg(all(feature = "watch", unix))]
#[test]
fn watch_names_its_own_options() {
    let home = folder(&[("x.yaml", DEPLOYMENT)]);
    for (line, status, part) in [
        ("watch -f x.yaml", USAGE, "for manifests: prestop audit FILE"),
        ("watch x.yaml", USAGE, "for manifests: prestop audit x.yaml"),
        ("watch web", USAGE, "prestop watch --until-rolled deployment/web"),
        ("watch statefulset/web", USAGE, "prestop watch --until-rolled statefulset/web"),
        ("watch --deployment web", USAGE, "--until-rolled KIND/NAME, such as"),
        ("watch --pod web-0", USAGE, "--selector LABELS (-l)"),
        ("watch --wait 10m", USAGE, "--for DURATION, such as --for 10m"),
        ("watch --watch", USAGE, "watch follows pods until Ctrl-C"),
        ("watch --json", USAGE, "choose the form with -o"),
        ("watch -o yaml", USAGE, "possible values: text, json, junit"),
        ("watch --for soon", USAGE, "15s"),
        ("watch --requests 50", USAGE, "--rate NUMBER (requests per second)"),
        ("watch --rate 50", USAGE, "--url"),
        ("watch --service web", USAGE, "--url http://HOST[:PORT]/PATH"),
        ("watch --url web.shop", USAGE, "http://web.shop/healthz"),
        ("watch --ignore no-hook", USAGE, "--accept VERDICT, such as --accept no-hook"),
        ("watch --accept nonsense", USAGE, "no-hook"),
        ("watch --output-file x", USAGE, "--svg FILE writes a picture"),
        ("watch -q", USAGE, "-o json prints every field"),
        ("watch --contxt kind", USAGE, "'--context'"),
        ("watch --until-rolled web", USAGE, "KIND/NAME such as deployment/web"),
        ("watch -A -n shop", USAGE, "'--all-namespaces' cannot be used with '--namespace"),
        ("watch", INPUT, "/.kube/config; set KUBECONFIG to its path"),
    ] {
        let arguments: Vec<_> = line.split(' ').collect();
        refused(&home, &arguments, &[], status, part);
    }
}

#[cfg(all(feature = "rehearse", target_os = "linux"))]
#[test]
fn a_rehearsal_says_where_manifest_and_command_go() {
    let home = folder(&[("x.yaml", DEPLOYMENT)]);
    for (line, status, part) in [
        ("rehearse x.yaml -- true", USAGE, "prestop rehearse -f x.yaml -- COMMAND"),
        ("rehearse -f x.yaml", USAGE, "prestop rehearse -f FILE -- COMMAND"),
        ("rehearse -f x.yaml nginx", USAGE, "the server's command comes after --"),
        ("rehearse -f x.yaml --image nginx -- true", USAGE, "a program of this machine"),
        ("rehearse -f *.yml -- true", INPUT, "remove the quotes, or name the folder"),
        ("rehearse -f https://example.com/x.yaml -- true", INPUT, "URLs are not read"),
        ("rehearse --dry-run -f x.yaml -- true", USAGE, "prestop inject -o diff FILE"),
    ] {
        let arguments: Vec<_> = line.split(' ').collect();
        refused(&home, &arguments, &[], status, part);
    }
}

/// Returns a kubeconfig for a server at this address.
fn kubeconfig(server: &str, more: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: here\n\
         clusters: [{{name: c, cluster: {{server: '{server}'{more}}}}}]\n\
         contexts:\n- {{name: here, context: {{cluster: c}}}}\n- {{name: there, context: {{cluster: c, user: u}}}}\n\
         users: [{{name: u, user: {{exec: {{apiVersion: client.authentication.k8s.io/v1, \
         command: get-a-token, interactiveMode: Never}}}}}}]\n"
    )
}

#[test]
fn an_unreachable_cluster_is_named_with_its_context() {
    // The port has no listener after this one is dropped.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = format!("https://127.0.0.1:{port}");
    let home = folder(&[
        (".kube/config", &kubeconfig(&server, "")),
        ("empty", &kubeconfig(&server, "").replace("current-context: here", "current-context: ''")),
        (
            "gone",
            &kubeconfig(&server, "").replace("current-context: here", "current-context: gone"),
        ),
        ("broken", "clusters: ["),
        ("proxied", &kubeconfig(&server, ", proxy-url: 'ftp://proxy'")),
    ]);
    let down = format!("error: {server} (context here): Connection refused");
    for command in [&["check"][..], &["certificates", "status"]] {
        refused(&home, command, &[], INPUT, &down);
        refused(&home, command, &[], INPUT, "; check that the cluster is running");
        // As with kubectl, requests to this machine do not use a proxy.
        refused(&home, command, &[("HTTPS_PROXY", "http://127.0.0.1:1")], INPUT, &down);
        let with = |more: &[&'static str]| [command, more].concat();
        let plugin =
            "context there: the program get-a-token, which gets the credentials, can't be started";
        refused(&home, &with(&["--context", "there"]), &[], INPUT, plugin);
        let choose = "--context NAME: here, there";
        refused(&home, &with(&["--context", "other"]), &[], INPUT, choose);
        refused(
            &home,
            &with(&["--kubeconfig", "empty"]),
            &[],
            INPUT,
            "has no current context; choose one",
        );
        refused(
            &home,
            command,
            &[("KUBECONFIG", "gone")],
            INPUT,
            "has no context \"gone\"; choose one",
        );
        refused(&home, command, &[("KUBECONFIG", "broken")], INPUT, "kubeconfig broken: ");
        refused(&home, command, &[("KUBECONFIG", "proxied")], INPUT, "write http://HOST:PORT");
        // Missing files are skipped, as kubectl does.
        let path = format!("none:{}", home.path().join(".kube/config").display());
        refused(&home, command, &[("KUBECONFIG", &path)], INPUT, &down);
    }
    let said = stderr(&from_home(&home, &["check"], &[]));
    assert!(!said.contains("client error") && said.lines().count() == 1, "{said}");
}

/// A proxy that acts as the API server itself, with an empty cluster.
#[test]
fn a_cluster_is_reached_through_the_proxy() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("127.0.0.1:{}", proxy.local_addr().unwrap().port());
    let answering = thread::spawn(move || {
        let mut tunnels = Vec::new();
        for _ in 0..2 {
            let (mut client, _) = proxy.accept().unwrap();
            let mut read = Vec::new();
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = client.read(&mut bytes) {
                read.extend_from_slice(&bytes[..count]);
                if !read.ends_with(b"\r\n\r\n") {
                    continue;
                }
                let request = String::from_utf8(std::mem::take(&mut read)).unwrap();
                let answer = if request.starts_with("CONNECT ") {
                    tunnels.push(request.lines().next().unwrap().to_owned());
                    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                    continue;
                } else if request.starts_with("GET /version") {
                    let version = r#""gitVersion":"v1.37.0","gitCommit":"","gitTreeState":"","buildDate":"",
                        "goVersion":"","compiler":"","platform":"""#;
                    format!(r#"{{"major":"1","minor":"37",{version}}}"#)
                } else {
                    r#"{"metadata":{},"items":[]}"#.to_owned()
                };
                let length = answer.len();
                let head = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
                );
                client.write_all((head + &answer).as_bytes()).unwrap();
            }
        }
        tunnels
    });
    let server = "http://api.example.invalid:6443";
    let said_in_file = format!(", proxy-url: 'http://{address}'");
    let home = folder(&[
        ("plain", &kubeconfig(server, "")),
        ("proxied", &kubeconfig(server, &said_in_file)),
    ]);
    let url = format!("http://{address}");
    for variables in
        [&[("KUBECONFIG", "plain"), ("HTTP_PROXY", url.as_str())][..], &[("KUBECONFIG", "proxied")]]
    {
        let output = from_home(&home, &["check"], variables);
        let said = stdout(&output);
        assert_eq!(output.status.code(), Some(1), "{said}{}", stderr(&output));
        assert!(said.contains("the API server is 1.37"), "{said}");
        assert!(said.contains("no webhook configuration has the entry pods.prestop.dev"), "{said}");
    }
    assert_eq!(answering.join().unwrap(), ["CONNECT api.example.invalid:6443 HTTP/1.1"; 2]);
    // The error names a proxy that is down.
    let variables = [("KUBECONFIG", "plain"), ("HTTP_PROXY", url.as_str())];
    let part = format!("(context here, by way of the proxy {url})");
    refused(&home, &["check"], &variables, INPUT, &part);
}

#[test]
fn files_are_taken_as_kubectl_takes_them() {
    let folder = folder(&[("x.yaml", DEPLOYMENT), ("y.yaml", DEPLOYMENT)]);
    let file = |name: &str| folder.path().join(name);
    let (x, y) = (file("x.yaml"), file("y.yaml"));
    let plain = stdout(&run(&["inject", text(&x)]));
    assert!(plain.contains("preStop"));
    for flag in ["-f", "--filename", "--file"] {
        assert_eq!(stdout(&run(&["inject", flag, text(&x)])), plain, "{flag}");
    }
    let both = run(&["inject", "-o", "json", text(&x), "-f", text(&y)]);
    let report: serde_json::Value = serde_json::from_slice(&both.stdout).unwrap();
    assert_eq!(report["summary"]["workloads"], 2);
}

#[test]
fn a_plugin_of_kubectl_is_called_as_kubectl_calls_it() {
    let folder = tempfile::tempdir().unwrap();
    let plugin = folder.path().join("kubectl-prestop");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_prestop"), &plugin).unwrap();
    let output = Command::new(&plugin).args(["inject", "--bogus"]).output().unwrap();
    let said = stderr(&output);
    assert!(said.contains("Usage: kubectl prestop inject"), "{said}");
    let help = stdout(&Command::new(&plugin).arg("--help").output().unwrap());
    assert!(help.contains("Usage: kubectl prestop <COMMAND>"), "{help}");
    assert!(stderr(&run(&["inject", "--bogus"])).contains("Usage: prestop inject"));
}

#[test]
fn codes_and_the_version_are_printed() {
    let output = run(&["explain", "own-hook", "Malformed-Container"]);
    assert_eq!(output.status.code(), Some(0));
    let said = stdout(&output);
    assert!(
        said.starts_with("own-hook (reason for skipping a container)\n  The container"),
        "{said}"
    );
    assert!(said.contains("\n  -> ") && said.contains("malformed-container (a problem)"), "{said}");
    let all = stdout(&run(&["explain"]));
    assert!(all.contains("  grace-period-capped ") && all.lines().count() > 35, "{all}");
    assert_eq!(stdout(&run(&["version"])), stdout(&run(&["--version"])));
}

#[test]
fn the_catalogue_has_a_form_for_machines() {
    let read = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_slice(&run(&[&["catalogue", "-o", "json"][..], arguments].concat()).stdout)
            .unwrap()
    };
    let all = read(&[]);
    assert_eq!(all["version"], 1);
    assert!(all["profiles"].as_array().unwrap().len() > 60, "{all}");
    let images = read(&["nginx:1.15", "example.com/app:1", "Not An Image"]);
    assert_eq!(images["images"][0]["profile"]["name"], "nginx");
    assert_eq!(images["images"][0]["pattern"], "library/nginx");
    assert!(images["images"][1]["profile"].is_null());
    assert_eq!(images["images"][2]["error"], "not an image reference");
    assert_eq!(run(&["catalog", "-o", "json", "Not An Image"]).status.code(), Some(3));
}

#[test]
fn advice_names_the_namespace_and_the_container() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yaml");
    fs::write(&file, DEPLOYMENT.replace("  name: web #", "  namespace: shop\n  name: web #"))
        .unwrap();
    let said = stdout(&run(&["inject", "--only-enabled", "-o", "report", text(&file)]));
    assert!(said.contains("kubectl label namespace shop prestop.dev/inject=enabled"), "{said}");
    // Text that is not a name is not written into a command.
    fs::write(&file, DEPLOYMENT.replace("  name: web #", "  namespace: 'a; b'\n  name: web #"))
        .unwrap();
    let said = stdout(&run(&["inject", "--only-enabled", "-o", "report", text(&file)]));
    assert!(said.contains("kubectl label namespace NAME "), "{said}");
}

//! Values that can't work are refused with a sentence, before anything is sent to a cluster.

use std::fs;
use std::os::unix::fs::symlink;

use prestop_test_support::helm::{Tools, documents, object, text};
use prestop_test_support::root;

/// Arguments, and Helm's expected message.
const REFUSED: &[(&[&str], &str)] = &[
    (&["--set", "replicaz=3"], "'replicaz' not allowed"),
    (&["--set", "replicaCount=0"], "/replicaCount"),
    (&["--set", "webhook.failurePolicy=Sometimes"], "/webhook/failurePolicy"),
    (&["--set", "webhook.timeoutSeconds=31"], "/webhook/timeoutSeconds"),
    (&["--set", "certificates.mode=magic"], "/certificates/mode"),
    (&["--set", "image.digest=123"], "/image/digest"),
    (&["--set", "config.defaults.delai=3s"], "'delai' not allowed"),
    (&["--set", "config.defaults.delay=soon"], "/config/defaults/delay"),
    (&["--set", "config.apiVersion=v1"], "'apiVersion' not allowed"),
    (&["--set", "hostNetwork=true"], "10250 of the node is the kubelet's. Set securePort"),
    (&["--set", "adminPort=10250"], "securePort and adminPort are the same port"),
    (
        &["--set", "certificates.mode=secret"],
        "set certificates.secret.name to a Secret with tls.crt and tls.key",
    ),
    (
        &["--set", "certificates.mode=secret,certificates.secret.name=mine"],
        "Set certificates.secret.caBundle (base64-encoded PEM)",
    ),
    (&["--set", "podDisruptionBudget.minAvailable=1"], "exclude each other"),
    (&["--set", "podDisruptionBudget.maxUnavailable="], "set minAvailable or maxUnavailable"),
    (&["--set", "serviceMonitor.enabled=true,metricsService.enabled=false"], "or use podMonitor"),
    (&["--set", "preStopSleepSeconds=60"], "less than terminationGracePeriodSeconds"),
    (
        &["--set", "namespaces.watch=false,fronts.watch=false,certificates.mode=cert-manager"],
        "need kubernetesVersion",
    ),
    (
        &["--set", "prometheusRule.enabled=true,prometheusRule.renderMode=failIfMissing"],
        "(monitoring.coreos.com/v1) are not installed",
    ),
    (&["--set-json", "webhook.namespaceSelector.matchExpressions=[]"], "select every namespace"),
    (
        &["--set-json", "networkPolicy={\"enabled\":true,\"apiServerPorts\":[]}"],
        "networkPolicy.apiServerPorts is empty: a rule without ports would allow every port",
    ),
    (
        &["--set-json", "networkPolicy={\"enabled\":true,\"apiServerPorts\":null}"],
        "networkPolicy.apiServerPorts is empty",
    ),
    (&["--set", "strategy.rollingUpdate.maxSurge=0%"], "maxUnavailable and maxSurge are both 0"),
    (&["--set", "strategy.type=OnDelete"], "/strategy/type"),
    (&["--set", "livenessProbe.tcpSocket.port=1"], "'tcpSocket' not allowed"),
    (&["--set", "listenAddress=localhost"], "/listenAddress"),
    (&["--set", "extraEnv[0].name=POD_NAMESPACE"], "the chart sets POD_NAMESPACE"),
    (&["--set", "extraVolumes[0].name=configuration"], "the chart uses the name configuration"),
    (&["--set", "extraVolumeMounts[0].mountPath=/etc/prestop"], "choose another folder"),
    (&["--set", "extraArgs={--listen=:1}"], "use the value listenAddress and securePort"),
    (&["--set", "global.imageRegistry.a=b"], "/global/imageRegistry"),
    (&["--kube-version", "1.29.3"], "incompatible with Kubernetes v1.29.3"),
];

#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn values_that_cannot_work_are_refused() {
    let tools = Tools::find();
    for (arguments, expected) in REFUSED {
        let output = tools.try_template(arguments);
        let told = text(&output.stderr);
        assert!(!output.status.success(), "{arguments:?} was taken");
        assert!(told.contains(expected), "{arguments:?}: {told}");
    }
}

/// The values of a subchart are part of the user's, where null removes a default as well.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn the_chart_can_be_a_part_of_another_one() {
    let tools = Tools::find();
    tools.template(&["--set", "global.storageClass=fast,enabled=true"]);
    let whole = tempfile::tempdir().unwrap();
    let about = "apiVersion: v2\nname: whole\nversion: 1.0.0\n\
                 dependencies: [{name: prestop, version: 0.1.0, condition: prestop.enabled}]\n";
    fs::write(whole.path().join("Chart.yaml"), about).unwrap();
    fs::create_dir(whole.path().join("charts")).unwrap();
    let part = whole.path().join("charts/prestop");
    symlink(root().join("charts/prestop"), part).unwrap();
    let render = |values: &str| {
        let file = whole.path().join("mine.yaml");
        fs::write(&file, values).unwrap();
        let mut command = tools.command("helm");
        command.args(["template", "prestop"]).arg(whole.path()).arg("--values").arg(file);
        command.output().unwrap()
    };
    let rendered = render(
        "global: {imageRegistry: mirror.example}\n\
         prestop: {livenessProbe: null, config: null, webhook: {excludedNamespaces: null}}\n",
    );
    assert!(rendered.status.success(), "{}", text(&rendered.stderr));
    let objects = documents(&text(&rendered.stdout));
    let container =
        &object(&objects, "Deployment", "prestop")["spec"]["template"]["spec"]["containers"][0];
    let repository = env!("CARGO_PKG_REPOSITORY").trim_start_matches("https://github.com/");
    let image = format!("mirror.example/{}:0.1.0", repository.to_lowercase());
    assert_eq!(container["image"], image);
    assert!(container["livenessProbe"].is_null() && container["readinessProbe"].is_object());
    let refused = render("prestop: {rbac: {create: null}}\n");
    assert!(text(&refused.stderr).contains("rbac.create is null, but prestop can't be installed"));
    let off = render("prestop: {enabled: false}\n");
    assert!(off.status.success() && text(&off.stdout).trim().is_empty());
}

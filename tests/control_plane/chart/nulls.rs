//! Every value as null, as an empty map and as an empty list: the output is valid, or the value is
//! refused with a sentence that names it.

use prestop_test_support::helm::{NAMESPACE, Tools, documents, object};
use prestop_test_support::renderings::{distinct, renderings};
use serde_json::json;

/// Values that can't be null.
const NEEDED: &[&str] = &[
    "adminPort",
    "certificates",
    "certificates.certManager",
    "certificates.mode",
    "certificates.secret",
    "fronts",
    "fronts.watch",
    "image",
    "image.repository",
    "namespaces",
    "namespaces.watch",
    "rbac",
    "rbac.create",
    "securePort",
    "serviceAccount",
    "serviceAccount.create",
    "terminationGracePeriodSeconds",
    "webhook",
    "webhook.failurePolicy",
    "webhook.namespaceSelector",
    "webhook.reinvocationPolicy",
    "webhook.timeoutSeconds",
];

/// Without this value, and without labels, every namespace would be selected.
const EVERY_NAMESPACE: &str = "webhook.namespaceSelector.matchExpressions";

/// Whether a value was refused in one of the two intended ways: by the schema, or with a sentence
/// of the chart. Anything else is an error in a template.
fn is_refusal(path: &str, told: &str) -> bool {
    let group = path.split('.').next().unwrap();
    let is_sentence = told.contains("Error: execution error at") && told.contains(group);
    is_sentence || told.contains(&format!("at '/{}': got", path.replace('.', "/")))
}

#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn null_is_empty_or_off_or_refused_by_name() {
    let tools = Tools::find();
    let renderings = renderings(&tools);
    for ((set, is_everything), rendered) in renderings {
        let Some(path) = set.strip_suffix("=null") else { continue };
        match rendered {
            Ok(_) => assert!(!NEEDED.contains(&path), "{set} was taken"),
            Err(told) if NEEDED.contains(&path) => {
                let sentence = format!("{path} is null, but prestop can't be installed without it");
                assert!(told.contains(&sentence), "{set}: {told}");
            }
            // Refused only together with other values.
            Err(told) => {
                let alone = ["podDisruptionBudget.maxUnavailable", EVERY_NAMESPACE];
                assert!(*is_everything || alone.contains(&path), "{set}: {told}");
            }
        }
    }
    for path in NEEDED {
        assert!(renderings.contains_key(&(format!("{path}=null"), false)), "{path} is no value");
    }
}

/// The output consists of objects with names and without duplicate keys.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn nothing_is_taken_or_refused_by_name() {
    let tools = Tools::find();
    let renderings = renderings(&tools);
    for text in distinct(renderings.values()) {
        for object in documents(&format!("# {text}")) {
            assert!(object["metadata"]["name"].is_string(), "{text}");
        }
    }
    for ((set, _), rendered) in renderings {
        if let Err(told) = rendered {
            assert!(is_refusal(set.split('=').next().unwrap(), told), "{set}: {told}");
        }
    }
}

/// The values that users would try first, and their effects.
#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn null_leaves_out_what_it_is_set_to() {
    let tools = Tools::find();
    let spec = |set: &str| {
        let objects = tools.render(&["--set-json", set]);
        objects.iter().find(|object| object["kind"] == "Deployment").unwrap()["spec"].clone()
    };
    for (value, field) in [
        ("livenessProbe", "/template/spec/containers/0/livenessProbe"),
        ("readinessProbe", "/template/spec/containers/0/readinessProbe"),
        ("resources", "/template/spec/containers/0/resources"),
        ("containerSecurityContext", "/template/spec/containers/0/securityContext"),
        ("preStopSleepSeconds", "/template/spec/containers/0/lifecycle"),
        ("image.pullPolicy", "/template/spec/containers/0/imagePullPolicy"),
        ("podSecurityContext", "/template/spec/securityContext"),
        ("nodeSelector", "/template/spec/nodeSelector"),
        ("topologySpreadConstraints", "/template/spec/topologySpreadConstraints"),
        ("replicaCount", "/replicas"),
        ("revisionHistoryLimit", "/revisionHistoryLimit"),
        ("strategy", "/strategy"),
    ] {
        assert!(spec("extraArgs=[]").pointer(field).is_some(), "{field}");
        assert_eq!(spec(&format!("{value}=null")).pointer(field), None, "{value}");
    }
    assert_eq!(spec("revisionHistoryLimit=0")["revisionHistoryLimit"], 0);
    assert_eq!(
        spec("strategy={\"type\":\"Recreate\"}")["strategy"],
        json!({"type": "Recreate"}),
        "rollingUpdate is for the other type"
    );
    let objects = tools.render(&["--set-json", "webhook.excludedNamespaces=null"]);
    let webhook = object(&objects, "MutatingWebhookConfiguration", "prestop");
    let selector = &webhook["webhooks"][0]["namespaceSelector"]["matchExpressions"];
    assert_eq!(selector[1]["values"], json!([NAMESPACE]));
    for (fronts, defaults) in [("true", "defaults:\n  delay: auto\n"), ("false", "")] {
        let fronts = format!("fronts.watch={fronts}");
        let objects = tools.render(&["--set-json", "config=null", "--set-json", &fronts]);
        let file = &object(&objects, "ConfigMap", "prestop")["data"]["prestop.yaml"];
        let head = "apiVersion: prestop.dev/v1alpha1\nkind: Configuration\n";
        assert_eq!(*file, format!("{head}{defaults}"));
    }
    let enabled =
        "prometheusRule={\"enabled\":true,\"renderMode\":\"alwaysRender\",\"extraGroups\":null}";
    let objects = tools.render(&["--set-json", enabled]);
    let groups = &object(&objects, "PrometheusRule", "prestop")["spec"]["groups"];
    assert_eq!(groups.as_array().map(Vec::len), Some(1));
}

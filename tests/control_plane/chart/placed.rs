//! The namespaces of the chart's objects, and values that reach the objects that they are for.

use serde_json::{Value, json};

use prestop_test_support::helm::{NAMESPACE, Tools, object, text};

#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn another_namespace_is_that_of_every_object() {
    let tools = Tools::find();
    for mode in ["self-managed", "cert-manager"] {
        let sets = format!(
            "namespaceOverride=elsewhere,certificates.mode={mode},networkPolicy.enabled=true,\
             dashboard.enabled=true,serviceMonitor.enabled=true,serviceMonitor.renderMode=alwaysRender,\
             podMonitor.enabled=true,podMonitor.renderMode=alwaysRender,\
             prometheusRule.enabled=true,prometheusRule.renderMode=alwaysRender"
        );
        let objects = tools.render(&["--set", &sets]);
        let mut placed = 0;
        for object in &objects {
            if let Some(namespace) = object["metadata"]["namespace"].as_str() {
                assert_eq!(namespace, "elsewhere", "{}", object["kind"]);
                placed += 1;
            }
            // Nothing else contains the release's namespace either: subjects, server names,
            // monitored namespaces.
            let all = object.to_string();
            assert!(!all.contains(NAMESPACE), "{all}");
        }
        assert!(placed >= 10, "{placed} objects have a namespace");
        let webhook = &object(&objects, "MutatingWebhookConfiguration", "prestop")["webhooks"][0];
        assert_eq!(webhook["clientConfig"]["service"]["namespace"], "elsewhere");
        // The webhook never blocks its own pods.
        let expressions = &webhook["namespaceSelector"]["matchExpressions"];
        let excluded = &expressions.as_array().unwrap().last().unwrap()["values"];
        assert!(excluded.as_array().unwrap().contains(&json!("elsewhere")), "{excluded}");
    }
}

#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn each_value_reaches_its_object() {
    let tools = Tools::find();
    let objects = tools.render(&["--values", "charts/prestop/ci/everything-values.yaml"]);
    let of = |kind: &str, name: &str, pointer: &str| -> Value {
        object(&objects, kind, name).pointer(pointer).cloned().unwrap_or_default()
    };
    let tier = "/metadata/labels/example.com~1tier";
    assert_eq!(of("Service", "graceful", tier), "admission");
    assert_eq!(of("Service", "graceful-metrics", tier), "monitoring");
    assert_eq!(of("MutatingWebhookConfiguration", "graceful", tier), "admission");
    for service in ["graceful", "graceful-metrics"] {
        assert_eq!(of("Service", service, "/spec/ipFamilies"), json!(["IPv4"]));
    }
    let pod = "/spec/template/spec";
    assert_eq!(of("Deployment", "graceful", &format!("{pod}/runtimeClassName")), "gvisor");
    assert_eq!(of("Pod", "graceful-test", "/spec/runtimeClassName"), "gvisor");
    assert_eq!(
        of("Deployment", "graceful", &format!("{pod}/dnsConfig/options/0")),
        json!({"name": "ndots", "value": "2"})
    );
    assert_eq!(
        of("Deployment", "graceful", &format!("{pod}/hostAliases/0")),
        json!({"ip": "192.0.2.1", "hostnames": ["api.example.com"]})
    );
    for (kind, endpoints) in
        [("ServiceMonitor", "endpoints"), ("PodMonitor", "podMetricsEndpoints")]
    {
        let owner = "/metadata/annotations/example.com~1owner";
        assert_eq!(of(kind, "graceful", owner), "platform");
        let endpoint = of(kind, "graceful", &format!("/spec/{endpoints}/0"));
        assert_eq!(
            (&endpoint["honorLabels"], &endpoint["scheme"], &endpoint["tlsConfig"]),
            (&json!(true), &json!("https"), &json!({"insecureSkipVerify": true}))
        );
    }
    // Not rendered unless it is enabled.
    let objects = tools
        .render(&["--set", "serviceMonitor.enabled=true,serviceMonitor.renderMode=alwaysRender"]);
    let endpoint = &object(&objects, "ServiceMonitor", "prestop")["spec"]["endpoints"][0];
    assert_eq!(endpoint, &json!({"port": "metrics", "path": "/metrics"}));
}

#[test]
#[ignore = "needs helm and kubectl; run: just control-plane"]
fn names_that_no_namespace_can_have_are_refused() {
    let tools = Tools::find();
    for (set, part) in [
        ("namespaceOverride=Some_Where", "namespaceOverride"),
        ("service.ipFamilies[0]=IPv5", "ipFamilies"),
        ("hostAliases[0].ip=192.0.2.1", "hostnames"),
        ("dnsConfig.options[0].value=2", "name"),
        ("serviceMonitor.scheme=ftp", "scheme"),
    ] {
        let output = tools.try_template(&["--set", set]);
        assert!(!output.status.success(), "{set} was taken");
        assert!(text(&output.stderr).contains(part), "{set}: {}", text(&output.stderr));
    }
}

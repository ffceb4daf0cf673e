//! Selectors, ports, classes, and paths through several objects.

use super::*;

fn named(name: &str, namespace: &str, selector: &str) -> String {
    format!(
        "{{apiVersion: v1, kind: Service, metadata: {{name: {name}, namespace: {namespace}}}, \
         spec: {{selector: {selector}, ports: [{{port: 80}}]}}}}\n"
    )
}

#[test]
fn a_service_selects_by_all_labels_in_its_namespace() {
    for (namespace, selector, selects) in [
        ("shop", "{app: web}", true),
        ("shop", "{app: web, tier: front}", true),
        ("shop", "{app: web, tier: back}", false),
        ("shop", "{app: other}", false),
        ("shop", "{}", false),
        ("shop", "null", false),
        ("shop", "[app, web]", false),
        ("bank", "{app: web}", false),
    ] {
        let found = found(&named("web", namespace, selector));
        assert_eq!(!found.is_empty(), selects, "{namespace} {selector}: {found:?}");
    }
}

#[test]
fn labels_of_controllers_are_known() {
    let template = pod(POD);
    let of = |selector: &str, controlled_by: Option<&str>| {
        let pod = PodShape { controlled_by: controlled_by.map(str::to_owned), ..template.clone() };
        surroundings(&documents(&named("web", "shop", selector))).fronts(&pod).len()
    };
    let by_name = |pod: &str| format!("{{statefulset.kubernetes.io/pod-name: {pod}}}");
    assert_eq!(of(&by_name("db-0"), Some("db")), 1);
    assert_eq!(of(&by_name("db-x"), Some("db")), 0);
    assert_eq!(of(&by_name("other-0"), Some("db")), 0);
    assert_eq!(of(&by_name("db-0"), None), 0);
    assert_eq!(of("{app: web, rollouts-pod-template-hash: 6c4f}", Some("web")), 1);
    assert_eq!(of("{app: other, rollouts-pod-template-hash: 6c4f}", Some("web")), 0);
}

#[test]
fn a_named_port_has_to_be_there() {
    for (port, serves) in [
        ("{port: 80, targetPort: http}", true),
        ("{port: 80, targetPort: metrics}", false),
        ("{port: 53, targetPort: dns}", false),
        ("{port: 53, targetPort: dns, protocol: UDP}", true),
        ("{port: 80, targetPort: 9999}", true),
        ("{port: 80, targetPort: '9999'}", true),
        ("{port: 80}", true),
    ] {
        let service = named("web", "shop", "{app: web}").replace("{port: 80}", port);
        assert_eq!(!found(&service).is_empty(), serves, "{port}");
    }
    let without = named("web", "shop", "{app: web}").replace("[{port: 80}]", "[]");
    assert_eq!(found(&without), ["cluster-ip 10s Service shop/web"]);
    let sidecar = pod("
metadata: {labels: {app: web}}
spec:
  initContainers: [{name: proxy, restartPolicy: Always, ports: [{name: http, containerPort: 1}]}, {name: once, ports: [{name: once, containerPort: 2}]}]
  containers: [{name: web}]");
    for (name, serves) in [("http", true), ("once", false)] {
        let port = format!("{{port: 80, targetPort: {name}}}");
        let service = named("web", "shop", "{app: web}").replace("{port: 80}", &port);
        let found = surroundings(&documents(&service)).fronts(&sidecar);
        assert_eq!(!found.is_empty(), serves, "{name}");
    }
}

#[test]
fn an_ingress_sends_to_the_port_that_it_names() {
    for (port, sends) in [
        ("{number: 80}", true),
        ("{name: http}", true),
        ("{number: 81}", false),
        ("{name: metrics}", false),
        ("{name: use-annotation}", true),
    ] {
        let objects = format!(
            "{}---\n{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: web}}, spec: \
             {{ingressClassName: nginx, rules: [{{http: {{paths: [{{backend: {{service: {{name: web, \
             port: {port}}}}}}}]}}}}]}}}}",
            cluster_ip()
        );
        let has = found(&objects).iter().any(|line| line.starts_with("ingress-nginx "));
        assert_eq!(has, sends, "{port}");
    }
}

#[test]
fn backends_of_other_spellings_are_found() {
    let old = format!(
        "{}---\n{{apiVersion: extensions/v1beta1, kind: Ingress, metadata: {{name: web}}, spec: \
         {{backend: {{serviceName: web, servicePort: 80}}}}}}",
        cluster_ip()
    );
    let way = "ingress 10s-30s Ingress shop/web > Service shop/web";
    assert_eq!(found(&old), [way, "cluster-ip 10s Service shop/web"]);
    let action = r#"{"type":"forward","forwardConfig":{"targetGroups":[{"serviceName":"web","servicePort":"80","weight":1}]}}"#;
    let by_action = format!(
        "{}---\n{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: web, annotations: \
         {{alb.ingress.kubernetes.io/actions.split: '{action}', alb.ingress.kubernetes.io/target-type: ip}}}}, \
         spec: {{ingressClassName: alb, rules: [{{http: {{paths: [{{backend: {{service: {{name: split, \
         port: {{name: use-annotation}}}}}}}}]}}}}]}}}}",
        cluster_ip()
    );
    let way = "aws-alb-ip 30s-1m Ingress shop/web > Service shop/web";
    assert_eq!(found(&by_action), [way, "cluster-ip 10s Service shop/web"]);
}

#[test]
fn an_ingress_without_a_class_has_the_default_one() {
    let ingress = format!(
        "{}---\n{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: web}}, spec: \
         {{defaultBackend: {{service: {{name: web}}}}}}}}\n",
        cluster_ip()
    );
    let class = |name: &str, controller: &str, default: &str| {
        format!(
            "---\n{{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {{name: {name}, \
             annotations: {{ingressclass.kubernetes.io/is-default-class: '{default}'}}}}, spec: \
             {{controller: {controller}}}}}\n"
        )
    };
    let contour = class("edge", "projectcontour.io/ingress-controller", "true");
    let nginx = class("other", "k8s.io/ingress-nginx", "false");
    let found = found(&format!("{ingress}{nginx}{contour}"));
    assert_eq!(found[0], "contour-ingress 10s-15s Ingress shop/web > Service shop/web");
    assert_eq!(found.len(), 2);
}

/// The name of a class is only a guess; the controller in the class takes precedence.
#[test]
fn the_controller_counts_more_than_the_name_of_the_class() {
    let objects = format!(
        "{}---\n{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: web}}, spec: \
         {{ingressClassName: nginx, defaultBackend: {{service: {{name: web}}}}}}}}\n---\n\
         {{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {{name: nginx}}, spec: \
         {{controller: nginx.org/ingress-controller}}}}",
        cluster_ip()
    );
    assert!(found(&objects)[0].starts_with("nginx-ingress "));
}

#[test]
fn a_route_may_lead_through_other_namespaces() {
    let objects = "
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}, spec: {selector: {app: web}, ports: [{port: 80}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: web, namespace: routes}, spec: {parentRefs: [{name: edge, namespace: infra}, {kind: Service, name: web}],
  rules: [{backendRefs: [{name: web, namespace: shop, port: 80}]}]}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: infra}, spec: {gatewayClassName: some}}
---
{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: some}, spec: {controllerName: networking.gke.io/gateway}}
";
    let way = "gke-gateway 1m-2m Gateway infra/edge > GRPCRoute routes/web > Service shop/web";
    assert_eq!(found(objects), [way, "cluster-ip 10s Service shop/web"]);
    let without = objects.split("---").take(2).collect::<Vec<_>>().join("---");
    assert!(found(&without)[0].starts_with("gateway 10s-30s Gateway infra/edge > "));
}

#[test]
fn several_at_once_and_the_longest_wins() {
    let objects = format!(
        "{}---\n{}---\n{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: web}}, spec: \
         {{ingressClassName: azure-application-gateway, defaultBackend: {{service: {{name: web}}}}}}}}",
        cluster_ip(),
        named("peers", "shop", "{app: web}").replace("ports:", "clusterIP: None, ports:"),
    );
    let found = surroundings(&documents(&objects)).fronts(&pod(POD));
    assert_eq!(
        lines(&found),
        [
            "azure-application-gateway 1m-1m30s Ingress shop/web > Service shop/web",
            "headless 30s-1m Service shop/peers",
            "cluster-ip 10s Service shop/web",
        ]
    );
    let all = need(&found);
    assert_eq!(all.delay.unwrap().to_string(), "1m-1m30s");
    assert!(!all.has_endless);
    let endless = found_need(&service(", publishNotReadyAddresses: true", ""));
    assert_eq!((endless.delay.unwrap().to_string().as_str(), endless.has_endless), ("10s", true));
    assert_eq!(need(&[]).delay, None);
}

fn found_need(yaml: &str) -> prestop_core::fronts::Need {
    need(&surroundings(&documents(yaml)).fronts(&pod(POD)))
}

#[test]
fn nothing_sends_to_external_names() {
    assert!(found(&service(", type: ExternalName, externalName: a.example.com", "")).is_empty());
}

/// Each pod is compared only with the Services stored under one of its labels, not with all
/// Services.
#[test]
fn many_services_with_a_label_in_common_are_no_burden() {
    let count = 20_000;
    let services: Vec<Value> = (0..count)
        .map(|index| {
            serde_json::json!({
                "apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("s{index}")},
                "spec": {"selector": {"part-of": "shop", "app": format!("a{index}")}},
            })
        })
        .collect();
    let around = surroundings(&services);
    for index in 0..count {
        let labels = [("part-of", "shop".to_owned()), ("app", format!("a{index}"))];
        let labels = labels.map(|(key, value)| (key.to_owned(), value)).to_vec();
        let pod = PodShape { namespace: "shop".to_owned(), labels, ..PodShape::default() };
        assert_eq!(around.fronts(&pod).len(), 1);
    }
}

//! At least one case for each front.

use std::collections::BTreeSet;

use super::*;

/// Objects as YAML, and the name and delay of the front that they have to give.
type Case = (String, &'static str, &'static str);

fn load_balancer(more: &str, annotations: &str) -> String {
    service(&format!(", type: LoadBalancer{more}"), annotations)
}

fn ingress(spec: &str, annotations: &str) -> String {
    format!(
        "{}---\n{{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {{name: web, \
         annotations: {{{annotations}}}}}, spec: {{defaultBackend: {{service: {{name: web, \
         port: {{name: http}}}}}}{spec}}}}}\n",
        cluster_ip()
    )
}

fn ingress_of(controller: &str) -> String {
    ingress_with(controller, "")
}

fn ingress_with(controller: &str, annotations: &str) -> String {
    format!(
        "{}---\n{{apiVersion: networking.k8s.io/v1, kind: IngressClass, metadata: {{name: some}}, \
         spec: {{controller: {controller}}}}}\n",
        ingress(", ingressClassName: some", annotations)
    )
}

fn gateway(class: &str) -> String {
    format!(
        "{}---\n{{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {{name: web}}, \
         spec: {{parentRefs: [{{name: edge}}], rules: [{{backendRefs: [{{name: web, port: 80}}]}}]}}}}\n\
         ---\n{{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {{name: edge}}, \
         spec: {{gatewayClassName: {class}}}}}\n",
        cluster_ip()
    )
}

fn gateway_of(controller: &str) -> String {
    format!(
        "{}---\n{{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {{name: some}}, \
         spec: {{controllerName: {controller}}}}}\n",
        gateway("some")
    )
}

fn route(api_version: &str, kind: &str, spec: &str) -> String {
    format!(
        "{}---\n{{apiVersion: {api_version}, kind: {kind}, metadata: {{name: web}}, spec: {spec}}}\n",
        cluster_ip()
    )
}

fn binding(more: &str) -> String {
    let spec = format!("{{serviceRef: {{name: web, port: 80}}{more}}}");
    route("elbv2.k8s.aws/v1beta1", "TargetGroupBinding", &spec)
}

fn services() -> Vec<Case> {
    let aws = "service.beta.kubernetes.io/aws-load-balancer";
    let target = |of: &str| format!("{aws}-nlb-target-type: {of}");
    let class = |name: &str| format!(", loadBalancerClass: {name}");
    vec![
        (cluster_ip(), "cluster-ip", "10s"),
        (service(", clusterIP: None", ""), "headless", "30s-1m"),
        (service(", type: NodePort", ""), "node-port", "10s"),
        (service(", publishNotReadyAddresses: true", ""), "not-ready-addresses", "never"),
        (
            service("", "service.alpha.kubernetes.io/tolerate-unready-endpoints: 'true'"),
            "not-ready-addresses",
            "never",
        ),
        (load_balancer(", externalTrafficPolicy: Local", ""), "external-policy-local", "15s-45s"),
        (service(", internalTrafficPolicy: Local", ""), "internal-policy-local", "10s"),
        (
            service(
                ", clusterIP: None",
                "external-dns.alpha.kubernetes.io/hostname: a.example.com",
            ),
            "external-dns",
            "1m-5m",
        ),
        (
            service(
                ", clusterIP: None",
                "external-dns.alpha.kubernetes.io/hostname: a.example.com, \
                 external-dns.alpha.kubernetes.io/ttl: '60'",
            ),
            "external-dns",
            "1m-2m",
        ),
        (load_balancer("", &format!("{aws}-type: nlb-ip")), "aws-nlb-ip", "2m-3m"),
        (
            load_balancer("", &format!("{aws}-type: external, {}", target("ip"))),
            "aws-nlb-ip",
            "2m-3m",
        ),
        (load_balancer(&class("service.k8s.aws/nlb"), &target("ip")), "aws-nlb-ip", "2m-3m"),
        (load_balancer(&class("service.k8s.aws/nlb"), ""), "aws-nlb-instance", "10s"),
        (load_balancer("", &format!("{aws}-type: nlb")), "aws-nlb-instance", "10s"),
        (
            load_balancer("", &format!("{aws}-type: external, {}", target("instance"))),
            "aws-nlb-instance",
            "10s",
        ),
        (load_balancer(&class("eks.amazonaws.com/nlb"), ""), "aws-nlb-auto-mode", "2m-3m"),
        (
            load_balancer(&class("eks.amazonaws.com/nlb"), &format!("{aws}-type: external")),
            "aws-nlb-auto-mode",
            "2m-3m",
        ),
        (
            load_balancer(&class("example.com/other"), &format!("{aws}-type: external")),
            "load-balancer",
            "10s-30s",
        ),
        (
            load_balancer(&class("eks.amazonaws.com/nlb"), &target("instance")),
            "aws-nlb-instance",
            "10s",
        ),
        (load_balancer(&class("networking.gke.io/l4-regional-internal"), ""), "gke-l4", "10s"),
        (load_balancer("", "networking.gke.io/load-balancer-type: Internal"), "gke-l4", "10s"),
        (
            service("", "cloud.google.com/neg: '{\"exposed_ports\": {\"80\": {}}}'"),
            "gke-neg",
            "1m-2m",
        ),
        (
            load_balancer("", "service.beta.kubernetes.io/azure-load-balancer-internal: 'true'"),
            "azure-load-balancer",
            "10s",
        ),
        (load_balancer("", "metallb.io/address-pool: a"), "metallb", "10s"),
        (load_balancer("", "metallb.universe.tf/loadBalancerIPs: 10.0.0.9"), "metallb", "10s"),
        (load_balancer(&class("io.cilium/l2-announcer"), ""), "cilium-load-balancer", "10s"),
        (load_balancer(&class("kube-vip.io/kube-vip-class"), ""), "kube-vip", "10s"),
        (load_balancer("", ""), "load-balancer", "10s-30s"),
    ]
}

fn ingresses() -> Vec<Case> {
    let ip = "alb.ingress.kubernetes.io/target-type: ip";
    let draining = "alb.ingress.kubernetes.io/target-group-attributes: \
                    'stickiness.enabled=true,deregistration_delay.timeout_seconds=10'";
    let of_service = |annotation: &str, class: &str| {
        let ingress = ingress(&format!(", ingressClassName: {class}"), "");
        ingress.replace(&cluster_ip(), &service("", annotation))
    };
    let old = |class: &str| ingress("", &format!("kubernetes.io/ingress.class: {class}"));
    vec![
        (ingress_with("ingress.k8s.aws/alb", ip), "aws-alb-ip", "30s-1m"),
        (
            ingress_with("ingress.k8s.aws/alb", &format!("{ip}, {draining}")),
            "aws-alb-ip",
            "30s-40s",
        ),
        (ingress(", ingressClassName: alb", ip), "aws-alb-ip", "30s-1m"),
        (of_service(ip, "alb"), "aws-alb-ip", "30s-1m"),
        (ingress_of("ingress.k8s.aws/alb"), "aws-alb-instance", "10s"),
        (old("alb"), "aws-alb-instance", "10s"),
        (ingress_of("eks.amazonaws.com/alb"), "aws-alb-auto-mode", "30s-1m"),
        (old("gce"), "gke-ingress", "1m-2m"),
        (old("gce-internal"), "gke-ingress", "1m-2m"),
        (
            of_service("cloud.google.com/neg: '{\"ingress\": false}'", "gce"),
            "gke-ingress-instance-groups",
            "10s",
        ),
        (
            ingress("", "").replace(
                &cluster_ip(),
                &service("", "cloud.google.com/neg: '{\"ingress\": true}'"),
            ),
            "gke-ingress",
            "1m-2m",
        ),
        (ingress_of("azure/application-gateway"), "azure-application-gateway", "1m-1m30s"),
        (old("azure/application-gateway"), "azure-application-gateway", "1m-1m30s"),
        (old("azure-alb-external"), "azure-gateway-for-containers-ingress", "10s-30s"),
        (ingress_of("k8s.io/ingress-nginx"), "ingress-nginx", "10s-15s"),
        (old("nginx"), "ingress-nginx", "10s-15s"),
        (ingress_of("nginx.org/ingress-controller"), "nginx-ingress", "10s-15s"),
        (ingress_of("traefik.io/ingress-controller"), "traefik-ingress", "10s-15s"),
        (ingress_of("haproxy.org/ingress-controller/haproxy"), "haproxy-ingress", "10s-15s"),
        (ingress_of("haproxy-ingress.github.io/controller"), "haproxy-ingress", "10s-15s"),
        (ingress_of("projectcontour.io/ingress-controller"), "contour-ingress", "10s-15s"),
        (ingress_of("ingress-controllers.konghq.com/kong"), "kong-ingress", "10s-15s"),
        (ingress_of("istio.io/ingress-controller"), "istio-ingress", "10s-15s"),
        (ingress_of("cilium.io/ingress-controller"), "cilium-ingress", "10s-15s"),
        (ingress_of("openshift.io/ingress-to-route"), "openshift-ingress", "10s-15s"),
        (ingress_of("example.com/other"), "ingress", "10s-30s"),
        (ingress("", ""), "ingress", "10s-30s"),
    ]
}

fn gateways() -> Vec<Case> {
    vec![
        (gateway_of("gateway.k8s.aws/alb"), "aws-alb-gateway", "30s-1m"),
        (gateway_of("gateway.k8s.aws/nlb"), "aws-nlb-gateway", "2m-3m"),
        (gateway("amazon-vpc-lattice"), "aws-lattice", "30s-1m"),
        (gateway_of("networking.gke.io/gateway"), "gke-gateway", "1m-2m"),
        (gateway("gke-l7-global-external-managed"), "gke-gateway", "1m-2m"),
        (
            gateway_of("alb.networking.azure.io/alb-controller"),
            "azure-gateway-for-containers",
            "10s-30s",
        ),
        (gateway_of("gateway.envoyproxy.io/gatewayclass-controller"), "envoy-gateway", "10s-15s"),
        (gateway_of("istio.io/gateway-controller"), "istio-gateway", "10s-15s"),
        (gateway_of("openshift.io/gateway-controller/v1"), "istio-gateway", "10s-15s"),
        (gateway("openshift-default"), "istio-gateway", "10s-15s"),
        (gateway_of("io.cilium/gateway-controller"), "cilium-gateway", "10s-15s"),
        (gateway_of("projectcontour.io/gateway-controller"), "contour-gateway", "10s-15s"),
        (gateway_of("konghq.com/kic-gateway-controller"), "kong-gateway", "10s-15s"),
        (gateway_of("traefik.io/gateway-controller"), "traefik-gateway", "10s-15s"),
        (gateway_of("gateway.nginx.org/nginx-gateway-controller"), "nginx-gateway", "10s-15s"),
        (gateway_of("haproxy-ingress.github.io/controller"), "haproxy-gateway", "10s-15s"),
        (gateway_of("example.com/other"), "gateway", "10s-30s"),
    ]
}

fn routes() -> Vec<Case> {
    let services = "{routes: [{match: x, services: [{name: web, port: 80}]}]}";
    let destination = "{hosts: [a], http: [{route: [{destination: {host: web.shop.svc.cluster.local, \
                       port: {number: 80}}}]}]}";
    let backend = "{rules: [{backend: {serviceName: web, servicePort: 80}}]}";
    vec![
        (route("traefik.io/v1alpha1", "IngressRoute", services), "traefik-route", "10s-15s"),
        (route("traefik.io/v1alpha1", "IngressRouteTCP", services), "traefik-route", "10s-15s"),
        (route("projectcontour.io/v1", "HTTPProxy", services), "contour-route", "10s-15s"),
        (route("networking.istio.io/v1", "VirtualService", destination), "istio-route", "10s-15s"),
        (
            route("route.openshift.io/v1", "Route", "{to: {kind: Service, name: web}}"),
            "openshift-route",
            "10s-15s",
        ),
        (
            route("k8s.nginx.org/v1", "VirtualServer", "{upstreams: [{service: web, port: 80}]}"),
            "nginx-route",
            "10s-15s",
        ),
        (route("configuration.konghq.com/v1beta1", "TCPIngress", backend), "kong-route", "10s-15s"),
        (binding(", targetType: instance"), "aws-target-group-instance", "10s"),
        (binding(", targetType: ip, targetGroupProtocol: HTTP"), "aws-target-group-http", "30s-1m"),
        (binding(", targetType: ip, targetGroupProtocol: TLS"), "aws-target-group-tcp", "2m-3m"),
        (binding(", targetType: ip"), "aws-target-group", "30s-3m"),
        (
            binding(", targetType: instance")
                .replace("elbv2.k8s.aws/v1beta1", "eks.amazonaws.com/v1"),
            "aws-target-group-instance",
            "10s",
        ),
    ]
}

#[test]
fn every_front_of_objects_is_recognised() {
    let cases = [services(), ingresses(), gateways(), routes()].concat();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (objects, name, delay) in &cases {
        let found = found(objects);
        let wanted = format!("{name} {delay} ");
        assert!(
            found.iter().any(|line| line.starts_with(&wanted)),
            "{wanted}: {found:?}\n{objects}"
        );
        seen.insert(name);
    }
    seen.extend(["aws-readiness-gate", "gke-readiness-gate", "host-port"]);
    let all: BTreeSet<_> =
        FrontTable::built_in().kinds().iter().map(|it| it.name.as_str()).collect();
    assert_eq!(seen, all, "every front has a case here");
}

/// Each case matches exactly one front for its kind of object, apart from additional ones (`adds`)
/// and that of the Service.
#[test]
fn no_object_is_two_fronts() {
    for (objects, name, _) in [services(), ingresses(), gateways(), routes()].concat() {
        let found = surroundings(&documents(&objects)).fronts(&pod(POD));
        let object =
            FrontTable::built_in().kinds().iter().find(|it| it.name == name).unwrap().object;
        let same = found.iter().filter(|front| front.kind.object == object && !front.kind.adds);
        assert_eq!(same.count(), 1, "{name}: {:?}", lines(&found));
    }
}

#[test]
fn pods_say_some_of_them_themselves() {
    let of = |spec: &str| {
        let pod = pod(&format!("{{metadata: {{labels: {{}}}}, spec: {spec}}}"));
        lines(&surroundings(&[]).fronts(&pod))
    };
    let gate =
        |name: &str| format!("{{containers: [], readinessGates: [{{conditionType: {name}}}]}}");
    for name in
        ["target-health.elbv2.k8s.aws/k8s-shop-web", "target-health.alb.ingress.k8s.aws/a_b_c"]
    {
        assert_eq!(of(&gate(name)), ["aws-readiness-gate 30s-3m"]);
    }
    assert_eq!(of(&gate("cloud.google.com/load-balancer-neg-ready")), ["gke-readiness-gate 1m-2m"]);
    assert!(of(&gate("example.com/ready")).is_empty());
    let port = |more: &str| format!("{{containers: [{{ports: [{{containerPort: 80{more}}}]}}]}}");
    assert_eq!(of(&port(", hostPort: 80")), ["host-port never"]);
    assert!(of(&port("")).is_empty());
    assert!(of(&port(", hostPort: 0")).is_empty());
    let on_host = "{hostNetwork: true, containers: [{ports: [{containerPort: 80}]}]}";
    assert_eq!(of(on_host), ["host-port never"]);
}

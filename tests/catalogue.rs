//! The built-in catalogue: the profile of each image, the facts about its tags, and that images
//! that only resemble an application have no quit.

use std::collections::BTreeSet;

use prestop_core::catalogue::{
    Catalogue, FoundBy, ImagePattern, ImageReference, Presence, Profile, ProfileHook, Programs,
    QuitWhen, Role, Signal,
};

/// Lines with an image and the name of its profile.
const IMAGES: &str = include_str!("catalogue/images.txt");

/// `sha256:` and 64 digits, for pinned references.
const DIGEST: &str = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn table() -> Vec<(&'static str, Option<&'static str>)> {
    let lines = IMAGES.lines().map(str::trim);
    lines
        .filter(|line| !line.is_empty() && !line.starts_with("# "))
        .map(|line| {
            let (image, profile) = line.split_once(char::is_whitespace).expect(line);
            let profile = profile.trim();
            (image, (profile != "-").then_some(profile))
        })
        .collect()
}

fn profile_of(image: &str) -> Option<&'static Profile> {
    let image = ImageReference::parse(image)?;
    Catalogue::built_in().for_image(&image).map(|(profile, _)| profile)
}

/// Returns the result for an image's container according to the catalogue.
fn recommendation(image: &str) -> &'static str {
    let reference = ImageReference::parse(image).expect(image);
    let profile = profile_of(image).expect(image);
    let graceful = profile.stops_gracefully(reference.certain_tag());
    match &profile.hook {
        ProfileHook::LeaveAlone => "leave alone",
        ProfileHook::Delay => "delay",
        ProfileHook::Quit(quit) if graceful && quit.when == QuitWhen::Needed => "delay",
        ProfileHook::Quit(quit) if graceful && !quit.command.is_empty() => "quit",
        ProfileHook::Quit(_) => "quit and wait",
    }
}

#[test]
fn each_image_gets_its_profile() {
    let table = table();
    assert!(table.len() >= 300, "{} images", table.len());
    for (image, expected) in table {
        let found = profile_of(image).map(|profile| profile.name.as_str());
        assert_eq!(found, expected, "{image}");
    }
}

#[test]
fn every_profile_with_images_is_in_the_table() {
    let in_table: BTreeSet<_> = table().iter().filter_map(|(_, profile)| *profile).collect();
    let with_images: BTreeSet<_> = Catalogue::built_in()
        .profiles()
        .iter()
        .filter(|profile| !profile.images.is_empty())
        .map(|profile| profile.name.as_str())
        .collect();
    assert_eq!(in_table, with_images);
}

#[test]
fn no_pattern_is_shadowed_by_an_earlier_profile() {
    let catalogue = Catalogue::built_in();
    for profile in catalogue.profiles() {
        for pattern in &profile.images {
            let tag = profile.tag_patterns.first().map(|tag| format!(":{tag}"));
            let image = format!("mirror.local/shop/{pattern}{}", tag.unwrap_or_default());
            let image = image.replace('*', "x");
            let image = ImageReference::parse(&image).unwrap();
            let (found, _) = catalogue.for_image(&image).unwrap();
            assert_eq!(found.name, profile.name, "{pattern}");
        }
    }
}

#[test]
fn what_cannot_be_an_image_gets_nothing() {
    let long_name = "nginx".repeat(820);
    let long_path = "nginx/".repeat(680) + "nginx";
    let long_tag = format!("nginx:{}", "1".repeat(4096));
    let long_digest = format!("nginx@sha256:{}", "a".repeat(4096));
    let garbage = [
        "",
        " ",
        "nginx ",
        " nginx",
        "nginx\n",
        "nginx\0",
        "nginx:1 27",
        "ngınx",
        "nginx\u{301}",
        "\u{202e}xnign",
        &long_name,
        &long_path,
        &long_tag,
        &long_digest,
    ];
    for text in garbage {
        assert_eq!(profile_of(text), None, "{text:?}");
    }
}

#[test]
fn lookalikes_have_no_quit() {
    let lookalikes = [
        "nginx/nginx-prometheus-exporter",
        "nginx/nginx-ingress",
        "bitnami/nginx-ingress-controller",
        "registry.k8s.io/ingress-nginx/controller",
        "nginx/nginx-gateway-fabric",
        "oliver006/redis_exporter",
        "zalando/postgres-operator",
        "prometheuscommunity/pgbouncer-exporter",
        "jcmoraisjr/haproxy-ingress",
        "haproxytech/kubernetes-ingress",
        "haproxytech/haproxy-exporter",
        "shop/my-nginx-app",
    ];
    for image in lookalikes {
        let hook = profile_of(image).map(|profile| &profile.hook);
        assert!(!matches!(hook, Some(ProfileHook::Quit(_))), "{image}");
    }
}

#[test]
fn what_an_image_needs_depends_on_its_tag() {
    let cases = [
        ("nginx:1.15", "quit and wait"),
        ("nginx:1.17.10", "quit and wait"),
        ("nginx:1.18.0", "quit and wait"),
        ("nginx:1.19.4", "quit and wait"),
        ("nginx:1.19.5", "quit"),
        ("nginx:1.19", "quit and wait"),
        ("nginx:1", "quit and wait"),
        ("nginx:1.27-alpine", "quit"),
        ("nginx:1.27.3", "quit"),
        ("nginx:latest", "quit and wait"),
        ("nginx", "quit and wait"),
        ("nginx:20240101", "quit and wait"),
        ("mirror.local/x/nginx:1.27", "quit and wait"),
        ("nginxinc/nginx-unprivileged:1.19.5", "quit and wait"),
        ("nginxinc/nginx-unprivileged:1.27", "quit"),
        ("bitnami/nginx:1.27.3-debian-12-r0", "quit and wait"),
        ("bitnami/nginx:1.28.0", "quit and wait"),
        ("bitnami/nginx:1.29.1-debian-12-r0", "quit"),
        ("bitnamisecure/nginx:latest", "quit and wait"),
        ("openresty/openresty:1.13.6.2", "quit and wait"),
        ("openresty/openresty:1.15.8.1-alpine", "quit"),
        ("openresty/openresty:alpine", "quit and wait"),
        ("cgr.dev/chainguard/nginx", "delay"),
        ("kong:3.9", "delay"),
        ("kong:1.2", "delay"),
        ("kong:1.1", "quit and wait"),
        ("kong:0.14.1-alpine", "quit and wait"),
        ("kong:latest", "quit and wait"),
        ("bitnami/kong:3.9.0", "quit and wait"),
        ("nginx:1.9", "quit and wait"),
        ("arm64v8/nginx:1.15", "quit and wait"),
        ("dhi.io/nginx:1.31-debian13", "quit and wait"),
        ("ubi8/nginx-116:1-75", "quit and wait"),
        ("quay.io/fedora/nginx-126", "delay"),
        ("httpd:2.4.39", "quit and wait"),
        ("httpd:2.4.41", "quit and wait"),
        ("httpd:2.4.43", "delay"),
        ("httpd:2.4.62-alpine", "delay"),
        ("httpd:2.4", "quit and wait"),
        ("httpd:latest", "quit and wait"),
        ("shop/httpd:2.4.62", "quit and wait"),
        ("bitnami/apache:2.4.59", "quit and wait"),
        ("ubi9/httpd-24:1-325", "quit and wait"),
        ("quay.io/fedora/httpd-24:2.4", "quit and wait"),
        ("centos/httpd-24-centos7", "quit and wait"),
        ("dhi.io/httpd:2.4", "delay"),
        ("dhi.io/haproxy:3.4", "quit and wait"),
        ("haproxy:1.8.30", "quit and wait"),
        ("haproxy:1.9", "delay"),
        ("haproxy:3.2-alpine", "delay"),
        ("haproxy:latest", "quit and wait"),
        ("haproxytech/haproxy-alpine:3.2", "delay"),
        ("bitnami/haproxy:3.4.3", "quit and wait"),
        ("cgr.dev/chainguard/haproxy:3.2", "quit and wait"),
        ("sebp/lighttpd:1.4.76", "quit and wait"),
        ("postgres:17", "delay"),
        ("postgres:9.6", "delay"),
        ("postgres:9.4-alpine", "quit and wait"),
        ("rhel9/postgresql-15", "quit and wait"),
        ("bitnami/postgresql:17.2.0", "quit and wait"),
        ("cgr.dev/chainguard/postgres:17", "quit and wait"),
        ("edoburu/pgbouncer:v1.24.1-p1", "delay"),
        ("edoburu/pgbouncer:1.22.1-p0", "quit and wait"),
        ("edoburu/pgbouncer:latest", "quit and wait"),
        ("rabbitmq:4", "leave alone"),
        ("apache/kafka:4.0.0", "leave alone"),
        ("hashicorp/consul:1.20", "leave alone"),
    ];
    for (image, expected) in cases {
        assert_eq!(recommendation(image), expected, "{image}");
    }
}

#[test]
fn what_an_image_of_php_needs_depends_on_its_tag() {
    let cases = [
        ("ubi9/php-81:1", "quit and wait"),
        ("php:8.4-fpm", "delay"),
        ("php:7.1-fpm", "delay"),
        ("php:7.0-fpm", "quit and wait"),
        ("php:5.6-fpm-alpine", "quit and wait"),
        ("php:8.4", "delay"),
        ("php:8.4-apache", "delay"),
        ("php:7.4-apache-buster", "delay"),
        ("php:7.3-apache", "quit and wait"),
        ("php:7.3.13-apache", "delay"),
        ("php:7.3.5-apache", "quit and wait"),
        ("php:7.0-apache", "quit and wait"),
        ("php:5.6-apache", "quit and wait"),
        ("php:5-apache", "quit and wait"),
        ("php:apache", "quit and wait"),
        ("wordpress:4.9-php5.6-apache", "quit and wait"),
        ("wordpress:4.9-php5.6-fpm", "quit and wait"),
        ("wordpress:5.1.1", "quit and wait"),
        ("wordpress:php5.6-apache", "quit and wait"),
        ("wordpress:6.8-apache", "delay"),
        ("wordpress:6.8-php8.3", "delay"),
        ("wordpress:6.8-fpm", "delay"),
        ("wordpress:latest", "quit and wait"),
        ("nextcloud:13-apache", "quit and wait"),
        ("nextcloud:31", "delay"),
        ("drupal:8.5-apache", "quit and wait"),
        ("drupal:10.3", "delay"),
        ("drupal:7.59", "quit and wait"),
        ("joomla:3.9.3", "quit and wait"),
        ("joomla:5", "delay"),
        ("bitnami/wordpress:6.7.1", "quit and wait"),
        ("bitnami/php-fpm:8.4.4", "quit and wait"),
        ("cgr.dev/chainguard/php:latest-fpm", "delay"),
    ];
    for (image, expected) in cases {
        assert_eq!(recommendation(image), expected, "{image}");
    }
}

#[test]
fn a_digest_hides_the_version() {
    for name in ["nginx", "httpd", "haproxy", "openresty/openresty"] {
        for image in [
            format!("{name}@{DIGEST}"),
            format!("{name}:2.9.9@{DIGEST}"),
            format!("{name}:1.27.3@{DIGEST}"),
        ] {
            assert_eq!(recommendation(&image), "quit and wait", "{image}");
        }
    }
}

#[test]
fn stop_signals_are_known_by_tag() {
    let cases = [
        ("nginx:1.15", Some(("TERM", false))),
        ("nginx:1.18.0", None),
        ("nginx:1.19.4", Some(("TERM", false))),
        ("nginx:1.27", Some(("QUIT", true))),
        ("nginx:latest", None),
        ("httpd:2.4.39", Some(("TERM", false))),
        ("httpd:2.4.41", None),
        ("httpd:2.4.62", Some(("WINCH", true))),
        ("haproxy:3.2", Some(("USR1", true))),
        ("postgres:17", Some(("INT", false))),
        ("postgres:12.4", None),
        ("bitnami/postgresql:17", Some(("TERM", false))),
        ("php:8.4-fpm", Some(("QUIT", false))),
        ("php:7.0-fpm", Some(("TERM", false))),
        ("php:7.1.27-fpm", Some(("TERM", false))),
        ("php:7.1.28-fpm", None),
        ("php:5.6-apache", Some(("TERM", false))),
        ("php:7.0-apache", Some(("TERM", false))),
        ("php:8.3-apache", Some(("WINCH", true))),
        ("php:7.2-apache", None),
        ("php:7.0-cli", Some(("TERM", false))),
        ("wordpress:4.9-php5.6-apache", Some(("TERM", false))),
        ("wordpress:5.3", None),
        ("kong:1.1.2", Some(("TERM", false))),
        ("kong:1.2.0", Some(("QUIT", true))),
        ("kong:2.0.5-centos", Some(("QUIT", true))),
        ("dhi.io/nginx:1.31-debian13", Some(("TERM", false))),
        ("quay.io/fedora/httpd-24", Some(("TERM", false))),
        ("nginx:1.9.15", Some(("TERM", false))),
        ("nginx:1.12.0", None),
        ("postgres:9.4", Some(("TERM", false))),
        ("traefik:v3.3", Some(("TERM", true))),
        ("traefik:v1.7.34", Some(("TERM", true))),
        ("traefik:1.4", None),
        ("bitnami/nginx:1.25.5-debian-12-r0", Some(("TERM", false))),
        ("bitnami/nginx:1.28.0", None),
        ("bitnami/apache:2.4.69-debian-12-r0", Some(("TERM", false))),
        ("bitnami/php-fpm:8.5.10", Some(("TERM", false))),
        ("unit:1.34.2-php", Some(("TERM", false))),
        ("kumahq/kuma-dp:2.9.1", Some(("TERM", true))),
        ("kumahq/kuma-dp:1.6.0", None),
        ("jaegertracing/jaeger-agent:1.57", Some(("TERM", true))),
        ("jaegertracing/jaeger-agent:1.17", None),
        ("public.ecr.aws/xray/aws-xray-daemon:3.3.12", None),
        ("varnish:latest", Some(("TERM", false))),
    ];
    for (image, expected) in cases {
        let tag = ImageReference::parse(image).unwrap().certain_tag();
        let fact = profile_of(image).unwrap().stop_signal(tag);
        let fact = fact.map(|fact| (fact.signal.name(), fact.graceful));
        assert_eq!(fact, expected, "{image}");
    }
}

#[test]
fn a_build_number_or_a_date_is_no_version_that_stops_gracefully() {
    for profile in Catalogue::built_in().profiles() {
        if matches!(profile.hook, ProfileHook::Quit(_)) {
            for tag in [None, Some("latest"), Some("20240101"), Some("347-1")] {
                assert!(!profile.stops_gracefully(tag), "{} {tag:?}", profile.name);
            }
        }
    }
}

#[test]
fn the_nginx_family_quits_with_each_ones_own_program() {
    let cases = [
        ("nginx", "/usr/sbin/nginx"),
        ("nginxinc/nginx-unprivileged", "/usr/sbin/nginx"),
        ("bitnami/nginx", "/opt/bitnami/nginx/sbin/nginx"),
        ("openresty/openresty", "/usr/local/openresty/bin/openresty"),
        ("shop/nginx", "nginx"),
        ("shop/openresty", "openresty"),
        ("dhi.io/nginx", "nginx"),
        ("registry.k8s.io/nginx-slim:0.27", "nginx"),
    ];
    for (image, program) in cases {
        let ProfileHook::Quit(quit) = &profile_of(image).unwrap().hook else {
            panic!("{image} has no quit");
        };
        assert_eq!(quit.command, [program, "-s", "quit"], "{image}");
        assert_eq!(quit.signal.map(Signal::name), Some("QUIT"));
        assert_eq!(quit.when, QuitWhen::Always, "{image}");
        assert!(
            quit.process_names
                .iter()
                .all(|name| { ["nginx", "nginx-debug", "openresty"].contains(&name.as_str()) }),
            "{image}"
        );
    }
}

#[test]
fn sidecars_have_a_margin_and_no_quit() {
    for image in [
        "istio/proxyv2",
        "linkerd/proxy",
        "gcr.io/cloud-sql-connectors/cloud-sql-proxy",
        "hashicorp/vault",
        "fluent/fluent-bit",
        "datadog/agent",
        "envoyproxy/envoy:v1.33.0",
        "openshift-service-mesh/istio-proxyv2-rhel9:1.24",
        "gcr.io/linkerd-io/proxy:stable-2.7",
        "daprio/daprd:1.15",
        "kumahq/kuma-dp:2.9",
        "hashicorp/consul-dataplane:1.6",
        "jaegertracing/jaeger-agent:1.57",
        "otel/opentelemetry-collector-contrib:0.104.0",
        "fluent/fluentd:v1.17",
    ] {
        let profile = profile_of(image).unwrap();
        assert_eq!(profile.sidecar_margin_seconds, Some(5), "{image}");
        assert_eq!(profile.hook, ProfileHook::Delay, "{image}");
    }
    let proxy = profile_of("quay.io/oauth2-proxy/oauth2-proxy").unwrap();
    assert_eq!(proxy.sidecar_margin_seconds, None);
}

#[test]
fn programs_without_an_image_of_their_own_are_taken_by_name() {
    let catalogue = Catalogue::built_in();
    for name in ["uvicorn", "uwsgi", "puma", "spring-boot"] {
        let profile = catalogue.by_name(name).unwrap();
        assert!(profile.images.is_empty(), "{name}");
        assert_eq!(profile.hook, ProfileHook::Delay, "{name}");
    }
    for name in ["sidekiq", "celery"] {
        let hook = &catalogue.by_name(name).unwrap().hook;
        assert_eq!(*hook, ProfileHook::LeaveAlone, "{name}");
    }
    for (name, signal) in [("unicorn", "QUIT"), ("nats-lame-duck", "USR2")] {
        let profile = catalogue.by_name(name).unwrap();
        assert!(profile.images.is_empty(), "{name}");
        let ProfileHook::Quit(quit) = &profile.hook else {
            panic!("{name} has no quit");
        };
        assert_eq!(quit.signal.map(Signal::name), Some(signal));
    }
}

/// With backtracking, each of these would take longer than the age of the universe.
#[test]
fn hostile_names_and_patterns_are_decided() {
    let name = "a".repeat(1000);
    let image = ImageReference::parse(&name).unwrap();
    let many_stars = "*a".repeat(400);
    let cases = [
        (format!("{many_stars}*"), true),
        (many_stars.clone(), true),
        (format!("{many_stars}*b"), false),
        (format!("{many_stars}b*"), false),
        (format!("b{many_stars}"), false),
        ("*a".repeat(1001), false),
        ("*".repeat(4096), true),
        (format!("{}b", "*".repeat(4096)), false),
    ];
    for (pattern, expected) in cases {
        let parsed = pattern.parse::<ImagePattern>().unwrap();
        assert_eq!(parsed.matches(&image), expected, "{}", pattern.len());
    }
    let path = "a/".repeat(500) + "a";
    let path = ImageReference::parse(&path).unwrap();
    let deep = ("*/".repeat(600) + "*").parse::<ImagePattern>().unwrap();
    assert!(!deep.matches(&path));
}

fn found(name: &str, image: Option<&str>) -> Option<(&'static str, bool)> {
    let image = image.map(|image| ImageReference::parse(image).expect(image));
    let (profile, by) = Catalogue::built_in().for_container(name, image.as_ref())?;
    Some((profile.name.as_str(), by == FoundBy::ContainerName))
}

#[test]
fn sidecars_of_unknown_images_are_found_by_the_name_of_their_injector() {
    let names = [
        ("istio-proxy", "istio-proxy"),
        ("linkerd-proxy", "linkerd-proxy"),
        ("daprd", "dapr"),
        ("kuma-sidecar", "kuma-sidecar"),
        ("consul-dataplane", "consul-dataplane"),
        ("envoy-sidecar", "consul-dataplane"),
        ("cloud-sql-proxy", "cloud-sql-proxy"),
        ("cloudsql-proxy", "cloud-sql-proxy"),
        ("alloydb-auth-proxy", "cloud-sql-proxy"),
        ("vault-agent", "vault"),
        ("azwi-proxy", "azure-workload-identity-proxy"),
        ("otc-container", "otel-collector"),
        ("jaeger-agent", "jaeger-agent"),
        ("xray-daemon", "jaeger-agent"),
        ("datadog-agent-injected", "datadog-agent"),
        ("telegraf", "log-shippers"),
    ];
    for (name, profile) in names {
        for image in [None, Some("auto"), Some("mirror.local/mesh/sidecar:1")] {
            assert_eq!(found(name, image), Some((profile, true)), "{name} {image:?}");
        }
    }
    let all: BTreeSet<_> =
        Catalogue::built_in().profiles().iter().flat_map(|one| &one.container_names).collect();
    assert_eq!(all.len(), names.len());
}

#[test]
fn the_image_is_stronger_than_the_name() {
    assert_eq!(found("istio-proxy", Some("nginx:1.27")), Some(("nginx", false)));
    assert_eq!(found("istio-proxy", Some("istio/proxyv2:1.25")), Some(("istio-proxy", false)));
    for name in ["web", "istio-proxy-2", "ISTIO-PROXY", "proxy", ""] {
        assert_eq!(found(name, Some("shop/web:1")), None, "{name}");
        assert_eq!(found(name, None), None, "{name}");
    }
    // With a registry, a tag or a digest, it is an ordinary image.
    for image in ["auto:1", "shop/auto", "mirror.local/auto"] {
        assert!(!ImageReference::parse(image).unwrap().is_placeholder(), "{image}");
    }
}

#[test]
fn servers_have_their_place_among_those_of_a_pod() {
    let fronts = [
        "nginx:1.27",
        "shop/nginx",
        "bitnami/nginx",
        "dhi.io/nginx",
        "nginxinc/nginx-unprivileged",
        "openresty/openresty",
        "httpd:2.4",
        "quay.io/fedora/httpd-24",
        "caddy:2",
        "haproxy:3.2",
        "traefik:v3.3",
        "varnish:7.7",
        "kong:3.9",
        "registry.k8s.io/nginx-slim:0.27",
    ];
    for image in fronts {
        assert_eq!(profile_of(image).unwrap().role, Some(Role::Front), "{image}");
    }
    let backends = [
        "php:8.3-fpm",
        "php:5.6-fpm",
        "php:fpm-alpine",
        "wordpress:6.8-fpm",
        "bitnami/php-fpm:8.4",
        "cgr.dev/chainguard/php:latest-fpm",
        "dhi.io/php:8.4-fpm",
        "shop/php-fpm",
        "shop/app-fpm",
        "shop/php:8.3-fpm",
        "tomcat:11",
    ];
    for image in backends {
        assert_eq!(profile_of(image).unwrap().role, Some(Role::Backend), "{image}");
    }
    for image in ["istio/proxyv2", "postgres:17", "php:8.4-cli", "envoyproxy/envoy:v1.33.0"] {
        assert_eq!(profile_of(image).unwrap().role, None, "{image}");
    }
}

#[test]
fn php_fpm_is_known_under_the_names_of_distributions() {
    for image in ["php:7.0-fpm", "bitnami/php-fpm", "shop/php-fpm", "shop/app:1-fpm"] {
        let ProfileHook::Quit(quit) = &profile_of(image).unwrap().hook else {
            panic!("{image} has no quit");
        };
        assert_eq!(quit.process_names, ["php-fpm*"], "{image}");
    }
}

/// Lines with an image, its shell and its sleep.
const PROGRAMS: &str = include_str!("catalogue/programs.txt");

#[test]
fn which_programs_images_have() {
    let mut count = 0;
    let word = |presence| match presence {
        Presence::Present => "yes",
        Presence::Absent => "no",
        Presence::Unknown => "?",
    };
    for line in PROGRAMS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [image, shell, sleep] = words[..] else { panic!("{line}") };
        let reference = ImageReference::parse(image).expect(image);
        let Programs { shell: has_shell, sleep: has_sleep } =
            Catalogue::built_in().programs(&reference);
        assert_eq!((word(has_shell), word(has_sleep)), (shell, sleep), "{image}");
        count += 1;
    }
    assert!(count >= 90, "{count} images");
}

#[test]
fn no_fact_about_programs_is_shadowed_by_an_earlier_one() {
    let catalogue = Catalogue::built_in();
    for known in catalogue.all_programs() {
        for pattern in &known.images {
            let range = known.tags.as_ref().map(ToString::to_string);
            let version = range.map(|range| {
                let bound = range.split(',').next().unwrap().trim().to_owned();
                bound.strip_prefix(">=").map_or("0.1".to_owned(), ToOwned::to_owned)
            });
            let tag = known.tag_patterns.first().map(ToString::to_string).or(version);
            let tag = tag.map(|tag| format!(":{tag}")).unwrap_or_default();
            // In patterns with a registry, the registry comes first.
            let registry = pattern.to_string().split('/').next().unwrap().contains('.');
            let folder = if registry { "" } else { "mirror.local/" };
            let image = format!("{folder}{pattern}{tag}").replace('*', "x");
            let image = ImageReference::parse(&image).expect(&image);
            let found = catalogue.programs_of_images(&image).unwrap();
            assert_eq!(found.programs, known.programs, "{pattern}{tag}: {}", found.reason);
        }
    }
}

//! The proxy for requests to a cluster, determined as in kubectl: `proxy-url` of the kubeconfig,
//! regardless of the environment; otherwise `HTTPS_PROXY` (`HTTP_PROXY` for a cluster without TLS),
//! except for this machine and the names in `NO_PROXY`
//! (<https://pkg.go.dev/golang.org/x/net/http/httpproxy>).

use std::net::IpAddr;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

/// Returns the proxy, if there is one.
///
/// # Errors
/// When the configured value is not the address of a proxy.
pub(super) fn of(
    proxy_url: Option<&str>,
    cluster: &Uri,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<Option<Uri>, String> {
    if let Some(text) = proxy_url.filter(|text| !text.is_empty()) {
        return parse(text).map(Some).ok_or_else(|| wrong("proxy-url in the kubeconfig", text));
    }
    let first = |names: [&'static str; 2]| {
        let set = names.map(|name| Some((name, environment(name)?)));
        set.into_iter().flatten().find(|(_, text)| !text.is_empty())
    };
    let names = match cluster.scheme_str() {
        Some("http") => ["HTTP_PROXY", "http_proxy"],
        _ => ["HTTPS_PROXY", "https_proxy"],
    };
    let Some((name, text)) = first(names) else { return Ok(None) };
    let exceptions = first(["NO_PROXY", "no_proxy"]).map_or(String::new(), |(_, text)| text);
    if is_this_machine(cluster) || is_excepted(cluster, &exceptions) {
        return Ok(None);
    }
    parse(&text).map(Some).ok_or_else(|| wrong(name, &text))
}

/// Returns the address without user and password.
pub(super) fn printable(proxy: &Uri) -> String {
    let host = proxy.host().unwrap_or_default();
    let port = proxy.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}", proxy.scheme_str().unwrap_or_default())
}

fn parse(text: &str) -> Option<Uri> {
    // An address without a scheme is a proxy that speaks HTTP.
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    // kube lets the proxy resolve names in both cases.
    let text = text.replacen("socks5h://", "socks5://", 1);
    let proxy: Uri = text.parse().ok()?;
    let is_known = matches!(proxy.scheme_str(), Some("http" | "https" | "socks5"));
    (is_known && proxy.host().is_some()).then_some(proxy)
}

/// Returns the error message. Of the value, it contains only the scheme: the rest may have a
/// password.
fn wrong(name: &str, text: &str) -> String {
    let scheme = text.split_once("://").map(|(scheme, _)| format!(" with {scheme}://"));
    let scheme = scheme.unwrap_or_default();
    format!(
        "{name}{scheme} is no address of a proxy: write http://HOST:PORT, https://HOST:PORT or \
         socks5://HOST:PORT"
    )
}

fn is_this_machine(cluster: &Uri) -> bool {
    let host = cluster.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn is_excepted(cluster: &Uri, exceptions: &str) -> bool {
    // `*.example.com` and `.example.com` are the same; the port is ignored.
    let names: Vec<_> = exceptions.split(',').map(str::trim).map(plain).collect();
    let matcher = Matcher::builder().all("http://proxy").no(names.join(",")).build();
    matcher.intercept(cluster).is_none()
}

fn plain(name: &str) -> &str {
    let name = match name.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') && port.parse::<u16>().is_ok() => host,
        _ => name,
    };
    name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn via(proxy_url: Option<&str>, cluster: &str, set: &[(&str, &str)]) -> Option<String> {
        let environment = |name: &str| {
            set.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned())
        };
        let proxy = of(proxy_url, &cluster.parse().unwrap(), environment).unwrap();
        proxy.map(|proxy| printable(&proxy))
    }

    #[test]
    fn a_proxy_is_found_as_kubectl_finds_it() {
        let set =
            [("HTTPS_PROXY", "http://user:word@proxy:3128"), ("NO_PROXY", "10.0.0.0/8, .corp,")];
        let proxy = Some("http://proxy:3128".to_owned());
        assert_eq!(via(None, "https://example.com:6443", &set), proxy);
        assert_eq!(via(None, "https://192.0.2.1", &set), proxy);
        for direct in [
            "https://10.1.2.3:6443",
            "https://api.corp",
            "https://localhost:1",
            "https://127.0.0.2:6443",
            "https://[::1]:6443",
            "http://example.com",
        ] {
            assert_eq!(via(None, direct, &set), None, "{direct}");
        }
        // The proxy in the kubeconfig is for this cluster.
        let socks = Some("socks5://jump:1080".to_owned());
        for cluster in ["https://10.1.2.3:6443", "https://127.0.0.1:6443"] {
            assert_eq!(via(Some("socks5h://jump:1080"), cluster, &set), socks);
        }
        assert_eq!(via(Some(""), "https://example.com", &set), proxy);
        assert_eq!(via(None, "https://x.y", &[("https_proxy", "proxy:3128")]), proxy);
        assert_eq!(via(None, "http://x.y", &[("http_proxy", "proxy:3128")]), proxy);
        assert_eq!(via(None, "https://x.y", &[("HTTPS_PROXY", ""), ("ALL_PROXY", "a:1")]), None);
    }

    #[test]
    fn exceptions_are_read_in_every_usual_spelling() {
        for (exceptions, cluster, is_direct) in [
            ("*", "https://example.com", true),
            ("*.example.com", "https://api.example.com", true),
            ("example.com", "https://api.example.com", true),
            ("example.com:6443", "https://example.com:6443", true),
            ("example.com", "https://notexample.com", false),
            ("::1,fd00::/8", "https://[fd00::1]:6443", true),
            ("[::1],no/host, ,", "https://example.com", false),
        ] {
            let set = [("HTTPS_PROXY", "http://proxy"), ("no_proxy", exceptions)];
            assert_eq!(via(None, cluster, &set).is_none(), is_direct, "{exceptions} {cluster}");
        }
    }

    #[test]
    fn an_invalid_proxy_is_reported_without_its_password() {
        let cluster: Uri = "https://example.com".parse().unwrap();
        let said = of(Some("ftp://user:word@x"), &cluster, |_| None).unwrap_err();
        assert!(
            said.starts_with("proxy-url in the kubeconfig with ftp:// is no address"),
            "{said}"
        );
        assert!(!said.contains("word"), "{said}");
        let set = |name: &str| (name == "HTTPS_PROXY").then(|| "http://".to_owned());
        let said = of(None, &cluster, set).unwrap_err();
        assert!(said.starts_with("HTTPS_PROXY") && said.contains("http://HOST:PORT"), "{said}");
    }
}

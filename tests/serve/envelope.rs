//! Odd requests: paths, methods, headers, bodies that are not reviews, reviews of other objects.

use serde_json::{Value, json};

use prestop_test_support::process::Serve;
use prestop_test_support::wire::{Answer, Connection, body, head, pod, review};

/// Sends one request on its own connection, exactly as given.
fn raw(serve: &Serve, request: &str) -> Answer {
    let mut connection = Connection::open(serve);
    connection.send(request).unwrap();
    connection.answer().unwrap()
}

fn post(serve: &Serve, body: impl AsRef<[u8]>) -> Answer {
    Connection::open(serve).post(body)
}

/// Returns a review with one change.
fn changed(change: impl FnOnce(&mut Value)) -> Value {
    let mut review = review(&pod());
    change(&mut review);
    review
}

#[test]
fn only_posts_to_two_paths_are_reviews() {
    let serve = Serve::start(&[]);
    for path in ["/mutate", "/mutate/v1/pods", "/mutate?timeout=10s"] {
        let mut connection = Connection::open(&serve);
        connection.send(head(path, body().len()) + &String::from_utf8(body()).unwrap()).unwrap();
        assert!(connection.answer().unwrap().response().get("patch").is_some(), "{path}");
    }
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let answer = raw(&serve, &format!("{method} /mutate HTTP/1.1\r\nhost: x\r\n\r\n"));
        assert_eq!(answer.status, 405, "{method}");
        assert_eq!(answer.header("allow"), Some("post"));
    }
    for path in ["/", "/metrics", "/livez", "/readyz", "/mutate/", "/mutate/v1", "/validate"] {
        assert_eq!(raw(&serve, &head(path, 0)).status, 404, "{path}");
    }
    assert_eq!(serve.metric("prestop_refused_requests_total{status=\"405\"}"), 4);
    assert_eq!(serve.metric("prestop_refused_requests_total{status=\"404\"}"), 7);
    for path in ["/mutate", "/", "/metrics/x"] {
        assert_eq!(serve.get(path).0, 404, "administration {path}");
    }
}

#[test]
fn only_json_is_read() {
    let serve = Serve::start(&[]);
    let request = |headers: &str| {
        let length = body().len();
        let head = format!(
            "POST /mutate HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n"
        );
        raw(&serve, &(head + &String::from_utf8(body()).unwrap())).status
    };
    for (headers, status) in [
        ("", 415),
        ("content-type: text/plain\r\n", 415),
        ("content-type: application/yaml\r\n", 415),
        ("content-type: application/jsonp\r\n", 415),
        ("content-type: application/json\r\ncontent-encoding: gzip\r\n", 415),
        ("content-type: application/json\r\n", 200),
        ("content-type: application/json; charset=utf-8\r\n", 200),
        ("Content-Type: Application/JSON ;charset=UTF-8\r\n", 200),
        ("content-type: application/json\r\ncontent-encoding: identity\r\n", 200),
    ] {
        assert_eq!(request(headers), status, "{headers:?}");
    }
    assert!(serve.metric("prestop_refused_requests_total{status=\"415\"}") >= 5);
}

#[test]
fn what_is_no_review_is_refused_and_says_why() {
    let serve = Serve::start(&[]);
    let whole = String::from_utf8(body()).unwrap();
    let no_uid = |uid: Value| changed(|review| review["request"]["uid"] = uid).to_string();
    let mut cases: Vec<(Vec<u8>, &str)> = vec![
        (b"".to_vec(), "not JSON"),
        (b"hello".to_vec(), "not JSON"),
        (whole[..whole.len() / 2].into(), "not JSON"),
        (format!("\u{feff}{whole}").into(), "not JSON"),
        (format!("{whole} x").into(), "not JSON"),
        (whole.replace("\"shop\"", "\"\\ud800\"").into(), "not JSON"),
        (b"[]".to_vec(), "no request"),
        (b"\"x\"".to_vec(), "no request"),
        (b"null".to_vec(), "no request"),
        (b"1".to_vec(), "no request"),
        (b"{}".to_vec(), "no request"),
        (changed(|review| review["request"] = Value::Null).to_string().into(), "no request"),
        (changed(|review| review["request"] = json!([])).to_string().into(), "no request"),
        (no_uid(Value::Null).into(), "uid"),
        (no_uid(json!("")).into(), "uid"),
        (no_uid(json!(7)).into(), "uid"),
        (json!({"kind": "Pod"}).to_string().into(), "uid"),
    ];
    let mut invalid_utf8 = body();
    let place = whole.find("somebody").unwrap();
    invalid_utf8[place] = 0xff;
    cases.push((invalid_utf8, "not JSON"));
    let deep = "[".repeat(100_000);
    cases.push((deep.clone().into(), "not JSON"));
    cases.push((whole.replace("\"somebody\"", &deep).into(), "not JSON"));
    for (body, part) in &cases {
        let answer = post(&serve, body);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let shown = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_eq!(answer.status, 400, "{shown}: {text}");
        assert!(text.contains(part) && text.contains("send an AdmissionReview"), "{shown}: {text}");
    }
    assert_eq!(serve.metric("prestop_panics_total"), 0);
}

/// Fields that nothing depends on are skipped, so that a pod is not refused because of them.
#[test]
fn what_is_passed_over_may_be_anything() {
    let serve = Serve::start(&[]);
    let whole = String::from_utf8(body()).unwrap();
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    for odd in ["\"\\ud800\"", "1e400", "123456789012345678901234567890", &deep, "{\"a\":[null]}"] {
        let answer = post(&serve, whole.replace("\"somebody\"", odd));
        assert!(answer.response().get("patch").is_some(), "{}", &odd[..odd.len().min(30)]);
    }
    let extra = changed(|review| {
        review["unknown"] = json!({"a": [1]});
        review["response"] = json!({"uid": "x", "allowed": false});
        review["request"]["unknown"] = json!("x");
        review["request"]["object"]["spec"]["unknown"] = json!({});
    });
    assert!(post(&serve, extra.to_string()).response().get("patch").is_some());
    let no_user = changed(|review| {
        review["request"].as_object_mut().unwrap().remove("userInfo");
    });
    assert!(post(&serve, no_user.to_string()).response().get("patch").is_some());
}

#[test]
fn the_uid_is_echoed_exactly_and_the_last_one_counts() {
    let serve = Serve::start(&[]);
    let long = "x".repeat(10_000);
    for uid in [long.as_str(), "a\nb\u{1}\u{7f}", "\u{e4}\u{1f600}", "\"}{\\", " "] {
        let answer =
            post(&serve, changed(|review| review["request"]["uid"] = json!(uid)).to_string());
        assert_eq!(answer.response()["uid"], uid);
    }
    let whole = String::from_utf8(body()).unwrap();
    let twice = whole.replacen("\"uid\":", "\"uid\":\"first\",\"uid\":", 1);
    assert_eq!(post(&serve, twice).response()["uid"], "0df28fbd-5f5f-11e8-bc74-36e6bb280816");
    let requests =
        whole.replacen("\"request\":", "\"request\":{\"uid\":\"first\"},\"request\":", 1);
    assert_eq!(post(&serve, requests).response()["uid"], "0df28fbd-5f5f-11e8-bc74-36e6bb280816");
}

#[test]
fn each_version_is_answered_in_its_own() {
    let serve = Serve::start(&[]);
    for (version, answered, is_known) in [
        (json!("admission.k8s.io/v1"), "admission.k8s.io/v1", true),
        (json!("admission.k8s.io/v1beta1"), "admission.k8s.io/v1beta1", true),
        (json!("admission.k8s.io/v2"), "admission.k8s.io/v1", false),
        (json!("v1"), "admission.k8s.io/v1", false),
        (json!(null), "admission.k8s.io/v1", false),
        (json!(1), "admission.k8s.io/v1", false),
    ] {
        let answer =
            post(&serve, changed(|review| review["apiVersion"] = version.clone()).to_string());
        assert_eq!(answer.json()["apiVersion"], answered, "{version}");
        assert_eq!(answer.response().get("patch").is_some(), is_known, "{version}");
    }
    for kind in [json!("Pod"), json!(null), json!(1)] {
        let answer = post(&serve, changed(|review| review["kind"] = kind.clone()).to_string());
        assert_eq!(answer.patch(), Value::Null, "{kind}");
    }
}

#[test]
fn whatever_is_not_the_creation_of_a_pod_is_let_through() {
    let serve = Serve::start(&[]);
    let pods = json!({"group": "", "version": "v1", "resource": "pods"});
    let kind = |name: &str| json!({"group": "", "version": "v1", "kind": name});
    let cases: Vec<(&str, Value)> = vec![
        ("operation", json!("UPDATE")),
        ("operation", json!("DELETE")),
        ("operation", json!("CONNECT")),
        ("operation", json!("create")),
        ("operation", json!("PROXY")),
        ("operation", json!(null)),
        ("operation", json!(1)),
        ("subResource", json!("binding")),
        ("subResource", json!("eviction")),
        ("subResource", json!("ephemeralcontainers")),
        ("subResource", json!("status")),
        ("subResource", json!("resize")),
        ("subResource", json!(1)),
        ("kind", kind("Deployment")),
        ("kind", kind("ConfigMap")),
        ("kind", kind("Binding")),
        ("kind", json!({"group": "apps", "version": "v1", "kind": "Pod"})),
        ("kind", json!(null)),
        ("resource", json!({"group": "", "version": "v1", "resource": "services"})),
        ("resource", json!("pods")),
    ];
    for (field, value) in cases {
        let answer =
            post(&serve, changed(|review| review["request"][field] = value.clone()).to_string());
        let response = answer.response();
        assert_eq!(answer.patch(), Value::Null, "{field}: {value}");
        assert_eq!(
            response["auditAnnotations"]["reason"], "not-a-pod-creation",
            "{field}: {value}"
        );
        assert_eq!(response.get("warnings"), None, "{field}: {value}");
    }
    let deleted = changed(|review| {
        review["request"]["operation"] = json!("DELETE");
        review["request"]["oldObject"] = pod();
        review["request"]["object"] = Value::Null;
    });
    assert_eq!(post(&serve, deleted.to_string()).patch(), Value::Null);
    // The kind after the conversion counts, not that of the original request.
    let converted = changed(|review| {
        review["request"]["requestKind"] = kind("Other");
        review["request"]["resource"] = pods;
        review["request"]["subResource"] = json!("");
    });
    assert!(post(&serve, converted.to_string()).response().get("patch").is_some());
}

#[test]
fn a_creation_without_a_pod_is_reported() {
    let serve = Serve::start(&[]);
    for object in [
        json!(null),
        json!("pod"),
        json!([]),
        json!({}),
        json!({"kind": "Pod"}),
        json!({"spec": null}),
        json!({"spec": []}),
        json!({"spec": "x"}),
    ] {
        let answer = post(
            &serve,
            changed(|review| review["request"]["object"] = object.clone()).to_string(),
        );
        let response = answer.response();
        assert_eq!(answer.patch(), Value::Null, "{object}");
        assert_eq!(response["warnings"].as_array().unwrap().len(), 1, "{object}");
        assert_eq!(response["auditAnnotations"]["reason"], "not-a-pod", "{object}");
    }
}

#[test]
fn the_same_question_has_the_same_answer() {
    let serve = Serve::start(&[]);
    let mut connection = Connection::open(&serve);
    let first = connection.post(body()).body;
    assert_eq!(connection.post(body()).body, first);
    let dry = changed(|review| review["request"]["dryRun"] = json!(true)).to_string();
    assert_eq!(connection.post(dry).body, first);
    let named_by_the_server = changed(|review| {
        review["request"]["object"]["metadata"] = json!({"generateName": "web-"});
        review["request"].as_object_mut().unwrap().remove("name");
    });
    assert!(connection.post(named_by_the_server.to_string()).response().get("patch").is_some());
    let nameless = changed(|review| {
        review["request"]["object"]["metadata"] = json!({});
        review["request"].as_object_mut().unwrap().remove("name");
    });
    assert!(connection.post(nameless.to_string()).response().get("patch").is_some());
}

#[test]
fn a_timeout_that_cannot_be_read_is_passed_over() {
    let serve = Serve::start(&[]);
    for query in
        ["timeout=0s", "timeout=abc", "timeout=100h", "timeout=", "timeout", "", "timeout=2s"]
    {
        let mut connection = Connection::open(&serve);
        let text = String::from_utf8(body()).unwrap();
        connection.send(head(&format!("/mutate?{query}"), text.len()) + &text).unwrap();
        assert!(connection.answer().unwrap().response().get("patch").is_some(), "{query}");
    }
}

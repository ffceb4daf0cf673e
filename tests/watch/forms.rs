//! `JUnit`, pictures, hook reports, and the time limit of `--for`.

use super::*;

#[test]
fn junit_has_a_test_for_each_container_and_one_for_the_watch() {
    let api = FakeApi::start();
    api.apply(PODS, pod("web-1"));
    api.apply(PODS, pod("web-2"));
    let watch = Watch::synced(&api, &["-o", "junit", "--svg", "picture.svg"]);
    end(&api, "web-1", 137, 30);
    end(&api, "web-2", 0, 3);
    let picture = watch.file("picture.svg");
    // Nothing is printed before the end, so this waits until the removal of the pods has been seen.
    thread::sleep(std::time::Duration::from_millis(500));
    signal(watch.child.id(), "TERM");
    wait_until("the picture", || picture.exists());
    let svg = fs::read_to_string(&picture).unwrap();
    let Ended { status, out, .. } = watch.ended();
    assert_eq!(status, 1);
    let xml = out.join("\n");
    assert!(xml.contains(r#"<testsuites name="prestop watch" tests="3" failures="1""#), "{xml}");
    assert!(
        xml.contains(r#"<testsuite name="Deployment shop/web" tests="2" failures="1""#),
        "{xml}"
    );
    assert!(xml.contains(r#"<failure type="killed-at-grace-end""#), "{xml}");
    for row in ["deleted", "endpoint removed", "hook over", "exit"] {
        assert_eq!(svg.matches(&format!(">{row}</text>")).count(), 1, "{row}");
    }
    assert!(svg.contains("web-1 web: killed-at-grace-end"), "{svg}");
}

#[test]
fn reports_of_hooks_become_measured_advice() {
    let api = FakeApi::start();
    let names: Vec<_> = (0..12).map(|number| format!("web-{number}")).collect();
    api.fill(PODS, names.iter().map(|name| pod(name)));
    let watch = Watch::synced(&api, &["-o", "json"]);
    for (name, last) in names.iter().zip([3, 4, 7].into_iter().cycle()) {
        let mut ended = exited(deleted(pod(name)), 0, 10);
        let message =
            json!({"prestop": {"delay": 10, "last": last, "new": 40, "left": 0, "waited": 0}});
        ended["status"]["containerStatuses"][0]["state"]["terminated"]["message"] =
            json!(message.to_string());
        api.apply(PODS, ended);
        api.delete(PODS, name);
    }
    watch.wait_for(&["\"pod\":\"web-11\""]);
    let objects = objects(&watch.interrupt().out);
    let measured = objects.iter().find(|it| it["kind"] == "MeasuredDelay").unwrap();
    assert_eq!(measured["terminations"], 12);
    assert_eq!(measured["lastConnectionSeconds"], 7);
    assert_eq!(measured["enoughSeconds"], 9);
    assert_eq!(objects[0]["hook"]["report"]["delay"], 10);
    assert_eq!(objects[0]["hook"]["endedAfterSeconds"], 10.0);
}

#[test]
fn the_time_can_be_bounded() {
    let api = FakeApi::start();
    let Ended { status, out, .. } = Watch::start(&api, &["--for", "2s"]).ended();
    assert_eq!(status, 0);
    assert!(out.contains(&"no container was terminated".to_owned()), "{out:?}");
}

#[test]
fn wrong_arguments_are_refused() {
    let api = FakeApi::start();
    for (arguments, part) in [
        (&["--accept", "ended"][..], "no verdict is named"),
        (&["--until-rolled", "pod/x"], "KIND/NAME"),
        (&["--url", "https://web.shop"], "https is not supported"),
        (&["--rate", "5"], "--url"),
        (&["--url", "http://web.shop", "--rate", "1001"], "1001 is not in 1..=1000"),
        (&["--url", "http://web.shop", "--rate", "0"], "0 is not in 1..=1000"),
        (&["--url", "http://127.0.0.1:1", "--timeout", "61s"], "at most 1m"),
        (&["-A", "-n", "shop"], "cannot be used with"),
    ] {
        let Ended { status, told, .. } = Watch::start(&api, arguments).ended();
        assert_eq!(status, 2, "{arguments:?}");
        assert!(told.join("\n").contains(part), "{told:?}");
    }
}

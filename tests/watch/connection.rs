//! Watches that are cut, resource versions that are forgotten, API servers that are unavailable,
//! slow or closed to the user.

use std::time::Duration;

use super::*;

#[test]
fn a_watch_that_is_cut_goes_on_where_it_had_stopped() {
    let api = FakeApi::start();
    api.apply(PODS, pod("web-1"));
    let watch = Watch::synced(&api, &["-o", "json"]);
    api.cut();
    Watch::wait_for_watches(&api, 2);
    end(&api, "web-1", 0, 3);
    watch.wait_for(&["\"pod\":\"web-1\"", "ended-by-itself"]);
    let Ended { out, .. } = watch.interrupt();
    let objects = objects(&out);
    assert_eq!(objects.last().unwrap()["podsEndedUnseenInGaps"], 0, "{objects:#?}");
}

#[test]
fn what_ends_while_the_api_server_is_away_is_seen_when_it_is_back() {
    let api = FakeApi::start();
    api.apply(PODS, pod("web-1"));
    let watch = Watch::synced(&api, &[]);
    api.go_away();
    end(&api, "web-1", 0, 3);
    // Long enough for a failed attempt.
    thread::sleep(Duration::from_millis(600));
    api.come_back();
    watch.wait_for(&["shop/web-1 web", "[ended-by-itself]"]);
    let gap = watch.wait_for(&["[gap]"]);
    assert!(gap.contains("no connection to the API server for"), "{gap}");
    assert!(gap.contains("nothing was missed"), "{gap}");
    assert_eq!(watch.interrupt().status, 0);
}

#[test]
fn pods_that_vanish_while_versions_are_forgotten_are_reported_as_unseen() {
    let api = FakeApi::start();
    for name in ["web-1", "web-2", "web-3"] {
        api.apply(PODS, pod(name));
    }
    let watch = Watch::synced(&api, &[]);
    // The end of its container is known, but not yet its removal.
    api.apply(PODS, exited(deleted(pod("web-2")), 0, 3));
    end(&api, "web-0", 0, 3);
    watch.wait_for(&["shop/web-0 web"]);
    api.go_away();
    api.delete(PODS, "web-1");
    api.delete(PODS, "web-2");
    api.forget();
    api.come_back();
    let gap = watch.wait_for(&["[gap]"]);
    assert!(
        gap.contains("pods and events and endpoint slices were listed anew; 1 pod ended unseen"),
        "{gap}"
    );
    let unseen = watch.wait_for(&["[unseen]"]);
    assert!(unseen.contains("shop/web-1 web: vanished"), "{unseen}");
    watch.wait_for(&["shop/web-2 web", "[ended-by-itself]"]);
    let Ended { status, out, .. } = watch.interrupt();
    assert_eq!(status, 0);
    assert!(!out.iter().any(|line| line.contains("shop/web-3")), "{out:?}");
}

#[test]
fn bookmarks_carry_a_watch_over_versions_that_are_forgotten() {
    let api = FakeApi::start();
    api.apply(PODS, pod("web-1"));
    let watch = Watch::synced(&api, &["-o", "json"]);
    end(&api, "web-0", 0, 3);
    watch.wait_for(&["\"pod\":\"web-0\""]);
    for collection in [PODS, EVENTS, SLICES] {
        api.bookmark(collection, "Object");
    }
    // All watches have read the bookmarks when later changes arrive.
    end(&api, "web-5", 0, 3);
    api.apply(EVENTS, event("e", "web-5", "Killing", "web"));
    watch.wait_for(&["\"pod\":\"web-5\""]);
    let lists = |api: &FakeApi| {
        let requests = api.requests();
        requests.iter().filter(|it| it.contains("/pods?") && !it.contains("watch=")).count()
    };
    let before = lists(&api);
    api.cut();
    Watch::wait_for_watches(&api, 2);
    end(&api, "web-1", 0, 3);
    watch.wait_for(&["\"pod\":\"web-1\""]);
    assert_eq!(lists(&api), before);
    assert_eq!(watch.interrupt().status, 0);
}

#[test]
fn an_api_server_that_is_slow_at_the_start_is_waited_for() {
    let api = FakeApi::start();
    api.apply(PODS, pod("web-1"));
    api.be_slow(Duration::from_millis(1500));
    let watch = Watch::synced(&api, &[]);
    end(&api, "web-1", 0, 3);
    watch.wait_for(&["shop/web-1 web", "[ended-by-itself]"]);
    let Ended { status, out, .. } = watch.interrupt();
    assert_eq!(status, 0);
    assert!(!out.iter().any(|line| line.contains("[gap]")), "{out:?}");
}

#[test]
fn large_namespaces_are_read_page_by_page() {
    let api = FakeApi::start();
    api.fill(PODS, (0..1200).map(|number| pod(&format!("web-{number}"))));
    let watch = Watch::synced(&api, &[]);
    let pages = api
        .requests()
        .iter()
        .filter(|it| it.contains("/pods?") && it.contains("limit=500"))
        .count();
    assert_eq!(pages, 3);
    end(&api, "web-1199", 0, 3);
    watch.wait_for(&["shop/web-1199 web"]);
}

#[test]
fn a_right_that_is_missing_is_named() {
    for part in ["/pods", "/events", "/endpointslices"] {
        let api = FakeApi::start();
        api.forbid(part);
        let Ended { status, told, .. } = Watch::start(&api, &[]).ended();
        assert_eq!(status, 3);
        let told = told.join("\n");
        assert!(
            told.contains(part) && told.contains("is forbidden (403); needed are the rights"),
            "{told}"
        );
    }
}

#[test]
fn without_an_api_server_it_ends_with_3() {
    let api = FakeApi::start();
    api.go_away();
    let Ended { status, told, .. } = Watch::start(&api, &[]).ended();
    assert_eq!(status, 3);
    assert!(told[0].starts_with("error: http://127.0.0.1:"), "{told:?}");
}

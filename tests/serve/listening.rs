//! Addresses on which the server listens.

use std::net::{Ipv6Addr, TcpListener};
use std::process::Command;

use prestop_test_support::process::Serve;
use prestop_test_support::wire::{Connection, body};

/// Whether this machine has an IPv6 address; containers often have none.
fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// A port alone means every address: pods of IPv4, IPv6 and dual-stack clusters are all reachable.
#[test]
fn a_port_alone_is_ipv4_and_ipv6() {
    let mut serve =
        Serve::start(&["--listen", ":0", "--admin-listen", ":0", "--kubernetes-version", "1.37"]);
    let (reviews, administration) = (serve.address.port(), serve.administration.port());
    let mut hosts = vec!["127.0.0.1"];
    if has_ipv6() {
        hosts.push("[::1]");
        assert!(serve.address.ip().is_unspecified() && serve.address.is_ipv6());
    } else {
        println!("only IPv4 is tried: this machine has no IPv6");
    }
    for host in hosts {
        serve.address = format!("{host}:{reviews}").parse().unwrap();
        serve.administration = format!("{host}:{administration}").parse().unwrap();
        assert_eq!(serve.get("/readyz").0, 200, "{host}");
        assert_eq!(Connection::open(&serve).post(body()).response()["allowed"], true, "{host}");
    }
}

#[test]
fn what_is_no_address_is_refused_with_the_forms_there_are() {
    for flag in ["--listen", "--admin-listen"] {
        let output = Command::new(env!("CARGO_BIN_EXE_prestop"))
            .args(["serve", flag, "localhost:10250"])
            .output()
            .unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains("write :10250 for every address (IPv4 and IPv6)"), "{told}");
    }
}

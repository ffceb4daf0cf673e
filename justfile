# The same steps as .ci/run, one at a time. https://just.systems

# Everything that has to pass.
ci:
    .ci/run

test *arguments:
    cargo test --locked {{arguments}}

lint:
    cargo fmt --all -- --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    .ci/shell-scripts

# Tests that need root, servers, shells, promtool ...; `just packages` installs them on Debian.
test-tools *arguments:
    tests/tools/run {{arguments}}

packages:
    tests/tools/packages

# Tests of the chart and with a real API server of 1.37 or 1.33; builds it with Go the first time (six minutes).
control-plane version="1.37" *arguments:
    tests/control_plane/run {{version}} {{arguments}}

# Build with the oldest Rust that Cargo.toml names.
oldest-rust:
    tests/tools/oldest-rust

# What is made of the chart: README, schema, install.yaml.
chart:
    UPDATE_GENERATED=1 tests/control_plane/run 1.37 chart::

deny:
    tests/tools/dependencies

# The crates in the image's program (after `just image`) against the database of RustSec.
program-audit *program:
    tests/tools/program-audit {{program}}

# Write generated documents and golden results again; read the difference before you commit it.
update:
    UPDATE_GENERATED=1 cargo test --locked
    UPDATE_GENERATED=1 tests/control_plane/run 1.37 chart::

# More cases of each property than the default.
properties cases="100000":
    PROPTEST_CASES={{cases}} cargo test --locked --release properties

# A fuzz target with libFuzzer, until Ctrl-C (needs a nightly compiler and cargo-fuzz); docs/reliability.md names them.
fuzz target *options:
    fuzz/run {{target}} {{options}}

# Fuzz targets (all by default) with libFuzzer, 10,000,000 inputs or an hour each; the figures go into docs/reliability.md.
fuzz-all seconds="3600" jobs="1" *targets:
    UPDATE_GENERATED=1 fuzz/run --measure {{seconds}} {{jobs}} {{targets}}

# Tools for releases, at pinned versions: cargo-auditable, cargo-cyclonedx, actionlint, crane, helm, krew; and cosign, zig if named.
release-tools *tools:
    release/tools {{tools}}

# A whole release on this machine, with a registry on loopback; --real builds its programs (after `just image`).
release-try *arguments:
    release/try {{arguments}}

# Whether a release's program works here, under qemu-user or Wine if it is for another platform.
release-works target program:
    release/works {{target}} {{program}}

# Whether the sources compile for macOS (no Mac needed).
check-macos:
    release/tools zig
    release/check-macos

# Whether two builds in two folders give the same image (ten minutes).
release-reproducible:
    release/reproducible

# The program for one target: just release-program aarch64-unknown-linux-gnu programs/prestop
release-program target out:
    release/program {{target}} {{out}}

# Everything else that a release consists of, out of its programs.
release-assemble programs dist:
    release/assemble {{programs}} {{dist}}

# Push, sign and release; --dry-run prints the commands.
release-publish dist *arguments:
    release/publish {{dist}} {{arguments}}

# The licences of the crates, when Cargo.lock has changed.
notices:
    release/tools cargo-about
    release/notices

# actionlint on the workflows.
lint-workflows:
    release/tools actionlint
    release/lint-workflows

# Give the repository, its image and its chart to another owner: just set-owner acme/prestop
set-owner repository *arguments:
    release/set-owner {{repository}} {{arguments}}

# The image as an archive in target/image, without a container engine; its binary in an empty root (as root).
image:
    .ci/image

# A new cluster of kind: installing, load, outages, certificates, uninstalling (30 minutes).
e2e-kind *arguments:
    tests/e2e/kind {{arguments}}

# The same in a cluster of the scripts that PRESTOP_E2E_CLUSTER names, as root: installing, load, outages, certificates, uninstalling (30 minutes).
e2e *arguments:
    tests/e2e/run {{arguments}}

# Delays and holds behind load balancers that are 0, 20 and 45 s late, in the same cluster (17 minutes); `just e2e` has 20 s only.
e2e-late:
    PRESTOP_E2E_LAGS=0,20,45 tests/e2e/run late::

# Every application that can be installed here through a rollout, before and after (30 minutes, as root): docs/proof.md.
proof *arguments:
    tests/proof/run {{arguments}}

# Full size, with figures for docs/reliability.md. 3,000 hostile connections, 64 files, a full disk (six minutes, as root).
overload: (full-size "overload")

# The same: memory, files and latencies over hours of 500 reviews a second.
soak seconds="7200": (full-size "soak" "PRESTOP_SOAK_SECONDS=" + seconds)

# The same: 200 authorities and 2,000 certificates change under load; 200 writers at one Secret (20 minutes).
certificates: (full-size "rotations")
    PRESTOP_FULL_SIZE=1 tests/control_plane/run 1.37 many_replicas_that_start_at_once_agree --nocapture

# The same in the cluster of the scripts that PRESTOP_E2E_CLUSTER names, as root: everything breaks, pods are created.
chaos seconds="1800":
    PRESTOP_FULL_SIZE=1 UPDATE_GENERATED=1 PRESTOP_CHAOS_SECONDS={{seconds}} tests/e2e/run chaos::

# The same: from two older versions to this one and back, with three versions of the API server (15 minutes).
upgrades versions="1.30 1.33 1.37":
    tests/control_plane/older-versions "${CARGO_TARGET_DIR:-target}/older-versions"
    for version in {{versions}}; do PRESTOP_FULL_SIZE=1 PRESTOP_OLDER_VERSIONS="$(realpath "${CARGO_TARGET_DIR:-target}/older-versions")" tests/control_plane/run "$version" upgrade:: --nocapture; done

# Tests of this name with a release build of the program, at full size.
[private]
full-size name *environment:
    cargo build --release --locked
    PRESTOP_FULL_SIZE=1 PRESTOP_TEST_PROGRAM="$(realpath "${CARGO_TARGET_DIR:-target}/release/prestop")" env {{environment}} cargo test --locked --test prestop -- --ignored --nocapture --test-threads=1 {{name}}

# Everything that docs/performance.md compares, on a quiet machine; --quick to try it.
bench *arguments:
    bench/run run {{arguments}}

# How costs grow with containers, namespaces and requests.
bench-curves *arguments:
    bench/run curves {{arguments}}

# Pods created through a real API server, with and without prestop.
bench-api *arguments:
    tests/tools/install
    bench/run api {{arguments}}

# `prestop audit` over 10,000 Deployments with Services, beside kube-score.
bench-audit *arguments:
    cargo build --release --locked
    bench/audit {{arguments}}

# The table of docs/audit.md: what prestop, kube-score and checkov say of the same manifests.
audit-comparison:
    cargo build --locked
    bench/audit-comparison

# What may not get worse: instructions, allocations, size; --update writes the baseline.
bench-gate *arguments:
    bench/run gate {{arguments}}

# prestop's functions by their instructions for a request: small, large, huge or patched.
profile review="small":
    bench/run profile {{review}}

# Single steps, by time.
microbench:
    cargo bench --bench engine
    cargo bench --bench stream

# The commands of the documents, as they are written: documents docs/audit.md
documents *pages:
    .ci/documents {{pages}}

# The picture of docs/drain.md: hooks behind a load balancer that is 20 s late (40 s).
drain-picture:
    tests/drain/picture

# What a look at 10, 1,000 and 10,000 connections costs in each shell (two minutes).
hold-cost:
    tests/drain/cost

# The documents as a site: target/site/book/index.html. No network once mdbook is installed.
site:
    site/mdbook
    site/build

# Every page of it in headless Chromium at two widths; --pictures FOLDER leaves screenshots.
site-check *arguments:
    site/check {{arguments}}

# The pictures of the documents: docs/pod.svg and the others that site/pictures names.
pictures:
    site/pictures

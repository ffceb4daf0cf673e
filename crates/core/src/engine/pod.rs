//! The borrowed view of a pod: only the fields that decisions depend on, read in one pass. The view
//! is never written back, so fields that it does not contain can't be lost.

use std::ops::Deref;

use serde::Deserialize;

use super::front::ReadinessGates;
use super::own_timeout::is_of_a_timeout;
use super::settings::is_ours;
use crate::policy::Owner;
use crate::view::{self, Anything, FromJson, Items, Members, Shape, Text, view};

/// Limit for the number of containers; a pod with more is skipped. Real pods have a few; each
/// container of an artificial pod (`1` in the text) would take hundreds of bytes of memory.
pub const MOST_CONTAINERS: usize = 1_000;
/// Limit for the total number of items in the lists of all containers.
pub const MOST_ITEMS_OF_POD: usize = 16_384;
/// The annotation with which the kubelet marks the mirror pods of static pods.
pub(crate) const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";
/// Kubernetes' default for `periodSeconds` of a probe.
const DEFAULT_PROBE_PERIOD_SECONDS: i64 = 10;
/// Limit for the number of labels, and for the number of annotations, of the domain.
pub const MOST_OWN_KEYS: usize = 1_000;
/// Kubernetes' length limit for keys: 253 characters for a domain, a slash, and 63 for a name.
const LONGEST_KEY_BYTES: usize = 317;

view! {
    /// A pod, or the pod template of a workload.
    pub Pod {
        /// `metadata`.
        metadata: Metadata<'a> = "metadata",
        /// `spec`.
        spec: Spec<'a> = "spec",
    }
}

view! {
    /// A pod's metadata.
    pub Metadata {
        /// `name`; absent until the API server has generated one.
        name: Text<'a> = "name",
        /// `generateName`, the prefix from which the API server generates a name.
        generate_name: Text<'a> = "generateName",
        /// `labels`.
        labels: Keys<'a> = "labels",
        /// `annotations`.
        annotations: Keys<'a> = "annotations",
        /// `ownerReferences`.
        owner_references: Vec<Shape<OwnerReference<'a>>> = "ownerReferences",
        /// `deletionTimestamp`, of any type.
        deletion_timestamp: Anything = "deletionTimestamp",
    }
}

view! {
    /// One owner of a pod.
    pub OwnerReference {
        /// `apiVersion`.
        api_version: Text<'a> = "apiVersion",
        /// `kind`.
        kind: Text<'a> = "kind",
        /// `controller`.
        controller: bool = "controller",
    }
}

view! {
    /// A pod's spec.
    pub Spec {
        /// `containers`.
        containers: Containers<'a> = "containers",
        /// `initContainers`: the probes of native sidecars that continue while the pod stops.
        native_sidecars: NativeSidecars = "initContainers",
        /// `terminationGracePeriodSeconds`.
        grace_period_seconds: i64 = "terminationGracePeriodSeconds",
        /// `restartPolicy`.
        restart_policy: Text<'a> = "restartPolicy",
        /// `hostNetwork`.
        host_network: bool = "hostNetwork",
        /// `hostPID`.
        host_pid: bool = "hostPID",
        /// `shareProcessNamespace`.
        share_process_namespace: bool = "shareProcessNamespace",
        /// `os`.
        os: OperatingSystem<'a> = "os",
        /// `readinessGates`.
        readiness_gates: ReadinessGates = "readinessGates",
        /// `nodeSelector`.
        node_selector: NodeSelector<'a> = "nodeSelector",
    }
}

view! {
    /// `spec.os`.
    pub OperatingSystem {
        /// `name`.
        name: Text<'a> = "name",
    }
}

view! {
    /// `spec.nodeSelector`: only the operating system.
    pub NodeSelector {
        /// `kubernetes.io/os`.
        os: Text<'a> = "kubernetes.io/os",
    }
}

view! {
    /// A regular container.
    pub Container {
        /// `name`.
        name: Text<'a> = "name",
        /// `image`.
        image: Text<'a> = "image",
        /// `command`, which replaces the image's entry point.
        command: Arguments<'a> = "command",
        /// `args`, appended to `command` or to the image's entry point.
        args: Arguments<'a> = "args",
        /// `env`: only variables that set the time that applications may take to stop.
        env: Environment<'a> = "env",
        /// `lifecycle`.
        lifecycle: Lifecycle<'a> = "lifecycle",
        /// `livenessProbe`.
        liveness_probe: Probe<'a> = "livenessProbe",
        /// `startupProbe`.
        startup_probe: Probe<'a> = "startupProbe",
        /// `readinessProbe`.
        readiness_probe: ReadinessProbe<'a> = "readinessProbe",
        /// `terminationMessagePath`.
        termination_message_path: Text<'a> = "terminationMessagePath",
    }
}

view! {
    /// A readiness probe that makes connections. The kubelet continues it while a pod stops.
    pub ReadinessProbe {
        /// `periodSeconds`.
        period_seconds: i64 = "periodSeconds",
        /// `httpGet`, of any type.
        http_get: Anything = "httpGet",
        /// `tcpSocket`, of any type.
        tcp_socket: Anything = "tcpSocket",
        /// `grpc`, of any type.
        grpc: Anything = "grpc",
    }
}

view! {
    /// An init container: only the fields of a native sidecar.
    pub InitContainer {
        /// `restartPolicy`.
        restart_policy: Text<'a> = "restartPolicy",
        /// `readinessProbe`.
        readiness_probe: ReadinessProbe<'a> = "readinessProbe",
    }
}

view! {
    /// A probe: only its own grace period.
    pub Probe {
        /// `terminationGracePeriodSeconds`.
        grace_period_seconds: i64 = "terminationGracePeriodSeconds",
    }
}

view! {
    /// A container's lifecycle.
    pub Lifecycle {
        /// `preStop`.
        pre_stop: PreStop<'a> = "preStop",
        /// `postStart`, of any type.
        post_start: Anything = "postStart",
        /// `stopSignal`, which overrides the image's stop signal.
        stop_signal: Text<'a> = "stopSignal",
    }
}

view! {
    /// An existing hook.
    pub PreStop {
        /// `sleep`.
        sleep: Sleep<'a> = "sleep",
        /// `exec`.
        exec: Exec<'a> = "exec",
        /// `httpGet`, of any type.
        http_get: Anything = "httpGet",
        /// `tcpSocket`, of any type.
        tcp_socket: Anything = "tcpSocket",
    }
    + has_other_fields
}

view! {
    /// The native sleep action.
    pub Sleep {
        /// `seconds`.
        seconds: i64 = "seconds",
    }
    + has_other_fields
}

view! {
    /// A program that runs in the container.
    pub Exec {
        /// `command`.
        command: Arguments<'a> = "command",
    }
    + has_other_fields
}

view! {
    /// A variable of a container's environment.
    pub Variable {
        /// `name`.
        name: Text<'a> = "name",
        /// `value`; absent if the value is from another source.
        value: Text<'a> = "value",
    }
}

/// The periods, in seconds, of the readiness probes of native sidecars that make connections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NativeSidecars {
    probe_periods: Vec<i64>,
}

impl<'a> FromJson<'a> for NativeSidecars {
    fn from_items<I: Items<'a>>(place: &mut Shape<Self>, items: &mut I) -> Result<(), I::Error> {
        let mut sidecars = Self::default();
        let mut container: Shape<InitContainer<'_>> = Shape::Absent;
        while items.read(&mut container)? {
            if let Shape::Value(container) = &container
                && container.restart_policy.value().is_some_and(|policy| policy == "Always")
                && sidecars.probe_periods.len() < MOST_CONTAINERS
            {
                sidecars.probe_periods.extend(period(&container.readiness_probe));
            }
        }
        *place = Shape::Value(sidecars);
        Ok(())
    }
}

/// Returns the period of a probe that makes connections, in seconds.
fn period(probe: &Shape<ReadinessProbe<'_>>) -> Option<i64> {
    let probe = probe.value()?;
    let connects =
        [&probe.http_get, &probe.tcp_socket, &probe.grpc].into_iter().any(|kind| !kind.is_absent());
    let period = probe.period_seconds.value().copied().filter(|period| *period > 0);
    connects.then(|| period.unwrap_or(DEFAULT_PROBE_PERIOD_SECONDS))
}

/// A program's arguments.
pub type Arguments<'a> = Vec<Shape<Text<'a>>>;

/// The environment of a container: only the variables that matter to prestop.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Environment<'a>(pub Vec<Variable<'a>>);

impl<'a> FromJson<'a> for Environment<'a> {
    fn from_items<I: Items<'a>>(place: &mut Shape<Self>, items: &mut I) -> Result<(), I::Error> {
        let mut environment = Self::default();
        let mut next = Shape::Absent;
        while items.read(&mut next)? {
            if let Shape::Value(variable) = std::mem::take(&mut next)
                && is_known_variable(&variable)
            {
                environment.0.push(variable);
            }
        }
        *place = Shape::Value(environment);
        Ok(())
    }
}

fn is_known_variable(variable: &Variable<'_>) -> bool {
    variable.name.value().is_some_and(|name| is_of_a_timeout(name)) && !variable.value.is_wrong()
}

/// The regular containers of a pod, up to the limits.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Containers<'a> {
    list: Vec<Shape<Container<'a>>>,
    /// Whether there are more than [`MOST_CONTAINERS`], or more than [`MOST_ITEMS_OF_POD`] items in
    /// their lists, so that the rest was skipped.
    pub is_cut: bool,
}

/// Labels or annotations: the keys that matter to prestop, and the size of all of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keys<'a> {
    /// Keys of the domain `prestop.dev` and below, with their values, in the order of the source.
    pub ours: Vec<(Text<'a>, Shape<Text<'a>>)>,
    /// Whether `kubernetes.io/config.mirror` is present.
    pub is_mirror: bool,
    /// `kubectl.kubernetes.io/default-container`.
    pub default_container: Shape<Text<'a>>,
    /// Total size of all keys and values, which Kubernetes limits for annotations.
    pub bytes: usize,
    /// Whether there are more than [`MOST_OWN_KEYS`] keys of the domain, so that the rest was
    /// skipped.
    pub is_cut: bool,
}

impl<'a> Deref for Containers<'a> {
    type Target = [Shape<Container<'a>>];

    fn deref(&self) -> &Self::Target {
        &self.list
    }
}

impl<'a> FromJson<'a> for Containers<'a> {
    fn from_items<I: Items<'a>>(place: &mut Shape<Self>, items: &mut I) -> Result<(), I::Error> {
        let mut containers = Self::default();
        let mut items_of_pod = 0;
        while containers.list.len() < MOST_CONTAINERS && items_of_pod <= MOST_ITEMS_OF_POD {
            if !items.read_to(&mut containers.list)? {
                *place = Shape::Value(containers);
                return Ok(());
            }
            let last = containers.list.last().and_then(Shape::value);
            items_of_pod += last.map_or(0, Container::items);
        }
        while items.pass_over()? {
            containers.is_cut = true;
        }
        containers.is_cut |= items_of_pod > MOST_ITEMS_OF_POD;
        *place = Shape::Value(containers);
        Ok(())
    }
}

impl<'a> FromJson<'a> for Keys<'a> {
    fn from_members<M: Members<'a>>(
        place: &mut Shape<Self>,
        members: &mut M,
    ) -> Result<(), M::Error> {
        let mut keys = Self::default();
        while let Some(key) = members.next_key()? {
            let mut value: Shape<Text<'_>> = Shape::Absent;
            members.read(&mut value)?;
            let length = value.value().map_or(0, |text| text.len());
            keys.bytes += key.as_bytes().len() + length;
            match key.as_bytes() {
                name if name == MIRROR_ANNOTATION.as_bytes() => keys.is_mirror = true,
                b"kubectl.kubernetes.io/default-container" => keys.default_container = value,
                name if name.len() <= LONGEST_KEY_BYTES && is_ours(name) => {
                    if keys.ours.len() == MOST_OWN_KEYS {
                        keys.is_cut = true;
                        continue;
                    }
                    let key = key.into_text();
                    keys.ours.retain(|(known, _)| *known != key);
                    keys.ours.push((key, value));
                }
                _ => {}
            }
        }
        *place = Shape::Value(keys);
        Ok(())
    }
}

impl<'a> Pod<'a> {
    /// Parses a pod from JSON text.
    ///
    /// # Errors
    /// Returns an error only if the text is not JSON. JSON that is not a pod results in an empty
    /// view.
    pub fn from_json(text: &'a str) -> Result<Self, serde_json::Error> {
        view::read(text).map(Self::from_shape)
    }

    /// Reads a pod from a value, such as a workload's template.
    #[must_use]
    pub fn from_value(value: &'a serde_json::Value) -> Self {
        Shape::deserialize(value).map_or_else(|_| Self::default(), Self::from_shape)
    }

    fn from_shape(shape: Shape<Self>) -> Self {
        match shape {
            Shape::Value(pod) => pod,
            Shape::Absent | Shape::Wrong => Self::default(),
        }
    }

    /// Returns the controlling owner.
    #[must_use]
    pub fn owner(&self) -> Option<Owner<'_>> {
        let owners = self.metadata.value()?.owner_references.value()?;
        let owner = owners
            .iter()
            .filter_map(Shape::value)
            .find(|owner| owner.controller.value() == Some(&true))?;
        let api_version = owner.api_version.value().map_or("", AsRef::as_ref);
        Some(Owner::new(api_version, owner.kind.value()?))
    }
}

impl<'a> Spec<'a> {
    /// Returns the regular containers; none if the field is missing or has another type.
    #[must_use]
    pub fn containers(&self) -> &[Shape<Container<'a>>] {
        self.containers.value().map_or(&[], |containers| containers)
    }
}

impl Container<'_> {
    /// Returns whether the container has an empty `lifecycle`.
    #[must_use]
    pub fn has_empty_lifecycle(&self) -> bool {
        self.lifecycle.value().is_some_and(|lifecycle| {
            lifecycle.pre_stop.is_absent()
                && lifecycle.post_start.is_absent()
                && lifecycle.stop_signal.is_absent()
        })
    }

    /// Returns the total number of items in the container's lists.
    fn items(&self) -> usize {
        let hook = self.lifecycle.value().and_then(|lifecycle| lifecycle.pre_stop.value());
        let hook = hook.and_then(|hook| hook.exec.value()?.command.value());
        let lists = [self.command.value(), self.args.value(), hook];
        let variables = self.env.value().map_or(0, |environment| environment.0.len());
        lists.into_iter().flatten().map(Vec::len).sum::<usize>() + variables
    }
}

impl Spec<'_> {
    /// Returns whether the pod declares that it is for Windows.
    #[must_use]
    pub fn is_for_windows(&self) -> bool {
        let os = self.os.value().and_then(|os| os.name.value());
        let selector = self.node_selector.value().and_then(|selector| selector.os.value());
        [os, selector].into_iter().flatten().any(|name| name == "windows")
    }

    /// Returns whether the pod uses the network of its node.
    #[must_use]
    pub fn is_on_host_network(&self) -> bool {
        self.host_network.value() == Some(&true)
    }

    /// Iterates over the periods, in seconds, of the readiness probes that make connections: those
    /// of containers and native sidecars.
    pub fn probe_periods(&self) -> impl Iterator<Item = i64> {
        let containers = self.containers().iter().filter_map(Shape::value);
        let containers = containers.filter_map(|container| period(&container.readiness_probe));
        let sidecars = self.native_sidecars.value().into_iter();
        containers.chain(sidecars.flat_map(|sidecars| sidecars.probe_periods.iter().copied()))
    }

    /// Returns whether PID 1 of a container is its application, according to the settings of the
    /// pod.
    #[must_use]
    pub fn has_own_process_namespaces(&self) -> bool {
        self.host_pid.value() != Some(&true) && self.share_process_namespace.value() != Some(&true)
    }
}

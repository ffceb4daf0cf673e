//! The rules: one table of id, severity, sentence, advice and source. The ids are for scripts and
//! never change; `docs/audit.md` is generated from this table.

use std::fmt;

/// Texts and properties of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleText {
    /// Stable id, in lower case with dashes.
    pub id: &'static str,
    /// Severity of the rule's findings.
    pub severity: Severity,
    /// Objects that the rule's condition reads.
    pub needs: Needs,
    /// Why requests are dropped, in one sentence.
    pub sentence: &'static str,
    /// How to fix the finding.
    pub advice: &'static str,
    /// A link to the source.
    pub source: &'static str,
}

/// Severity of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Costs something, or is doubtful, but drops no requests by itself.
    Info,
    /// Requests are dropped in drains, scale-downs or behind certain fronts.
    Warning,
    /// Requests are dropped in ordinary rollouts.
    Error,
}

/// Objects that the condition of a rule reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// Only the workload and its namespace. Such rules also warn when a workload is applied.
    Alone,
    /// Other objects as well: fronts, budgets, autoscalers, nodes, running pods.
    Around,
}

/// Certainty of a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Certainty {
    /// Depends on something that is not in the input.
    Possible,
    /// Follows from the catalogue, or from figures that differ between installations.
    Likely,
    /// Follows from the specification of Kubernetes and the input.
    Certain,
}

macro_rules! rules {
    ($($(#[$doc:meta])* $name:ident = $id:literal, $severity:ident, $needs:ident, $sentence:literal, $advice:literal, $source:expr;)*) => {
        /// A rule.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[$doc])* $name,)*
        }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Id, severity, needs, sentence, advice and source.
            #[must_use]
            pub const fn text(self) -> RuleText {
                match self {
                    $(Self::$name => RuleText {
                        id: $id,
                        severity: Severity::$severity,
                        needs: Needs::$needs,
                        sentence: $sentence,
                        advice: $advice,
                        source: $source,
                    },)*
                }
            }
        }
    };
}

rules! {
    /// Nothing delays the stop signal.
    StopsAtOnce = "stops-at-once", Error, Alone,
        "The container gets its stop signal immediately, while load balancers and proxies still send new requests to the pod.",
        "Delay the stop signal: label the namespace prestop.dev/inject: enabled, or add a preStop hook that sleeps for as long as the fronts keep sending.",
        "https://github.com/kubernetes/kubernetes/issues/43576";
    /// The delay is shorter than its front needs.
    DelayTooShort = "delay-too-short", Warning, Around,
        "The delay is shorter than the time for which a front keeps sending requests.",
        "Make the delay as long as the front needs; prestop fronts shows each front of the workload.",
        "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/2106";
    /// The program of the hook is missing in the image.
    HookCannotStart = "hook-cannot-start", Error, Alone,
        "The image does not have the program that the hook runs: the hook fails, and the stop signal follows immediately.",
        "Use the native sleep action (sleep: {seconds: N}), or remove the hook and let prestop inject one.",
        "https://github.com/coredns/helm/issues/43";
    /// `preStop.tcpSocket`.
    TcpSocketHook = "tcp-socket-hook", Error, Alone,
        "Kubernetes accepts a tcpSocket hook but never runs it: the stop signal follows immediately.",
        "Replace it with a sleep, or remove it and let prestop inject a hook.",
        "https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/api/core/v1/types.go";
    /// A quit without a wait, so that the stop signal cuts it off.
    QuitWithoutWait = "quit-without-wait", Error, Alone,
        "The hook asks the application to finish and returns immediately: the stop signal follows and cuts off requests in flight.",
        "Annotate the pod template prestop.dev/own-hook: extend, so that prestop adds a delay and a wait; or add both to the hook; or remove the hook, so that prestop injects delay, quit and wait.",
        "https://github.com/kubernetes/kubernetes/issues/39170";
    /// A hook that ends the application immediately.
    HookIsNoDelay = "hook-is-no-delay", Warning, Alone,
        "The hook ends the application before the fronts have stopped sending, or drops its requests.",
        "Annotate the pod template prestop.dev/own-hook: extend, so that prestop adds the delay; or sleep before the command; or remove the hook and let prestop inject one.",
        "https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/";
    /// An `httpGet` hook that shuts the server down.
    HttpHookClosesPort = "http-hook-closes-port", Warning, Alone,
        "The path of the hook suggests that it shuts the server down: the port closes while new requests still arrive.",
        "Add a delay before it, and let the stop signal end the server; or remove the hook and let prestop inject one.",
        "https://docs.spring.io/spring-boot/api/rest/actuator/shutdown.html";
    /// `sleep` with a version of Kubernetes before 1.30.
    SleepNotKnown = "sleep-not-known", Error, Alone,
        "This version of Kubernetes does not support the sleep action: it drops the hook or refuses the pod.",
        "Run the image's own sleep (exec: {command: [sleep, N]}), or let prestop inject a form that this version supports.",
        "https://www.kubernetes.dev/resources/keps/3960/";
    /// The image drops its requests on the stop signal.
    HardStopSignal = "hard-stop-signal", Error, Alone,
        "The application drops the requests in flight on its stop signal.",
        "Let prestop inject the quit of the application's profile, or use a tag whose stop signal is graceful.",
        "https://nginx.org/en/docs/control.html";
    /// A shell that ignores the stop signal.
    ShellIsPid1 = "shell-is-pid-1", Error, Alone,
        "A shell is PID 1 and ignores the stop signal: the application is killed when the grace period ends, and its requests are lost.",
        "Start the last command of the script with exec.",
        "https://docs.docker.com/reference/dockerfile/#shell-form-entrypoint-example";
    /// `stopSignal` without `spec.os.name`.
    StopSignalNeedsOs = "stop-signal-needs-os", Warning, Alone,
        "The API server refuses a pod with lifecycle.stopSignal and without spec.os.name once it supports the field.",
        "Set spec.os.name: linux.",
        "https://www.kubernetes.dev/resources/keps/4960/";
    /// `stopSignal` with an API server that drops the field.
    StopSignalDropped = "stop-signal-dropped", Warning, Alone,
        "lifecycle.stopSignal is dropped silently where the feature gate ContainerStopSignals is off, which is the default: the container gets the stop signal of its image.",
        "Enable the feature gate in the API server and the kubelets, or let prestop inject the quit of the application's profile.",
        "https://www.kubernetes.dev/resources/keps/4960/";
    /// The hook takes the whole grace period.
    HookFillsGrace = "hook-fills-grace", Error, Alone,
        "The hook sleeps for the whole grace period: the application has 2 s to finish, then it is killed.",
        "Set terminationGracePeriodSeconds to at least the duration of the hook plus the longest request.",
        "https://github.com/Yelp/paasta/pull/3909";
    /// The grace period is shorter than the application's own timeout.
    GraceShorterThanApp = "grace-shorter-than-app", Warning, Alone,
        "The application may need more time to finish than the grace period leaves: it is killed, and its requests are lost.",
        "Set terminationGracePeriodSeconds to at least the duration of the hook plus the application's timeout.",
        "https://github.com/spring-projects/spring-boot/issues/26469";
    /// `terminationGracePeriodSeconds: 0`.
    GraceZero = "grace-zero", Error, Alone,
        "With a grace period of 0 the pod is killed immediately, and no hook runs.",
        "Set terminationGracePeriodSeconds to at least the delay plus the longest request.",
        "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-forced";
    /// The grace period is longer than node removal allows.
    GraceAboveLimit = "grace-above-limit", Warning, Alone,
        "Node removal limits the grace period: the cluster autoscaler to 10 minutes by default, Karpenter to terminationGracePeriod of the NodePool.",
        "Shorten the grace period, or raise --max-graceful-termination-sec of the cluster autoscaler or terminationGracePeriod of the NodePool.",
        "https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md";
    /// The grace period is longer than the notice of spot nodes.
    SpotWindow = "spot-window", Warning, Alone,
        "The grace period is longer than the notice that spot nodes get before they are removed.",
        "Shorten delay and requests to fit into the notice, or keep the workload off spot nodes.",
        "https://docs.cloud.google.com/kubernetes-engine/docs/concepts/spot-vms";
    /// A probe's grace period is shorter than the hook.
    ProbeGraceCutsHook = "probe-grace-cuts-hook", Warning, Alone,
        "The probe has a grace period that is shorter than the hook: when the probe fails, the hook is cut off.",
        "Raise or remove terminationGracePeriodSeconds of the probe.",
        "https://kubernetes.io/docs/concepts/workloads/pods/probes/#probe-level-terminationgraceperiodseconds";
    /// The strategy `Recreate`.
    Recreate = "recreate", Error, Alone,
        "The strategy Recreate stops all pods before it starts the first new one: there is an outage.",
        "Use RollingUpdate with maxUnavailable: 0.",
        "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#recreate-deployment";
    /// A rollout may stop all pods at the same time.
    AllAtOnce = "all-at-once", Error, Around,
        "A rollout may stop all pods at once: maxUnavailable is as large as the number of replicas.",
        "Set maxUnavailable: 0 and maxSurge: 1 (StatefulSets: maxUnavailable: 1 with two replicas or more).",
        "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-unavailable";
    /// A workload with one pod.
    SingleReplica = "single-replica", Warning, Around,
        "There is only one pod: an eviction stops it before another one is ready.",
        "Run two replicas and a PodDisruptionBudget.",
        "https://github.com/kubernetes/kubernetes/issues/66811";
    /// No `PodDisruptionBudget`.
    NoBudget = "no-budget", Warning, Around,
        "No PodDisruptionBudget selects the pods: a drain may evict all of them at once.",
        "Add a PodDisruptionBudget with maxUnavailable: 1.",
        "https://kubernetes.io/docs/tasks/run-application/configure-pdb/";
    /// A `PodDisruptionBudget` that allows no eviction.
    BudgetBlocks = "budget-blocks", Warning, Around,
        "The PodDisruptionBudget allows no eviction: drains block until somebody forces them, without hook and grace period.",
        "Set maxUnavailable: 1, or run more replicas than minAvailable.",
        "https://kubernetes.io/docs/concepts/workloads/pods/disruptions/";
    /// No readiness probe.
    NotReadyChecked = "not-ready-checked", Error, Alone,
        "No container has a readiness probe: a new pod gets requests before it listens, and the rollout continues and stops the old pods.",
        "Add a readinessProbe to the container that serves.",
        "https://kubernetes.io/docs/concepts/workloads/pods/probes/#readiness-probe";
    /// Load balancer registration is slower than the rollout.
    NewPodsTooEarly = "new-pods-too-early", Warning, Around,
        "The rollout continues as soon as a new pod is ready, but the load balancer sends to the pod only after registering it: for a time no target is healthy.",
        "AWS: label the namespace elbv2.k8s.aws/pod-readiness-gate-inject: enabled. Google Cloud: set minReadySeconds: 60.",
        "https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/deploy/pod_readiness_gate/";
    /// A Service with `publishNotReadyAddresses`.
    NeverWithdrawn = "never-withdrawn", Warning, Around,
        "A Service with publishNotReadyAddresses keeps sending to terminating pods until they are gone: no delay helps.",
        "Give clients a second Service without publishNotReadyAddresses.",
        "https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/endpointslice/utils.go";
    /// A traffic policy `Local`.
    LocalPolicy = "local-policy", Warning, Around,
        "With the traffic policy Local, requests that arrive at the pod's node are not forwarded to other nodes: the health check of the load balancer has to fail first.",
        "Make the delay longer than the health check's interval times its threshold, or use the traffic policy Cluster.",
        "https://github.com/kubernetes/enhancements/tree/master/keps/sig-network/1669-proxy-terminating-endpoints";
    /// A proxy that ends before the application.
    SidecarStopsFirst = "sidecar-stops-first", Error, Alone,
        "The proxy in the pod ends before the delay of the application is over: requests that still arrive fail, and the application loses its connections.",
        "Run the proxy as a native sidecar (an init container with restartPolicy: Always), give it a longer delay than the application, or let prestop inject one.",
        "https://github.com/istio/istio/issues/7136";
    /// A native sidecar with a hook that ends it.
    NativeSidecarQuits = "native-sidecar-quits", Error, Alone,
        "The hook of the native sidecar ends it as soon as the pod terminates, while the application still serves. Without the hook the kubelet stops it after the application.",
        "Remove the hook, or limit it to draining.",
        "https://www.kubernetes.dev/resources/keps/753/";
    /// An autoscaler that scales to zero.
    ScaleToZero = "scale-to-zero", Warning, Around,
        "The autoscaler may remove the last pod; a plain Service then has no endpoint.",
        "Set minReplicas: 2, or put an activator in front.",
        "https://kubernetes.io/docs/concepts/workloads/autoscaling/horizontal-pod-autoscale/";
    /// Clients use the pod on their node, for example by a host port.
    HostPort = "host-port", Info, Alone,
        "Clients that use the pod of their node, through a port of the node or internalTrafficPolicy Local, have no other pod while it is replaced, and are not notified.",
        "Behind internalTrafficPolicy Local: set maxSurge: 1 and maxUnavailable: 0. Two pods can't share a port of the node: put a load balancer with health checks in front, or let clients retry.",
        "https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#communicating-with-daemon-pods";
    /// A delay on a pod that gets no requests.
    WorkerWithDelay = "worker-with-delay", Info, Around,
        "No Service or other front sends requests to the pod: the delay only makes each stop slower.",
        "Annotate the pod template prestop.dev/delay: 0s, or remove the hook.",
        "https://github.com/zendesk/samson/pull/3479";
    /// Restarts in place, which run no hooks.
    InPlaceRestart = "in-place-restart", Info, Alone,
        "If all containers are restarted in place, the kubelet runs no preStop hook and ignores the grace period.",
        "There is no fix; use such restarts only for pods that get no requests.",
        "https://www.kubernetes.dev/resources/keps/5532/";
    /// Exec readiness probes with kubelets of 1.35.
    ExecReadinessFrozen = "exec-readiness-frozen", Info, Alone,
        "Kubelets of 1.35 stop exec readiness probes when the pod terminates: a probe can no longer take the pod out of traffic.",
        "Use an HTTP, TCP or gRPC probe, or newer kubelets.",
        "https://github.com/kubernetes/kubernetes/issues/140881";
    /// Pods that were created before their namespace was labelled.
    NotRolledYet = "not-rolled-yet", Warning, Around,
        "The namespace is labelled for injection, but some of its running pods are not injected: they drop requests when they stop.",
        "Restart the workload (kubectl rollout restart); if new pods have no prestop.dev/status either, prestop check says why.",
        "https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/kubectl_rollout_restart/";
    /// A later webhook changed what prestop injected.
    ChangedAfterUs = "changed-after-us", Warning, Around,
        "Another webhook changed the pod after prestop: the grace period no longer covers the hook.",
        "Exclude these pods from the other webhook's rule, or set its grace period to at least prestop's.",
        "https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy";
    /// An ignore that can't be used.
    IgnoreNotUsable = "ignore-not-usable", Warning, Alone,
        "The annotation audit.prestop.dev/ignore names a rule that does not exist, or gives no reason: it has no effect.",
        "Write rules with reasons: audit.prestop.dev/ignore: '{\"single-replica\": \"leader election\"}'.",
        concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/audit.md#ignoring-findings");
    /// An ignore without a matching finding.
    IgnoreStale = "ignore-stale", Info, Around,
        "The annotation audit.prestop.dev/ignore names a rule that has no finding here.",
        "Remove the rule from the annotation.",
        concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/audit.md#ignoring-findings");
}

impl Rule {
    /// Returns whether the rule matters only if something sends requests to the pod.
    #[must_use]
    pub const fn needs_requests(self) -> bool {
        !matches!(
            self,
            Self::SleepNotKnown
                | Self::StopSignalNeedsOs
                | Self::InPlaceRestart
                | Self::WorkerWithDelay
                | Self::BudgetBlocks
                | Self::IgnoreNotUsable
                | Self::IgnoreStale
        )
    }

    /// Returns a measurement of the rule's effect (`docs/proof.md`), if there is one.
    #[must_use]
    pub const fn measured(self) -> Option<&'static str> {
        match self {
            Self::StopsAtOnce => Some(
                "nginx:1.15 without a hook dropped 336 of 20,000 requests in a rolling update, a scale-down and a drain; with prestop's hook, none.",
            ),
            Self::QuitWithoutWait => Some(
                "nginx:1.15 with nothing but nginx -s quit as its hook dropped 318 of 20,000 requests, hardly fewer than without a hook; with prestop.dev/own-hook: extend, none.",
            ),
            Self::DelayTooShort => Some(
                "Behind a load balancer that is 20 s late, nginx:1.15 with a delay of 10 s dropped 6,678 of 52,630 requests; with a delay of 10s-2m, none.",
            ),
            _ => None,
        }
    }

    /// Returns whether the rule's findings are shown as warnings when a workload is applied.
    #[must_use]
    pub fn warns_at_apply(self) -> bool {
        let text = self.text();
        text.needs == Needs::Alone && text.severity > Severity::Info
    }

    /// Returns the rule with an id.
    #[must_use]
    pub fn by_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.text().id == id)
    }
}

impl Severity {
    /// The word in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl Certainty {
    /// The word in reports.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Possible => "possible",
            Self::Likely => "likely",
            Self::Certain => "certain",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

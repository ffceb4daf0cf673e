//! The rules: one table of id, severity, sentence, advice and source. The ids are for scripts and never
//! change; `docs/audit.md` is made from here.

use std::fmt;

/// What a rule says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuleText {
    /// Stable, lower case with dashes.
    pub id: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// What has to be read for it.
    pub needs: Needs,
    /// Why requests are dropped, one sentence.
    pub sentence: &'static str,
    /// What mends it.
    pub advice: &'static str,
    /// Where that is written.
    pub source: &'static str,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A cost, or a doubt.
    Info,
    /// Requests are dropped in drains, scale-downs or behind certain fronts.
    Warning,
    /// Requests are dropped in an ordinary rollout.
    Error,
}

/// What a rule has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Needs {
    /// The workload and its namespace: such rules also warn when a workload is applied.
    Alone,
    /// Other objects: what sends to the pods, budgets, autoscalers, nodes, running pods.
    Around,
}

/// How a finding is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Certainty {
    /// It depends on something that is not in the input.
    Possible,
    /// By the catalogue or by figures that differ between installations.
    Likely,
    /// By the specification and what is written.
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
    /// Nothing holds the stop signal back.
    StopsAtOnce = "stops-at-once", Error, Alone,
        "The container gets its stop signal at once, while everything in front of the pod still sends it new requests.",
        "Delay the stop signal: label the namespace prestop.dev/inject: enabled, or write a preStop hook that sleeps for as long as the fronts need.",
        "https://github.com/kubernetes/kubernetes/issues/43576";
    /// A delay that its front outlasts.
    DelayTooShort = "delay-too-short", Warning, Around,
        "The delay is shorter than the time for which the front goes on sending.",
        "Make the delay as long as the front needs; prestop fronts shows each front of the workload.",
        "https://github.com/kubernetes-sigs/aws-load-balancer-controller/issues/2106";
    /// The program of the hook is not in the image.
    HookCannotStart = "hook-cannot-start", Error, Alone,
        "The image does not have the program that the hook runs: the hook fails, and the stop signal follows at once.",
        "Use Kubernetes' own sleep action (sleep: {seconds: N}), or remove the hook and let prestop inject one.",
        "https://github.com/coredns/helm/issues/43";
    /// `preStop.tcpSocket`.
    TcpSocketHook = "tcp-socket-hook", Error, Alone,
        "Kubernetes accepts a tcpSocket hook and never runs it: the stop signal follows at once.",
        "Replace it with a sleep, or remove it and let prestop inject a hook.",
        "https://github.com/kubernetes/api/blob/master/core/v1/types.go";
    /// A quit that the stop signal cuts off.
    QuitWithoutWait = "quit-without-wait", Error, Alone,
        "The hook asks the application to finish and ends at once: the stop signal follows and cuts the requests in flight off.",
        "Annotate the pod template prestop.dev/own-hook: extend, and prestop adds delay and wait; or write both into the hook; or remove the hook, and prestop injects delay, quit and wait.",
        "https://github.com/kubernetes/kubernetes/issues/39170";
    /// A hook that ends the application at once.
    HookIsNoDelay = "hook-is-no-delay", Warning, Alone,
        "The hook ends the application before the fronts have stopped sending, or drops its requests.",
        "Annotate the pod template prestop.dev/own-hook: extend, and prestop adds the delay; or sleep before the command; or remove the hook and let prestop inject one.",
        "https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/";
    /// An `httpGet` that shuts the server down.
    HttpHookClosesPort = "http-hook-closes-port", Warning, Alone,
        "By its path the hook asks the server to shut down: the port closes while new requests still arrive.",
        "Delay first, and let the stop signal end the server; or remove the hook and let prestop inject one.",
        "https://docs.spring.io/spring-boot/api/rest/actuator/shutdown.html";
    /// `sleep` before Kubernetes 1.30.
    SleepNotKnown = "sleep-not-known", Error, Alone,
        "This version of Kubernetes does not know the sleep action: it drops the hook or refuses the pod.",
        "Run the image's own sleep (exec: {command: [sleep, N]}), or let prestop inject what the version knows.",
        "https://www.kubernetes.dev/resources/keps/3960/";
    /// The image drops its requests on its stop signal.
    HardStopSignal = "hard-stop-signal", Error, Alone,
        "The application drops the requests in flight on its stop signal.",
        "Let prestop inject the quit of the application's profile, or use a tag whose stop signal is graceful.",
        "https://github.com/docker-library/docs/tree/master/nginx";
    /// A shell that ignores the stop signal.
    ShellIsPid1 = "shell-is-pid-1", Error, Alone,
        "A shell is PID 1 and ignores the stop signal: the application is killed when the grace period ends, with its requests.",
        "Begin the last command of the script with exec.",
        "https://docs.docker.com/reference/dockerfile/#shell-form-entrypoint-example";
    /// `stopSignal` without `spec.os.name`.
    StopSignalNeedsOs = "stop-signal-needs-os", Warning, Alone,
        "The API server refuses a pod with lifecycle.stopSignal and without spec.os.name as soon as it knows the field.",
        "Set spec.os.name: linux.",
        "https://www.kubernetes.dev/resources/keps/4960/";
    /// `stopSignal` where the API server drops it.
    StopSignalDropped = "stop-signal-dropped", Warning, Alone,
        "lifecycle.stopSignal is dropped silently where the feature gate ContainerStopSignals is off, which is the default: the container gets the stop signal of its image.",
        "Turn the gate on in API server and kubelets, or let prestop inject the quit of the application's profile.",
        "https://www.kubernetes.dev/resources/keps/4960/";
    /// The hook leaves no time.
    HookFillsGrace = "hook-fills-grace", Error, Alone,
        "The hook sleeps for the whole grace period: the application has 2 s to finish, then it is killed.",
        "Make terminationGracePeriodSeconds as long as the hook and the longest request together.",
        "https://github.com/Yelp/paasta/pull/3909";
    /// The application's own timeout does not fit.
    GraceShorterThanApp = "grace-shorter-than-app", Warning, Alone,
        "The application may take longer to finish than the grace period leaves it: it is killed with its requests.",
        "Make terminationGracePeriodSeconds as long as the hook and the application's timeout together.",
        "https://github.com/spring-projects/spring-boot/issues/26469";
    /// `terminationGracePeriodSeconds: 0`.
    GraceZero = "grace-zero", Error, Alone,
        "With a grace period of 0 the pod is killed at once, and no hook runs.",
        "Set terminationGracePeriodSeconds to the longest request and the delay together.",
        "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-forced";
    /// More than node drains allow.
    GraceAboveLimit = "grace-above-limit", Warning, Alone,
        "Whoever removes the node cuts the grace period: the cluster autoscaler to 10 minutes unless it is told otherwise, Karpenter to terminationGracePeriod of the NodePool.",
        "Shorten the grace period, or raise --max-graceful-termination-sec of the cluster autoscaler or terminationGracePeriod of the NodePool.",
        "https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md";
    /// Spot nodes give less notice.
    SpotWindow = "spot-window", Warning, Alone,
        "Spot nodes disappear sooner after their notice than the grace period lasts.",
        "Make delay and requests fit into the notice, or keep the workload off spot nodes.",
        "https://cloud.google.com/kubernetes-engine/docs/concepts/spot-vms";
    /// A probe's grace period is shorter than the hook.
    ProbeGraceCutsHook = "probe-grace-cuts-hook", Warning, Alone,
        "When the probe fails, its own grace period ends before the hook does.",
        "Raise or remove terminationGracePeriodSeconds of the probe.",
        "https://kubernetes.io/docs/tasks/configure-pod-container/configure-liveness-readiness-startup-probes/#probe-level-terminationgraceperiodseconds";
    /// `Recreate`.
    Recreate = "recreate", Error, Alone,
        "The strategy Recreate stops all pods before it starts the first new one: nothing serves in between.",
        "Use RollingUpdate with maxUnavailable: 0.",
        "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#recreate-deployment";
    /// A rollout may take all pods at once.
    AllAtOnce = "all-at-once", Error, Around,
        "A rollout may stop all pods at once: maxUnavailable is as large as the number of replicas.",
        "Set maxUnavailable: 0 and maxSurge: 1 (StatefulSets: maxUnavailable: 1 with two replicas or more).",
        "https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#max-unavailable";
    /// One pod.
    SingleReplica = "single-replica", Warning, Around,
        "There is one pod: an eviction stops it before another one is ready.",
        "Run two replicas and a PodDisruptionBudget.",
        "https://github.com/kubernetes/kubernetes/issues/66811";
    /// No PDB.
    NoBudget = "no-budget", Warning, Around,
        "No PodDisruptionBudget selects the pods: a drain may evict all of them at once.",
        "Add a PodDisruptionBudget with maxUnavailable: 1.",
        "https://kubernetes.io/docs/tasks/run-application/configure-pdb/";
    /// A PDB that allows nothing.
    BudgetBlocks = "budget-blocks", Warning, Around,
        "The PodDisruptionBudget allows no eviction: drains wait, until somebody forces them past hook and grace period.",
        "Set maxUnavailable: 1, or run more replicas than minAvailable.",
        "https://kubernetes.io/docs/concepts/workloads/pods/disruptions/";
    /// No readiness probe.
    NotReadyChecked = "not-ready-checked", Error, Alone,
        "No container has a readiness probe: a new pod gets requests before it listens, and the rollout goes on to stop the old ones.",
        "Add a readinessProbe to the container that serves.",
        "https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/#readiness-probe";
    /// Load balancer registration is slower than the rollout.
    NewPodsTooEarly = "new-pods-too-early", Warning, Around,
        "The rollout goes on when a new pod is ready, and the load balancer sends to it only when it is registered: for a time no target is healthy.",
        "AWS: label the namespace elbv2.k8s.aws/pod-readiness-gate-inject: enabled. Google Cloud: set minReadySeconds: 60.",
        "https://kubernetes-sigs.github.io/aws-load-balancer-controller/latest/deploy/pod_readiness_gate/";
    /// `publishNotReadyAddresses`.
    NeverWithdrawn = "never-withdrawn", Warning, Around,
        "A Service with publishNotReadyAddresses goes on sending to terminating pods until they are gone: no delay helps.",
        "Use a second Service without publishNotReadyAddresses for clients.",
        "https://github.com/kubernetes/endpointslice/blob/master/utils.go";
    /// A traffic policy `Local`.
    LocalPolicy = "local-policy", Warning, Around,
        "With the traffic policy Local, requests that arrive at the pod's node go to no other one: the load balancer has to notice by its own health check first.",
        "Make the delay longer than the health check's interval times its threshold, or use the traffic policy Cluster.",
        "https://github.com/kubernetes/enhancements/tree/master/keps/sig-network/1669-proxy-terminating-endpoints";
    /// A proxy that ends before the application.
    SidecarStopsFirst = "sidecar-stops-first", Error, Alone,
        "The proxy in the pod ends before the application's delay does: requests that still arrive find nobody, and the application loses its connections.",
        "Run the proxy as a native sidecar (an init container with restartPolicy: Always), give it a longer delay than the application, or let prestop inject one.",
        "https://github.com/istio/istio/issues/36660";
    /// A native sidecar that is told to end.
    NativeSidecarQuits = "native-sidecar-quits", Error, Alone,
        "The hook of the native sidecar ends it as soon as the pod terminates, while the application still serves; the kubelet would stop it after the application by itself.",
        "Remove the hook, or let it only drain.",
        "https://www.kubernetes.dev/resources/keps/753/";
    /// An autoscaler that goes to zero.
    ScaleToZero = "scale-to-zero", Warning, Around,
        "The autoscaler may remove the last pod, and a plain Service has nobody to send to then.",
        "Set minReplicas: 2, or put an activator in front.",
        "https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/";
    /// Ports of the node.
    HostPort = "host-port", Info, Alone,
        "Clients that use the node's own pod, by a port of the node or by internalTrafficPolicy Local, have no other one while it is replaced, and are not told.",
        "Behind internalTrafficPolicy Local: set maxSurge: 1 and maxUnavailable: 0. Two pods can't share a port of the node: put a load balancer that checks health in front, or let clients try again.",
        "https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#communicating-with-daemon-pods";
    /// A delay for nothing.
    WorkerWithDelay = "worker-with-delay", Info, Around,
        "Nothing in the input sends requests to the pod: the delay only makes each stop slower.",
        "Annotate the pod template prestop.dev/delay: 0s, or remove the hook.",
        "https://github.com/zendesk/samson/pull/3477";
    /// Restarts without hooks.
    InPlaceRestart = "in-place-restart", Info, Alone,
        "When all containers are restarted in place, the kubelet runs no preStop hook and ignores the grace period.",
        "Nothing prevents it; keep such restarts for pods that nobody sends requests to.",
        "https://www.kubernetes.dev/resources/keps/5532/";
    /// Exec readiness with kubelets of 1.35.
    ExecReadinessFrozen = "exec-readiness-frozen", Info, Alone,
        "Kubelets of 1.35 break off exec readiness probes when the pod terminates: a probe can't take the pod out of traffic any more.",
        "Use an HTTP, TCP or gRPC probe, or newer kubelets.",
        "https://github.com/kubernetes/kubernetes/issues/140881";
    /// Pods that were created before their namespace was labelled.
    NotRolledYet = "not-rolled-yet", Warning, Around,
        "The namespace is labelled for injection, and pods that prestop has not injected are still running: they drop requests when they stop.",
        "Restart the workload (kubectl rollout restart); if new pods have no prestop.dev/status either, prestop check says why.",
        "https://kubernetes.io/docs/reference/kubectl/generated/kubectl_rollout/kubectl_rollout_restart/";
    /// A later webhook changed what prestop injected.
    ChangedAfterUs = "changed-after-us", Warning, Around,
        "Another webhook changed the pod after prestop: hook and grace period do not fit together any more.",
        "Exclude these pods from the other webhook's rule, or set its grace period to at least prestop's.",
        "https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#reinvocation-policy";
    /// An ignore that can't be used.
    IgnoreNotUsable = "ignore-not-usable", Warning, Alone,
        "The annotation audit.prestop.dev/ignore names a rule that does not exist or gives no reason: it ignores nothing.",
        "Write rules with reasons: audit.prestop.dev/ignore: '{\"single-replica\": \"leader election\"}'.",
        concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/audit.md#ignoring-findings");
    /// An ignore without a finding.
    IgnoreStale = "ignore-stale", Info, Around,
        "The annotation audit.prestop.dev/ignore ignores a finding that is not there.",
        "Remove the rule from the annotation.",
        concat!(env!("CARGO_PKG_REPOSITORY"), "/blob/main/docs/audit.md#ignoring-findings");
}

impl Rule {
    /// Whether it matters only where something sends requests to the pod.
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

    /// What was measured (`docs/proof.md`), where something was.
    #[must_use]
    pub const fn measured(self) -> Option<&'static str> {
        match self {
            Self::StopsAtOnce => Some(
                "nginx:1.15 without a hook dropped 336 of 20,000 requests in a rolling update, a scale-down and a drain; as prestop injects it, none.",
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

    /// Whether it is told to whoever applies a workload.
    #[must_use]
    pub fn warns_at_apply(self) -> bool {
        let text = self.text();
        text.needs == Needs::Alone && text.severity > Severity::Info
    }

    /// The rule of that id.
    #[must_use]
    pub fn by_id(id: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|rule| rule.text().id == id)
    }
}

impl Severity {
    /// As it is written.
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
    /// As it is written.
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

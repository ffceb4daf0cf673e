//! The format of the file. The JSON Schema is generated from these types, and decides what is
//! accepted. A missing field has its default from [`prestop_core::policy::Policy::built_in`]; the
//! defaults in the schema are for editors, and a test compares them.

use std::borrow::Cow;

use prestop_core::catalogue::Presence;
use prestop_core::policy::{
    HookReport, OWNER_KIND_PATTERN, OwnHookRule, OwnerKind, QuitPolicy, SleepAction,
};
use schemars::generate::{SchemaGenerator, SchemaSettings};
use schemars::transform::RecursiveTransform;
use schemars::{JsonSchema, Schema, json_schema};
use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::Spanned;

use super::audit::AuditSection;
use super::certificates::CertificatesSection;
use super::profiles::{AskedDelayText, DurationText, HoldEntry, ProfileEntry, ProgramsEntry};
use super::server::{LogSection, MetricsSection, ServerSection, TlsSection};

/// The configuration of prestop: defaults, limits and profiles for injected hooks, and settings of the server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(title = "prestop configuration")]
pub(super) struct ConfigurationFile {
    /// Version of this format.
    pub(super) api_version: ApiVersion,
    /// Kind of the file.
    pub(super) kind: Kind,
    /// Defaults, used if neither an annotation nor a profile sets a value.
    #[serde(default)]
    pub(super) defaults: DefaultsSection,
    /// Limits that no annotation can exceed.
    #[serde(default)]
    pub(super) limits: LimitsSection,
    /// Which images get the quit of their profile.
    #[serde(default)]
    #[schemars(with = "QuitSetting", extend("default" = "always"))]
    pub(super) quit: Option<QuitSetting>,
    /// Whether delays use the native `sleep` action of Kubernetes or the `sleep` program of the image.
    #[serde(default)]
    #[schemars(with = "SleepActionSetting", extend("default" = "auto"))]
    pub(super) sleep_action: Option<SleepActionSetting>,
    /// Whether the annotation `prestop.dev/quit-command` is allowed. It lets anyone who can create a
    /// pod choose a command that runs in the containers of that pod before they stop.
    #[serde(default)]
    #[schemars(with = "bool", extend("default" = true))]
    pub(super) allow_quit_command_annotation: Option<bool>,
    /// Kinds of owners whose pods are skipped unless labelled `prestop.dev/inject: enabled`. Kinds are
    /// written as in owner references, with or without their API group.
    #[serde(default)]
    #[schemars(
        with = "Vec<OwnerText>",
        extend("default" = ["Job", "DaemonSet"], "uniqueItems" = true)
    )]
    pub(super) skip_owners: Option<Vec<OwnerText>>,
    /// Custom profiles: facts about your images.
    #[serde(default)]
    #[schemars(with = "ProfilesSection")]
    pub(super) profiles: Option<ProfilesSection>,
    /// Which of your images have a shell and `sleep`; takes precedence over the built-in list.
    #[serde(default)]
    #[schemars(extend("default" = []))]
    pub(super) programs: Vec<ProgramsEntry>,
    /// Threads, draining and limits of `prestop serve`.
    #[serde(default)]
    pub(super) server: ServerSection,
    /// The TLS port of `prestop serve`.
    #[serde(default)]
    pub(super) tls: TlsSection,
    /// Log of `prestop serve`.
    #[serde(default)]
    pub(super) log: LogSection,
    /// Metrics of `prestop serve`.
    #[serde(default)]
    pub(super) metrics: MetricsSection,
    /// Certificates managed by the replicas of `prestop serve`.
    #[serde(default)]
    pub(super) certificates: CertificatesSection,
    /// Findings of `prestop audit`.
    #[serde(default)]
    pub(super) audit: AuditSection,
}

/// Versions of the format.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(super) enum ApiVersion {
    /// The first version; fields can change until `v1`.
    #[serde(rename = "prestop.dev/v1alpha1")]
    V1Alpha1,
}

/// Kinds of files.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
pub(super) enum Kind {
    /// This one.
    Configuration,
}

/// Defaults, used if neither an annotation nor a profile sets a value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct DefaultsSection {
    /// How long to delay the stop signal while endpoints are withdrawn. A range such as `10s-2m` ends
    /// when no new connections arrive, if the image has a shell; otherwise its upper bound is the
    /// delay. `auto` is the time for which the known load balancers, Ingresses and Gateways in front of
    /// a pod keep sending. Not above `limits.maximumDelay`. The chart sets `auto` with `fronts.watch`.
    #[serde(default)]
    #[schemars(with = "AskedDelayText", extend("default" = "10s"))]
    pub(super) delay: Option<AskedDelayText>,
    /// How long an application may take to finish after its quit. Default: the grace period of the pod.
    /// Not above `limits.maximumGracePeriod`.
    #[serde(default)]
    #[schemars(with = "DurationText")]
    pub(super) quit_timeout: Option<DurationText>,
    /// What to do with existing preStop hooks.
    #[serde(default)]
    #[schemars(with = "OwnHookSetting", extend("default" = "keep"))]
    pub(super) own_hook: Option<OwnHookSetting>,
    /// Whether unknown images have `/bin/sh` and `sleep`. Without a value this is not known.
    #[serde(default)]
    #[schemars(with = "ShellSetting")]
    pub(super) shell: Option<ShellSetting>,
    /// `connections`: hooks wait until no connection to a listening port of the pod is left, if the
    /// image has a shell, and at most for the time that the application has to finish.
    #[serde(default)]
    #[schemars(with = "HoldEntry", extend("default" = "none"))]
    pub(super) hold: Option<HoldEntry>,
    /// Whether hooks write a report into the container's termination message.
    #[serde(default)]
    #[schemars(with = "HookReportSetting", extend("default" = "none"))]
    pub(super) hook_report: Option<HookReportSetting>,
}

/// What to do with existing preStop hooks.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OwnHookSetting {
    /// Keep them unchanged.
    Keep,
    /// Extend them with a delay before, and a wait after a quit.
    Extend,
}

/// Whether images have a shell.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ShellSetting {
    /// They have `/bin/sh` and `sleep`.
    Present,
    /// They do not: no hook that needs them is injected.
    Absent,
}

/// Where hooks write a report.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum HookReportSetting {
    /// Nowhere.
    None,
    /// As one line of JSON in the container's termination message, if the image has a shell.
    TerminationMessage,
}

/// Limits that no annotation can exceed.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct LimitsSection {
    /// Longer delays are shortened to this. At most 1h, and below `maximumGracePeriod`. Default: 5m, or
    /// half of `maximumGracePeriod` if that is less.
    #[serde(default)]
    #[schemars(with = "DurationText", extend("default" = "5m"))]
    pub(super) maximum_delay: Option<DurationText>,
    /// Grace periods are not raised above this; pods that set a longer one keep it. 30s to 24h.
    #[serde(default)]
    #[schemars(with = "DurationText", extend("default" = "10m"))]
    pub(super) maximum_grace_period: Option<DurationText>,
}

/// Which images get their quit command.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum QuitSetting {
    /// Images whose profile has one.
    Always,
    /// Images that are not known to stop gracefully on their stop signal.
    WhenNeeded,
    /// No images: they get the delay only.
    Never,
}

/// Whether delays use the native `sleep` action of Kubernetes or the `sleep` program of the image.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SleepActionSetting {
    /// The action from Kubernetes 1.33 on; the program before, or if the version is not known.
    Auto,
    /// Always the action. API servers before Kubernetes 1.29 refuse such pods.
    Always,
    /// The program.
    Never,
}

/// A kind of owner in the file, with its position: `Job`, `Cluster.postgresql.cnpg.io`.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct OwnerText(pub(super) Spanned<String>);

impl JsonSchema for OwnerText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Owner".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "title": "a kind of owner such as Job, or with its API group Cluster.postgresql.cnpg.io",
            "type": "string",
            "pattern": OWNER_KIND_PATTERN,
            "examples": OwnerKind::KNOWN,
        })
    }
}

/// Custom profiles.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(super) struct ProfilesSection {
    /// What to do with the built-in profiles.
    #[serde(default)]
    #[schemars(with = "ProfilesMode", extend("default" = "extend"))]
    pub(super) mode: Option<ProfilesMode>,
    /// The profiles, in the order in which they are tried.
    pub(super) entries: Vec<ProfileEntry>,
}

/// What to do with the built-in profiles.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ProfilesMode {
    /// They are tried after the custom profiles. A custom profile replaces the built-in profile of the
    /// same name.
    #[default]
    Extend,
    /// They are dropped.
    Replace,
}

/// Returns the JSON Schema of the file: draft 2020-12, without references.
#[must_use]
pub fn json_schema() -> Value {
    let settings = SchemaSettings::draft2020_12()
        .with(|settings| settings.inline_subschemas = true)
        .with_transform(RecursiveTransform(tidy));
    let generator = settings.into_generator();
    generator.into_root_schema_for::<ConfigurationFile>().into()
}

fn tidy(schema: &mut Schema) {
    // Fields without a default have none in the schema, since `null` is never accepted.
    if schema.get("default").is_some_and(Value::is_null) {
        schema.remove("default");
    }
    // Comments are wrapped for the source, not for editors.
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description.replace('\n', " ");
    }
}

impl From<QuitSetting> for QuitPolicy {
    fn from(setting: QuitSetting) -> Self {
        match setting {
            QuitSetting::Always => Self::Always,
            QuitSetting::WhenNeeded => Self::WhenNeeded,
            QuitSetting::Never => Self::Never,
        }
    }
}

impl From<OwnHookSetting> for OwnHookRule {
    fn from(setting: OwnHookSetting) -> Self {
        match setting {
            OwnHookSetting::Keep => Self::Keep,
            OwnHookSetting::Extend => Self::Extend,
        }
    }
}

impl From<ShellSetting> for Presence {
    fn from(setting: ShellSetting) -> Self {
        match setting {
            ShellSetting::Present => Self::Present,
            ShellSetting::Absent => Self::Absent,
        }
    }
}

impl From<HookReportSetting> for HookReport {
    fn from(setting: HookReportSetting) -> Self {
        match setting {
            HookReportSetting::None => Self::None,
            HookReportSetting::TerminationMessage => Self::TerminationMessage,
        }
    }
}

impl From<SleepActionSetting> for SleepAction {
    fn from(setting: SleepActionSetting) -> Self {
        match setting {
            SleepActionSetting::Auto => Self::Auto,
            SleepActionSetting::Always => Self::Always,
            SleepActionSetting::Never => Self::Never,
        }
    }
}

//! `prestop certificates status`: shows the trusted CAs, the signing CA and the next steps.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::webhook::{self, Installed, NotFound};
use super::{Exit, tell};
use crate::cli::{CertificatesStatusArguments, ReadingForm};
use crate::cluster::api::objects::Secret;
use crate::cluster::api::{self, Api, Collection, failure};
use crate::cluster::certificates::outlook::outlook;
use crate::cluster::certificates::rotation::{Change, Published, Shared};
use crate::cluster::certificates::store::{GENERATION_ANNOTATION, STATE_KEY};
use crate::cluster::certificates::{Authority, Described, Invalid, certificates_in};

/// Version of the JSON form.
const FORM_VERSION: u32 = 1;
/// Time limit for the API server's answer.
const PATIENCE: Duration = Duration::from_secs(10);
const DAY_SECONDS: u64 = 86_400;

/// The state that was read from the cluster.
struct Seen {
    /// Time by the API server's clock, by which certificates are checked.
    now: SystemTime,
    webhook: String,
    bundle: String,
    /// The published generation.
    generation: Option<String>,
    /// The shared CA, or the reason why it can't be read.
    shared: Result<Shared, String>,
}

/// Prints the status.
pub(super) fn status(arguments: &CertificatesStatusArguments) -> anyhow::Result<Exit> {
    let runtime = Builder::new_current_thread().enable_all().build().context("threads")?;
    let seen = match runtime.block_on(read(arguments)) {
        Ok(seen) => seen,
        Err(error) => {
            tell(&format!("error: {error:#}"));
            return Ok(Exit::NoCluster);
        }
    };
    let mut out = io::stdout().lock();
    match arguments.output {
        ReadingForm::Json => writeln!(out, "{:#}", for_machines(&seen))?,
        ReadingForm::Text => write!(out, "{}", for_people(&seen))?,
    }
    Ok(Exit::Done)
}

async fn read(arguments: &CertificatesStatusArguments) -> anyhow::Result<Seen> {
    let target = api::target(&arguments.cluster.choice())?;
    let api = Api::new(target.client);
    let name = target.name;
    let date = timeout(PATIENCE, api.date()).await;
    let date = date.map_err(|_| anyhow!(failure::silent(&name, PATIENCE)))?;
    let date = date.map_err(|error| anyhow!("{name}: {}", failure::reason(&error)))?;
    let found = webhook::find(&api, arguments.webhook.as_deref()).await;
    let Installed { name, mut annotations, webhook } = found.map_err(|missing| {
        let advice = missing.advice();
        match missing {
            NotFound::Unseen(error) if !webhook::is_forbidden(&error) => {
                anyhow!("{name}: {}", failure::reason(&error))
            }
            missing => anyhow!("{missing}; {advice}"),
        }
    })?;
    let generation = annotations.remove(GENERATION_ANNOTATION);
    let client_config = webhook.client_config;
    let service_namespace = client_config.service.map(|service| service.namespace);
    let shared = match arguments.namespace.clone().or(service_namespace) {
        None => Err("the webhook has no Service; use --namespace NAME".to_owned()),
        Some(namespace) => {
            let secret = arguments.secret.clone().unwrap_or_else(|| format!("{name}-authority"));
            shared(&api, &namespace, &secret).await
        }
    };
    let bundle = String::from_utf8_lossy(&client_config.ca_bundle).into_owned();
    let now = date.unwrap_or_else(SystemTime::now);
    Ok(Seen { now, webhook: name, bundle, generation, shared })
}

async fn shared(api: &Api, namespace: &str, name: &str) -> Result<Shared, String> {
    let secret: Secret = match api.get(&Collection::secrets(namespace), name).await {
        Ok(Some(secret)) => secret,
        Ok(None) => {
            return Err(format!(
                "there is no Secret {namespace}/{name}: the certificates are not self-managed, or the Secret has another name (--secret NAME)"
            ));
        }
        Err(kube::Error::Api(status)) if status.code == 403 => {
            return Err(format!("you do not have the right to get the Secret {namespace}/{name}"));
        }
        Err(error) => return Err(failure::reason(&error)),
    };
    let Some(state) = secret.get(STATE_KEY) else {
        return Err(format!(
            "the Secret {namespace}/{name} is empty: no replica has filled it yet"
        ));
    };
    Shared::from_json(&state).map_err(|error| error.to_string())
}

fn for_people(seen: &Seen) -> String {
    let now = seen.now;
    let mut lines = Vec::new();
    let generation =
        seen.generation.as_deref().map_or(String::new(), |it| format!(", generation {it}"));
    lines.push(format!("trusted by API servers (caBundle of {}{generation}):", seen.webhook));
    let trusted = certificates_in(seen.bundle.as_bytes());
    if trusted.is_empty() {
        lines.push("  none: no call to prestop succeeds".to_owned());
    }
    lines.extend(trusted.iter().map(|known| format!("  {}", line(known, now))));
    match &seen.shared {
        Err(why) => lines.push(format!("\nthe shared CA: {why}")),
        Ok(shared) => {
            lines.push(format!("\nthe shared CA, generation {}:", shared.generation));
            lines.push(format!("  signs     {}", line_of(&shared.current, now)));
            if let Some(next) = &shared.next {
                let since = next.published_at.map_or_else(
                    || "not published yet".to_owned(),
                    |at| format!("published since {}", moment(at, now)),
                );
                lines.push(format!("  next      {}; {since}", line_of(&next.authority, now)));
            }
            lines.extend(shared.retired.iter().map(|retired| {
                let known = certificates_in(retired.certificate_pem.as_bytes());
                let serial = known.first().map_or("", |known| known.serial.as_str());
                format!("  retired   serial {serial}, trusted until {}", moment(retired.until, now))
            }));
            lines.push(if is_published(seen, shared) {
                "  published".to_owned()
            } else if is_older(seen, shared) {
                "  OLDER than the published one, as after restoring a backup; the next poll of a replica creates a new CA"
                    .to_owned()
            } else {
                "  NOT published in its current form; the next poll of a replica publishes it"
                    .to_owned()
            });
            lines.push("\nnext steps:".to_owned());
            lines.extend(coming(shared, now).iter().map(|(at, what)| format!("  {at}: {what}")));
        }
    }
    lines.join("\n") + "\n"
}

fn for_machines(seen: &Seen) -> Value {
    let now = seen.now;
    let described = |known: &Described| described(known, now);
    let described_authority = |authority: &Authority| {
        certificates_in(authority.certificate_pem().as_bytes()).first().map(described)
    };
    let trusted: Vec<_> = certificates_in(seen.bundle.as_bytes()).iter().map(described).collect();
    let mut status = json!({
        "version": FORM_VERSION, "webhook": seen.webhook, "publishedGeneration": seen.generation,
        "trusted": trusted,
    });
    let authority = match &seen.shared {
        Err(why) => json!({"unknown": why}),
        Ok(shared) => json!({
            "generation": shared.generation,
            "isPublished": is_published(seen, shared),
            "signs": described_authority(&shared.current),
            "next": shared.next.as_ref().map(|next| json!({
                "certificate": described_authority(&next.authority),
                "publishedAt": next.published_at.map(stamp),
            })),
            "retired": shared.retired.iter().map(|retired| json!({
                "certificate": certificates_in(retired.certificate_pem.as_bytes()).first().map(described),
                "until": stamp(retired.until),
            })).collect::<Vec<_>>(),
            "coming": outlook(shared, now).iter().map(|coming| json!({
                "at": stamp(coming.at), "change": words(coming.change),
            })).collect::<Vec<_>>(),
        }),
    };
    if let Some(fields) = status.as_object_mut() {
        fields.insert("authority".to_owned(), authority);
    }
    status
}

/// Whether the CAs that API servers trust are those in the Secret, however the lines are wrapped.
fn is_published(seen: &Seen, shared: &Shared) -> bool {
    certificates_in(seen.bundle.as_bytes()) == certificates_in(shared.bundle().as_bytes())
}

/// Whether the Secret's state is older than the published one.
fn is_older(seen: &Seen, shared: &Shared) -> bool {
    let generation = seen.generation.as_ref().and_then(|text| text.parse().ok());
    shared.is_older(&Published { bundle: &seen.bundle, generation: generation.unwrap_or(0) })
}

fn coming(shared: &Shared, now: SystemTime) -> Vec<(String, String)> {
    let what = |change| {
        // The Secret was written by a version that did not record the overlap.
        let is_assumed = change == Change::Switch && shared.overlap.is_none();
        let condition = if is_assumed { ", if certificates.overlap is the default" } else { "" };
        format!("{}{condition}", words(change))
    };
    let coming = outlook(shared, now);
    coming.iter().map(|coming| (moment(coming.at, now), what(coming.change))).collect()
}

const fn words(change: Change) -> &'static str {
    match change {
        Change::Begin => "the first CA is created",
        Change::Prepare => "a successor is created and published; it does not sign yet",
        Change::Seen => "the successor is published; the overlap begins",
        Change::Switch => "the successor signs",
        Change::Retire => "a retired CA is no longer trusted",
        Change::Replace => "the CA is not valid: a new one is created",
    }
}

fn line_of(authority: &Authority, now: SystemTime) -> String {
    let known = certificates_in(authority.certificate_pem().as_bytes());
    known.first().map_or_else(String::new, |known| line(known, now))
}

fn line(known: &Described, now: SystemTime) -> String {
    let Described { subject, serial, validity } = known;
    let fault = match validity.fault(now) {
        None => "",
        Some(Invalid::NotYet) => ", NOT VALID YET",
        Some(Invalid::Ended) => ", EXPIRED",
    };
    format!(
        "{subject}, serial {serial}, from {} until {}{fault}",
        stamp(validity.not_before),
        moment(validity.not_after, now)
    )
}

fn described(known: &Described, now: SystemTime) -> Value {
    let Described { subject, serial, validity } = known;
    json!({
        "subject": subject, "serial": serial,
        "notBefore": stamp(validity.not_before), "notAfter": stamp(validity.not_after),
        "isValid": validity.holds(now),
    })
}

/// Formats a time as `2027-07-25T12:00:00Z (in 243 days)`.
fn moment(at: SystemTime, now: SystemTime) -> String {
    let distance = |seconds: u64| match seconds {
        0..3600 => format!("{} minutes", seconds / 60),
        3600..172_800 => format!("{} hours", seconds / 3600),
        _ => format!("{} days", seconds / DAY_SECONDS),
    };
    let relation = match at.duration_since(now) {
        Ok(left) => format!("in {}", distance(left.as_secs())),
        Err(over) => format!("{} ago", distance(over.duration().as_secs())),
    };
    format!("{} ({relation})", stamp(at))
}

/// Formats a time by RFC 3339, in UTC and whole seconds.
pub(super) fn stamp(at: SystemTime) -> String {
    let seconds = at.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let timestamp = i64::try_from(seconds).ok().and_then(|it| Timestamp::from_second(it).ok());
    timestamp.map_or_else(String::new, |timestamp| timestamp.to_string())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;
    use crate::cluster::certificates::rotation::Lifetimes;

    fn seen(now: SystemTime) -> Seen {
        let nobody = Published { bundle: "", generation: 0 };
        let shared =
            Shared::changed(None, Change::Begin, &nobody, now, &Lifetimes::default()).unwrap();
        Seen {
            now,
            webhook: "prestop".to_owned(),
            bundle: shared.bundle(),
            generation: Some("1".to_owned()),
            shared: Ok(shared),
        }
    }

    #[test]
    fn a_fresh_installation_is_shown_with_its_next_change() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let text = for_people(&seen(now));
        for part in [
            "trusted by API servers (caBundle of prestop, generation 1):\n  CN=prestop authority, serial ",
            "until 2028-01-15T08:00:00Z (in 365 days)",
            "published",
            "(in 243 days): a successor is created and published; it does not sign yet",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("NOT"), "{text}");
        let machines = for_machines(&seen(now)).to_string();
        assert!(!machines.contains("PRIVATE") && machines.contains("\"isPublished\":true"));
    }

    #[test]
    fn unpublished_and_unreadable_cas_are_reported() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let mut foreign = seen(now);
        foreign.bundle = String::new();
        let text = for_people(&foreign);
        assert!(text.contains("none: no call to prestop succeeds"), "{text}");
        assert!(text.contains("NOT published"), "{text}");
        foreign.shared = Err("you may not see it".to_owned());
        assert!(for_people(&foreign).contains("the shared CA: you may not see it"));
    }

    /// A wrong clock created a CA that becomes valid next year.
    #[test]
    fn invalid_certificates_are_reported() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let mut wrong = seen(now + Duration::from_secs(300 * DAY_SECONDS));
        wrong.now = now;
        let text = for_people(&wrong);
        assert_eq!(text.matches(", NOT VALID YET").count(), 2, "{text}");
        assert!(text.contains("(in 0 minutes): the CA is not valid"), "{text}");
        assert!(for_machines(&wrong).to_string().contains("\"isValid\":false"));
        wrong.now = now + Duration::from_secs(900 * DAY_SECONDS);
        assert_eq!(for_people(&wrong).matches(", EXPIRED").count(), 2);
        wrong.generation = Some("7".to_owned());
        wrong.bundle = String::new();
        assert!(for_people(&wrong).contains("OLDER than the published one"));
    }

    /// The overlap in the Secret is the one that the replicas use.
    #[test]
    fn the_switch_is_shown_for_the_configured_overlap() {
        let now = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let lifetimes =
            Lifetimes { overlap: Duration::from_secs(5 * DAY_SECONDS), ..Lifetimes::default() };
        let mut seen = seen(now);
        for change in [Change::Prepare, Change::Seen] {
            let published = Published { bundle: "", generation: 0 };
            let shared = Shared::changed(seen.shared.ok(), change, &published, now, &lifetimes);
            seen.shared = Ok(Shared::from_json(shared.unwrap().to_json().as_bytes()).unwrap());
        }
        let text = for_people(&seen);
        assert!(text.contains("(in 5 days): the successor signs\n"), "{text}");
        // A Secret from a version that did not record the overlap.
        if let Ok(shared) = &mut seen.shared {
            shared.overlap = None;
        }
        let text = for_people(&seen);
        assert!(text.contains("(in 10 minutes): the successor signs, if certificates.overlap is"));
    }
}

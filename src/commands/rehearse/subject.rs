//! Reads a subject and a plan from arguments and a file; [`prestop_rehearsal::subject`] decides.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use anyhow::{Context, anyhow};
use prestop_core::policy::{NamespaceRule, Policy};
use prestop_manifest::Documents;
use prestop_rehearsal::plan::{Load, LongRequests, Plan};
use prestop_rehearsal::report::Subject;
use prestop_rehearsal::subject::{Chosen, Programs, Wish};
use serde_json::Value;

use crate::cli::RehearseArguments;
use crate::commands::{self, unopened};

/// Returns the policy of this rehearsal.
///
/// # Errors
/// When the configuration is invalid.
pub(super) fn policy(arguments: &RehearseArguments) -> anyhow::Result<Policy> {
    Ok(Policy {
        kubernetes_version: Some(arguments.kubernetes_version),
        namespaces: NamespaceRule::NotDisabled,
        ..commands::policy(arguments.config.as_deref())?
    })
}

/// Reads the manifest and decides.
///
/// # Errors
/// When it contains nothing that can be rehearsed.
pub(super) fn read(
    arguments: &RehearseArguments,
    policy: &Policy,
) -> anyhow::Result<(Subject, Plan)> {
    let values = values(&arguments.file)?;
    let (wanted, namespace) = (arguments.workload.as_deref(), arguments.namespace.as_str());
    let chosen = Chosen::choose(&values, &arguments.kinds, wanted, namespace)
        .map_err(|error| anyhow!("{}: {error}", arguments.file.display()))?;
    Ok(chosen.plan(&wish(arguments), policy)?)
}

fn values(path: &Path) -> anyhow::Result<Vec<Value>> {
    let reader: Box<dyn Read> = if path.as_os_str() == "-" {
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(path).map_err(|error| unopened(path, &error))?)
    };
    let documents = Documents::new(BufReader::new(reader));
    let values: Result<Vec<_>, _> = documents.map(|document| document?.read()).collect();
    let values = values.with_context(|| path.display().to_string())?;
    Ok(values.into_iter().flatten().map(|reading| reading.value).collect())
}

fn wish(arguments: &RehearseArguments) -> Wish {
    Wish {
        container: arguments.container.clone(),
        port: arguments.port,
        stop_signal: arguments.stop_signal,
        programs: if arguments.no_shell { Programs::None } else { Programs::Known },
        command: arguments.command.clone(),
        replicas: arguments.replicas,
        ready_timeout: arguments.ready_timeout.0,
        endpoint_delay: arguments.endpoint_delay,
        late_endpoints: arguments.late_endpoints,
        load: load(arguments),
    }
}

fn load(arguments: &RehearseArguments) -> Load {
    Load {
        rate_per_second: arguments.rate,
        least_requests: arguments.requests,
        seed: arguments.seed,
        path: arguments.path.clone(),
        long: arguments.long_path.clone().map(|path| LongRequests {
            path,
            takes: arguments.long_seconds.0,
            in_flight: arguments.long_in_flight,
        }),
        timeout: arguments.timeout.0,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::*;
    use crate::cli::{Cli, Command};

    /// Returns the subject in these objects; no server is started.
    fn subject(objects: &[Value]) -> Subject {
        planned(objects).0
    }

    fn planned(objects: &[Value]) -> (Subject, Plan) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        io::Write::write_all(&mut file, list.to_string().as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        let line = ["prestop", "rehearse", "-f", path, "--port", "80", "--", "true"];
        let Command::Rehearse(arguments) = Cli::parse_from(line).command else { panic!() };
        read(&arguments, &policy(&arguments).unwrap()).unwrap()
    }

    fn deployment(metadata: &Value) -> Value {
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata,
            "spec": {"selector": {}, "template": {"spec": {"containers": [
                {"name": "web", "image": "nginx:1.27"}]}}}})
    }

    #[test]
    fn settings_beside_the_template_are_noted_as_inject_reports_them() {
        let beside =
            deployment(&json!({"name": "web", "annotations": {"prestop.dev/delay": "2s"}}));
        let notes = subject(&[beside]).notes;
        assert_eq!(notes.len(), 1, "{notes:?}");
        assert!(notes[0].starts_with("Deployment web: "), "{notes:?}");
        assert!(notes[0].contains("misplaced"), "{notes:?}");
        assert!(subject(&[deployment(&json!({"name": "web"}))]).notes.is_empty());
    }

    /// The delay `auto` follows the Services in the same input, as in `inject`.
    #[test]
    fn fronts_of_the_input_decide_the_delay_auto() {
        let mut web = deployment(&json!({"name": "web"}));
        web["spec"]["template"]["metadata"] = json!({
            "labels": {"app": "web"}, "annotations": {"prestop.dev/delay": "auto"}});
        let service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "annotations": {
                "service.beta.kubernetes.io/aws-load-balancer-type": "nlb-ip"}},
            "spec": {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80}]}});
        let hook = |objects: &[Value]| {
            let runs = planned(objects).1.runs;
            format!("{:?}", runs.last().unwrap())
        };
        let (alone, behind) = (hook(&[web.clone()]), hook(&[service, web]));
        assert_ne!(alone, behind);
        // The longest time of such a load balancer.
        assert!(behind.contains("180") && !alone.contains("180"), "{behind}");
    }

    #[test]
    fn the_deployment_of_a_rollout_is_taken_for_it() {
        let rollout = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
            "metadata": {"name": "web"},
            "spec": {"workloadRef": {"kind": "Deployment", "name": "web"}}});
        let subject = subject(&[rollout, deployment(&json!({"name": "web"}))]);
        assert_eq!(subject.workload, "Deployment default/web");
    }

    #[test]
    fn an_object_that_inject_leaves_alone_is_noted() {
        let mut owned = deployment(&json!({"name": "web", "ownerReferences": [
            {"kind": "Shop", "controller": true}]}));
        let notes = subject(&[owned.clone()]).notes;
        assert!(notes[0].starts_with("Deployment web: owned: Another object"), "{notes:?}");
        owned["metadata"] = json!({"name": "web"});
        owned["spec"]["selector"] = Value::Null;
        assert!(subject(&[owned]).notes[0].contains("fragment"));
    }
}

//! Servers, treatments, and their objects.

use serde_json::{Value, json};

use crate::traffic::load::{self, Rates};
use crate::workloads::{Server, WORKLOAD, deployment, disruption_budget, service, template};

pub(crate) const REPLICAS: u32 = 2;
/// Rates of requests: nine clients share the machine with everything else.
pub(crate) const RATES: Rates =
    Rates { new: 60.0, kept_connections: 10, kept: 3.5, short: 4.0, long: 1.2 };

/// The annotations of the pods.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Treatment {
    /// No annotation: 10 s.
    Default,
    Range,
    RangeAndHold,
}

impl Treatment {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "`10s`",
            Self::Range => "`10s-2m`",
            Self::RangeAndHold => "`10s-2m`, `hold: connections`",
        }
    }

    fn annotations(self) -> Value {
        let range = json!({
            "prestop.dev/delay": "10s-2m", "prestop.dev/hook-report": "termination-message",
        });
        match self {
            Self::Default => json!({}),
            Self::Range => range,
            Self::RangeAndHold => {
                let mut both = range;
                both["prestop.dev/hold"] = json!("connections");
                both
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub(crate) server: Server,
    pub(crate) treatment: Treatment,
}

const fn cell(server: Server, treatment: Treatment) -> Cell {
    Cell { server, treatment }
}

pub(crate) const CELLS: [Cell; 9] = [
    cell(Server::Nginx115, Treatment::Default),
    cell(Server::Nginx115, Treatment::Range),
    cell(Server::Nginx115, Treatment::RangeAndHold),
    cell(Server::Nginx127, Treatment::Default),
    cell(Server::Nginx127, Treatment::Range),
    cell(Server::Nginx127, Treatment::RangeAndHold),
    cell(Server::NaiveWithShell, Treatment::Default),
    cell(Server::NaiveWithShell, Treatment::Range),
    cell(Server::NaiveWithShell, Treatment::RangeAndHold),
];

impl Cell {
    /// Returns the name of its objects, and the label `app` of its pods.
    pub(crate) fn name(self) -> String {
        format!("{:?}-{:?}", self.server, self.treatment).to_lowercase()
    }

    /// Returns Deployment, Service and disruption budget.
    pub(crate) fn objects(self, namespace: &str) -> [Value; 3] {
        let name = self.name();
        let mut template = template(self.server, &Value::Null);
        template["metadata"]["labels"]["app"] = json!(name);
        template["metadata"]["annotations"] = self.treatment.annotations();
        if !self.server.is_nginx() {
            // An image that is unknown to prestop.
            template["metadata"]["annotations"]["prestop.dev/shell"] = json!("present");
        }
        let mut deployment = deployment(namespace, REPLICAS, &template);
        deployment["spec"]["selector"]["matchLabels"]["app"] = json!(name);
        let mut service = service(namespace);
        service["spec"]["selector"]["app"] = json!(name);
        let mut budget = disruption_budget(namespace, REPLICAS - 1);
        budget["spec"]["selector"]["matchLabels"]["app"] = json!(name);
        [deployment, service, budget].map(|mut object| {
            object["metadata"]["name"] = json!(name);
            object
        })
    }

    /// Returns a pod with the client, and the load balancer to which it sends requests.
    pub(crate) fn client(self, namespace: &str, target: &str, lag: u64) -> Value {
        let name = self.name();
        json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "restartPolicy": "Never",
                "initContainers": [{
                    "name": "balance", "image": WORKLOAD, "imagePullPolicy": "IfNotPresent",
                    "restartPolicy": "Always",
                    "args": [
                        "balance", "-listen=127.0.0.1:8000", format!("-namespace={target}"),
                        format!("-service={name}"), format!("-lag={lag}s"),
                    ],
                }],
                "containers": [load::container("127.0.0.1:8000", self.server, RATES)],
            },
        })
    }
}

/// Returns the rights of the clients' service account to read endpoint slices, which the load
/// balancers need.
pub(crate) fn may_read_endpoints(namespace: &str, clients: &str) -> [Value; 2] {
    let metadata = json!({"name": "balance", "namespace": namespace});
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": metadata,
        "rules": [{"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"]}],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": metadata,
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "balance"},
        "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": clients}],
    });
    [role, binding]
}

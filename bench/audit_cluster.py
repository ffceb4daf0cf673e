"""The API server of bench/audit-cluster, a client that only reads, and what a program takes.

    serve NUMBER FILE   on a free port of 127.0.0.1, which is written into FILE
    read PORT           reads each list page by page
    measure NAME PROGRAM [ARGUMENTS]
"""

import http.client
import http.server
import json
import os
import re
import resource
import subprocess
import sys
import time
import urllib.parse

PODS = 5
NAMESPACES = 50

MANAGED = [
    {
        "manager": manager, "operation": "Update", "apiVersion": "v1", "time": "2026-01-01T00:00:00Z",
        "fieldsType": "FieldsV1", "fieldsV1": {f"f:{part}": {
            f"f:{field}": {} for field in ("name", "image", "ports", "resources", "env", "lifecycle", "phase",
                                           "conditions", "hostIP", "podIP", "startTime", "qosClass", "labels")
        } for part in ("metadata", "spec", "status")},
    }
    for manager in ("kube-controller-manager", "kubelet")
]
# Real containers have settings that nobody here looks at.
CONTAINER = {
    "name": "web", "image": "IMAGE", "imagePullPolicy": "IfNotPresent",
    "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
    "env": [{"name": f"SETTING_{number}", "value": f"value-{number}"} for number in range(12)],
    "readinessProbe": {"httpGet": {"path": "/", "port": 8080, "scheme": "HTTP"}, "periodSeconds": 10,
                       "timeoutSeconds": 1, "successThreshold": 1, "failureThreshold": 3},
    "resources": {"limits": {"memory": "128Mi"}, "requests": {"cpu": "100m", "memory": "128Mi"}},
    "lifecycle": "LIFECYCLE",
    "securityContext": {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]}},
    "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
    "volumeMounts": [{"name": "config", "mountPath": "/etc/web"}],
}
SPEC = {
    "containers": [CONTAINER], "restartPolicy": "Always", "terminationGracePeriodSeconds": 30,
    "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler", "serviceAccountName": "web",
    "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
        {"weight": 100, "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname",
                                            "labelSelector": {"matchLabels": {"app": "web-N"}}}}]}},
    "volumes": [{"name": "config", "configMap": {"name": "web-N", "defaultMode": 420}}],
}


def metadata(name, owner=None, namespace=True, **more):
    found = {"name": name, "uid": f"00000000-0000-4000-8000-{name[-12:]:0>12}",
             "resourceVersion": "123456", "creationTimestamp": "2026-01-01T00:00:00Z",
             "labels": {"app": "web-N", "app.kubernetes.io/name": "web", "team": "shop"},
             "managedFields": MANAGED, **more}
    if namespace:
        found["namespace"] = "NAMESPACE"
    if owner:
        kind, name = owner
        found["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": kind, "name": name, "uid": "1",
                                     "controller": True, "blockOwnerDeletion": True}]
    return found


TEMPLATE = {"metadata": {"labels": {"app": "web-N"}}, "spec": SPEC}
WORKLOAD = {"replicas": PODS, "selector": {"matchLabels": {"app": "web-N"}}, "template": TEMPLATE}
CONDITIONS = [{"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-01-01T00:00:00Z"}
              for kind in ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")]
# Path, kind of the list, one of its objects as text with N and P in it, objects for each Deployment.
LISTS = {
    "/api/v1/namespaces": ("NamespaceList", {"metadata": metadata("shop-N", namespace=False)}, 0),
    "/api/v1/services": ("ServiceList", {
        "metadata": metadata("web-N"),
        "spec": {"clusterIP": "10.96.0.1", "type": "ClusterIP", "selector": {"app": "web-N"},
                 "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}]},
        "status": {"loadBalancer": {}}}, 1),
    "/apis/policy/v1/poddisruptionbudgets": ("PodDisruptionBudgetList", {
        "metadata": metadata("web-N"),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "web-N"}}},
        "status": {"currentHealthy": 5, "desiredHealthy": 4, "disruptionsAllowed": 1, "expectedPods": 5}}, 1),
    "/apis/apps/v1/deployments": ("DeploymentList", {
        "metadata": metadata("web-N", annotations={
            "kubectl.kubernetes.io/last-applied-configuration": json.dumps(WORKLOAD)}),
        "spec": {**WORKLOAD, "strategy": {"type": "RollingUpdate",
                                          "rollingUpdate": {"maxSurge": "25%", "maxUnavailable": "25%"}}},
        "status": {"replicas": 5, "readyReplicas": 5, "conditions": CONDITIONS}}, 1),
    "/apis/apps/v1/replicasets": ("ReplicaSetList", {
        "metadata": metadata("web-N-5d4f", ("Deployment", "web-N")),
        "spec": WORKLOAD, "status": {"replicas": 5, "readyReplicas": 5}}, 1),
    "/api/v1/pods": ("PodList", {
        "metadata": metadata("web-N-5d4f-P", ("ReplicaSet", "web-N-5d4f")),
        "spec": {**SPEC, "nodeName": "node-P", "volumes": SPEC["volumes"] + [
            {"name": "kube-api-access", "projected": {"defaultMode": 420, "sources": [
                {"serviceAccountToken": {"expirationSeconds": 3607, "path": "token"}},
                {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}}]}}]},
        "status": {"phase": "Running", "hostIP": "10.0.0.1", "podIP": "10.1.0.1", "qosClass": "Burstable",
                   "conditions": CONDITIONS, "containerStatuses": [
                       {"name": "web", "ready": True, "restartCount": 0, "started": True,
                        "image": "nginx:1.27", "imageID": "docker.io/library/nginx@sha256:" + "0" * 64,
                        "containerID": "containerd://" + "0" * 64,
                        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}}}]}}, PODS),
}
# Every second one has something wrong.
HOOKS = [("nginx:1.27", '{"preStop":{"sleep":{"seconds":15}}}'),
         ("nginx:1.15", '{"preStop":{"exec":{"command":["/usr/sbin/nginx","-s","quit"]}}}')]


def compact(value):
    return json.dumps(value, separators=(",", ":"))


class Cluster(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    number = 0
    texts = {path: compact(item) for path, (_, item, _) in LISTS.items()}

    def do_GET(self):
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        status, body = 200, None
        if url.path == "/version":
            body = compact({"major": "1", "minor": "37", "gitVersion": "v1.37.0"})
        elif url.path == "/api":
            body = compact({"kind": "APIVersions", "versions": ["v1"]})
        elif url.path == "/apis":
            groups = [{"name": name, "versions": [{"groupVersion": f"{name}/v1", "version": "v1"}],
                       "preferredVersion": {"groupVersion": f"{name}/v1", "version": "v1"}}
                      for name in ("apps", "policy")]
            body = compact({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
        elif url.path in ("/api/v1", "/apis/apps/v1", "/apis/policy/v1"):
            own = [(path.rsplit("/", 1)[1], kind) for path, (kind, *_) in LISTS.items()
                   if path.rsplit("/", 1)[0] == url.path]
            resources = [{"name": plural, "singularName": "", "namespaced": plural != "namespaces",
                          "kind": kind.removesuffix("List"), "verbs": ["get", "list"]} for plural, kind in own]
            version = url.path.removeprefix("/apis/").removeprefix("/api/")
            body = compact({"kind": "APIResourceList", "groupVersion": version, "resources": resources})
        elif url.path in LISTS:
            body = self.page(url.path, int(query.get("limit", 0)), int(query.get("continue") or 0))
        else:
            status = 404
            body = compact({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 404,
                            "reason": "NotFound", "message": "not here"})
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def page(self, path, limit, start):
        kind, _, each = LISTS[path]
        total = self.number * each if each else NAMESPACES
        end = min(start + limit, total) if limit else total
        items = ",".join(self.item(path, place, each) for place in range(start, end))
        next_page = str(end) if end < total else ""
        version = path.rsplit("/", 1)[0].removeprefix("/apis/").removeprefix("/api/")
        head = {"kind": kind, "apiVersion": version, "metadata": {"resourceVersion": "1", "continue": next_page}}
        return compact(head)[:-1] + ',"items":[' + items + "]}"

    def item(self, path, place, each):
        number = place // max(each, 1)
        image, hook = HOOKS[number % 2]
        text = self.texts[path].replace("-N", f"-{number}").replace("NAMESPACE", f"shop-{number % NAMESPACES}")
        if each == PODS:
            text = text.replace("-P", f"-{place % PODS}")
        return text.replace("IMAGE", image).replace('"LIFECYCLE"', hook)

    def log_message(self, *_):
        pass


def serve(number, file):
    Cluster.number = int(number)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cluster)
    with open(file + ".new", "w") as out:
        out.write(str(server.server_port))
    os.rename(file + ".new", file)
    server.serve_forever()


def read(port):
    """As little as a client can do: the bytes of each page, and its continue token."""
    connection = http.client.HTTPConnection("127.0.0.1", int(port))
    size = 0
    for path in LISTS:
        token = ""
        while True:
            connection.request("GET", f"{path}?limit=500&continue={token}")
            page = connection.getresponse().read()
            size += len(page)
            token = re.search(rb'"continue":"([0-9]*)"', page[:400]).group(1).decode()
            if not token:
                break
    print(f"{size / 1e6:.0f} MB", file=sys.stderr)


def measure(name, *command):
    begin = time.monotonic()
    status = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    seconds = time.monotonic() - begin
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu, memory = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
    print(f"{name:14} {seconds:7.2f} s  ({cpu:6.2f} s of processors)  {memory:6.0f} MiB  exit status {status}")


if __name__ == "__main__":
    {"serve": serve, "read": read, "measure": measure}[sys.argv[1]](*sys.argv[2:])

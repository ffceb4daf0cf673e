"""Hooks as prestop injects them, and a network namespace of their own to run them in."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def hook(annotations):
    """The command of the hook of a Varnish, whose image has a shell. PRESTOP names a program that is built."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "labels": {"prestop.dev/inject": "enabled"}, "annotations": annotations},
        "spec": {"containers": [{"name": "web", "image": "varnish:7.6"}]},
    }
    build = ["cargo", "run", "--quiet", "--locked", "--"]
    prestop = [os.environ["PRESTOP"]] if "PRESTOP" in os.environ else build
    command = [*prestop, "inject", "--quiet", "-"]
    result = subprocess.run(command, input=json.dumps(pod), capture_output=True, text=True, cwd=ROOT)
    if result.returncode != 0:
        sys.exit(result.stderr)
    container = json.loads(result.stdout)["spec"]["containers"][0]
    handler = container["lifecycle"]["preStop"]
    if "sleep" in handler:
        return ["sleep", str(handler["sleep"]["seconds"])]
    return handler["exec"]["command"]


def in_a_network(inner, hooks):
    """Runs this program again, in a network namespace, with the hooks in its environment."""
    script = 'ip link set lo up && exec "$@"'
    program = [sys.executable, *sys.argv]
    command = ["unshare", "--net", "sh", "-c", script, "sh", *program]
    if os.geteuid() != 0:
        command[1:1] = ["--user", "--map-root-user"]
    environment = {**os.environ, inner: json.dumps(hooks)}
    sys.exit(subprocess.run(command, env=environment).returncode)

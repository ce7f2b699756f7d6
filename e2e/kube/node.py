"""A real node with its API: up, asked, and taken away again.

Owns: everything that is started for it. Invariant: `close` ends all of that and nothing else, however far it came.
"""

import contextlib
import json
import os
import pathlib
import shutil
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

API = "https://10.244.7.1:6443"
TOKEN = "admintoken"
# Bytes after which the kubelet rotates a log: a few seconds of a busy container.
LOG_BYTES_MAX = "16Ki"
WAIT_SECONDS = 120
UNVERIFIED = ssl.create_default_context()
UNVERIFIED.check_hostname = False
UNVERIFIED.verify_mode = ssl.CERT_NONE


def wait(what, check, seconds=WAIT_SECONDS):
    """What `check` says as soon as that is something. An error of its own counts as nothing yet."""
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        try:
            if found := check():
                return found
        except (OSError, LookupError, ValueError, AssertionError) as error:
            last = error
        time.sleep(0.5)
    raise AssertionError(f"waited {seconds} s for {what}" + (f": {last}" if last else ""))


class Events(threading.Thread):
    """Watches events until the node is gone."""

    def __init__(self, node, namespace):
        super().__init__(daemon=True)
        path = f"/api/v1/namespaces/{namespace}/events"
        listed = node.get(path)
        # What was repeated before is there with its last count only.
        self.found = {each["metadata"]["resourceVersion"]: each for each in listed["items"]}
        version = listed["metadata"]["resourceVersion"]
        url = f"{API}{path}?watch=true&timeoutSeconds=1200&resourceVersion={version}"
        self.request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})

    def run(self):
        with contextlib.suppress(OSError), urllib.request.urlopen(self.request, context=UNVERIFIED) as answer:
            for line in answer:
                change = json.loads(line)
                if change["type"] in ("ADDED", "MODIFIED"):
                    self.found[change["object"]["metadata"]["resourceVersion"]] = change["object"]

    def all(self):
        """Sorted; how often each had happened stands in each."""
        # Events about the node lie in `default`, too, and are about no namespace.
        events = [each for each in list(self.found.values()) if each["involvedObject"].get("namespace")]
        return sorted((each["metadata"]["uid"], each.get("count") or 1, each["reason"]) for each in events)


class Node:
    def __init__(self, folder):
        self.scripts = pathlib.Path(os.environ["SAWYER_SHARED"], "kube-node").resolve()
        self.folder = folder
        self.folder.mkdir()
        self.kubeconfig = self.folder / "kc"
        # Its own folders, told apart from those of a machine that has a kubelet of its own.
        if any(pathlib.Path(path).exists() for path in ("/var/log/pods", "/var/log/containers")):
            raise SystemExit("this machine has containers of a kubelet already (/var/log/pods); they stay untouched")

    def open(self):
        # Mounts of the kubelet's reach the containers that ask for them, as on a node whose root is shared.
        for options in (["--bind", self.folder], ["--make-rshared"]):
            subprocess.run(["mount", *options, self.folder], check=True, timeout=30)
        environment = {**os.environ, "LOGMAX": LOG_BYTES_MAX}
        command = [self.scripts / "up.sh", self.folder, os.environ["KUBE_PROGRAMS"]]
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, timeout=300)
        assert done.returncode == 0 and "up:" in done.stdout, f"up.sh: {done.stdout}"
        wait("a node that is ready", self.is_ready)

    def is_ready(self):
        conditions = self.get("/api/v1/nodes/node1")["status"]["conditions"]
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    def close(self):
        """Takes everything away. The script ends processes by the ids that it noted, and removes the bridge."""
        subprocess.run([self.scripts / "down.sh", self.folder], stdout=subprocess.DEVNULL, timeout=120)
        if self.folder.exists():
            shutil.rmtree(self.folder, ignore_errors=True)

    # ── The API ────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, method, path, body=None, kind="application/json"):
        request = urllib.request.Request(API + path, method=method)
        request.add_header("Authorization", f"Bearer {TOKEN}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=30, context=UNVERIFIED) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise OSError(f"{method} {path}: {error.code} {error.read()[:500].decode()}") from None

    def get(self, path):
        return self.ask("GET", path)

    def create(self, path, thing):
        return self.ask("POST", path, thing)

    def delete(self, path, **options):
        return self.ask("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **options})

    def pods(self, namespace, **labels):
        """The pods that are not on their way out."""
        selector = ",".join(f"app.kubernetes.io/{name}={value}" for name, value in labels.items())
        items = self.get(f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}")["items"]
        return [each for each in items if "deletionTimestamp" not in each["metadata"]]

    def kubelet_folder(self):
        """Where the kubelet keeps what pods write."""
        return self.folder / "kubelet"

    def watch_events(self, namespace):
        """All writes of events of a namespace from their beginning, as a watch of our own sees them."""
        seen = Events(self, namespace)
        seen.start()
        return seen

    def settled(self, seen):
        """What was seen, once nothing was added for a while."""
        before = len(seen.found)
        time.sleep(5)
        return len(seen.found) == before and seen.all()

    def text(self, path):
        """An answer that is no JSON, such as a log; empty where there is none."""
        request = urllib.request.Request(API + path, headers={"Authorization": f"Bearer {TOKEN}"})
        with contextlib.suppress(OSError), urllib.request.urlopen(request, timeout=30, context=UNVERIFIED) as answer:
            return answer.read().decode(errors="replace")
        return ""

    # ── Containers ─────────────────────────────────────────────────────────────────────────────────────────

    def ctr(self, *arguments):
        command = ["ctr", "-a", str(self.folder / "c.sock"), "-n", "k8s.io", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout

    def process(self, pod):
        """The id, on this machine, of the process of a pod's one container."""
        container = pod["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        for line in self.ctr("tasks", "ls").splitlines():
            name, pid, state = line.split()[:3]
            if name == container and state == "RUNNING":
                return int(pid)
        raise KeyError(f"no process of {pod['metadata']['name']}")

    def tell(self, namespace):
        """What one wants to know when something failed."""
        for pod in self.get(f"/api/v1/namespaces/{namespace}/pods")["items"]:
            name = pod["metadata"]["name"]
            print(f"── {name}: {json.dumps(pod['status'].get('containerStatuses', pod['status']))[:1500]}", file=sys.stderr)
            for previous in ("true", "false"):
                log = self.text(f"/api/v1/namespaces/{namespace}/pods/{name}/log?tailLines=12&previous={previous}")
                print("\n".join(line[:300] for line in log.splitlines()), file=sys.stderr)
        for event in self.get(f"/api/v1/namespaces/{namespace}/events")["items"][-25:]:
            print(f"{event['involvedObject']['name']}: {event['message'][:300]}", file=sys.stderr)

"""What is done on the node, step by step, and what has to hold after each.

Every method of `Scenario` that begins with `step_` is a step; they run in order, each on what those before it left.
"""

import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import tarfile
import urllib.parse
import urllib.request

import helm_python
import workloads
from node import wait

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = os.environ.get("SAWYER_CHART") or str(ROOT / "charts/sawyer")
NAMESPACE = "sawyer"
RELEASE = "sawyer"
SERVER_USER = 10001
RELOADS = re.compile(r'^sawyer_config_reloads_total\{result="accepted"\} (\d+)$', re.MULTILINE)
HELM_SECONDS = 180
# Short, so that one that was killed is followed soon.
EVENTS = {"lease": f"{RELEASE}-events", "lease_duration": "4s", "cluster": "e2e"}
# An agent that is replaced for it, and that has the kubelet asked about pods.
ASKS_KUBELET = {"log": "debug", "collect": {"metadataFrom": "kubelet"}, "kubelet": {"verifyCertificate": False}}
# What tells lines from events of the cluster.
LINES = "not source: kubernetes_events"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/{RELEASE}-events"


class Scenario:
    def __init__(self, node, names, folder):
        self.node, self.names = node, names
        # What the node keeps for Sawyer, and what the command line needs here.
        self.volume, self.client = folder / "volume", folder / "client"
        self.volume.mkdir()
        self.client.mkdir()
        self.helm = None

    def close(self):
        if self.helm:
            self.helm.close()

    # ── Ways to ask ────────────────────────────────────────────────────────────────────────────────────────

    def values(self, **more):
        base = {
            "cluster": "e2e",
            "agent": {
                # The runtime would make the folder where there is none.
                "collect": {"docker": False, "podFiles": True, "namespaceLabels": ["team"]},
                "kubeletHostPath": str(self.node.kubelet_folder()),
                # A second one that would read the cluster's events.
                "config": {"inputs": {"kubernetes_events": EVENTS}},
                "dnsPolicy": "None",
                "dnsConfig": self.dns(),
                "dataHostPath": str(self.volume / "agent"),
            },
            "server": {
                "persistence": {"size": "1Gi", "storageClass": "-"},
                "podDisruptionBudget": {"enabled": True},
                "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}},
                "config": {"inputs": {"kubernetes_events": EVENTS}},
            },
        }
        return merged(base, more)

    @staticmethod
    def dns():
        return {"nameservers": ["10.244.7.1"], "searches": [f"{NAMESPACE}.svc.cluster.local", "svc.cluster.local"]}

    def one(self, component):
        (pod,) = self.node.pods(NAMESPACE, component=component)
        return pod

    def ready(self, component, other_than=None):
        """The pod of a part, once it is ready, and is another one than that."""

        def check():
            pod = self.one(component)
            status = pod["status"]["containerStatuses"][0]
            return pod["metadata"]["uid"] != other_than and status["ready"] and pod

        return wait(f"a {component} that is ready", check)

    def server(self):
        return f"http://{self.one('server')['status']['podIP']}:7280"

    def ask(self, what, **parameters):
        url = f"{self.server()}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)

    def count(self, query):
        return self.ask("count", query=query, start="now-1h")["count"]

    def sawyer(self, *arguments):
        """The command line, as a person has it: the program of the image, on this machine."""
        done = subprocess.run(
            [self.program(), *arguments, "--server", self.server()], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def program(self):
        path = self.client / "sawyer"
        if not path.exists():
            unpack(os.environ["SAWYER_IMAGE"], "usr/bin/sawyer", path)
        return str(path)

    def logs(self, pod):
        return self.sawyer("logs", pod, "--since", "1h")

    def has_all_once(self, pod, count):
        """Every line of a counter is there, once, in order."""
        query = f'namespace: default and pod: "{pod}" and {LINES}'
        wait(f"{count} lines of {pod}", lambda: self.count(query) >= count)
        found = workloads.numbers(self.logs(pod))
        assert found == list(range(count)), f"{pod}: {explain(found, count)}"

    def start(self, thing):
        self.node.create("/api/v1/namespaces/default/pods", thing)

    def remove(self, pod):
        self.node.delete(f"/api/v1/namespaces/default/pods/{pod}", gracePeriodSeconds=0)
        wait(f"the end of {pod}", lambda: self.is_gone(pod))

    def is_gone(self, pod):
        items = self.node.get("/api/v1/namespaces/default/pods")["items"]
        return all(each["metadata"]["name"] != pod for each in items)

    def kill(self, component):
        pod = self.ready(component)
        os.kill(self.node.process(pod), signal.SIGKILL)
        before = pod["status"]["containerStatuses"][0]["restartCount"]
        wait(
            f"another start of the {component}",
            lambda: self.one(component)["status"]["containerStatuses"][0]["restartCount"] > before,
        )

    # ── Steps ──────────────────────────────────────────────────────────────────────────────────────────────

    def step_the_image_is_taken_by_containerd(self):
        self.node.ctr("images", "import", os.environ["SAWYER_IMAGE"])
        assert "localhost/sawyer:" in self.node.ctr("images", "ls", "-q")

    def step_the_namespace_has_a_label(self):
        body = {"metadata": {"labels": {"team": "red"}}}
        self.node.ask("PATCH", "/api/v1/namespaces/default", body, "application/merge-patch+json")

    def step_lines_are_there_before_sawyer_is(self):
        self.start(workloads.counter("early", 100))

    def step_the_chart_is_installed(self):
        data = self.volume / "server"
        data.mkdir()
        os.chown(data, SERVER_USER, SERVER_USER)
        self.node.create("/api/v1/persistentvolumes", volume(data))
        self.helm = helm_python.Config(kubeconfig_path=str(self.node.kubeconfig), namespace=NAMESPACE)
        done = self.helm.install(
            CHART, RELEASE, self.values(), namespace=NAMESPACE, create_namespace=True, wait="legacy", timeout=HELM_SECONDS
        )
        assert (done["revision"], done["status"]) == (1, "deployed"), done
        self.ready("agent")
        self.ready("server")

    def step_processes_have_no_more_rights_than_they_need(self):
        for component, user in [("agent", 0), ("server", SERVER_USER)]:
            pid = self.node.process(self.one(component))
            status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
            for name in ("CapEff", "CapPrm", "CapBnd", "CapInh"):
                assert int(status[name], 16) == 0, f"{component} {name} {status[name]}"
            assert status["Uid"].split() == [str(user)] * 4, f"{component} {status['Uid']}"
            assert (status["NoNewPrivs"].strip(), status["Seccomp"].strip()) == ("1", "2"), component
            mounts = [line.split() for line in pathlib.Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
            modes = {each[4]: each[5].split(",")[0] for each in mounts}
            assert modes["/"] == "ro", f"{component}: its root file system can be written"
            # What was mounted below a folder before the container began comes with it, as it is.
            below = f"/host{self.node.kubelet_folder()}/pods/"
            of_host = {mode for path, mode in modes.items() if path.startswith("/host/") and not path.startswith(below)}
            assert of_host <= {"ro"}, modes
            token = "/var/run/secrets/kubernetes.io/serviceaccount" in modes
            assert token, f"{component}: no token"

    def step_what_was_printed_before_is_there(self):
        self.has_all_once("early", 100)

    def step_the_servers_name_was_asked_for(self):
        assert any(name == f"{RELEASE}-server.{NAMESPACE}" for name in self.names.asked), self.names.asked

    def step_records_know_who_spoke(self):
        (record,) = self.ask("search", query=f'pod: "early" and {LINES}', start="now-1h", limit=1, order="asc")["records"]
        uid = self.node.get("/api/v1/namespaces/default/pods/early")["metadata"]["uid"]
        told = {name: record[name] for name in ("cluster", "node", "namespace", "pod", "pod_uid", "container", "stream")}
        wanted = {"cluster": "e2e", "node": "node1", "namespace": "default", "pod": "early", "pod_uid": uid}
        assert told == {**wanted, "container": "count", "stream": "stdout"}, told

    def step_the_command_that_the_notes_name_works_in_the_pod(self):
        container = self.one("server")["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        query = ["sawyer", "query", f'pod: "early" and {LINES}', "--since", "1h", "--limit", "0", "--output", "raw"]
        found = self.node.ctr("tasks", "exec", "--exec-id", "e2e", container, *query).splitlines()
        assert workloads.numbers(found) == list(range(100)), found[:3]

    def step_a_counter_is_followed(self):
        count = 600
        self.start(workloads.counter("counter", count))
        path = self.client / "followed"
        with path.open("w") as out:
            command = [self.program(), "logs", "-f", "counter", "--server", self.server()]
            follower = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        try:
            wait("lines as they are printed", lambda: 0 < len(lines_of(path)) < count)
            wait("the last line", lambda: len(lines_of(path)) >= count)
        finally:
            follower.terminate()
            follower.wait(timeout=30)
        # A live view shows lines as they arrive, and requests overtake each other; asked later they are in order.
        found = workloads.numbers(lines_of(path))
        assert sorted(found) == list(range(count)), explain(found, count)

    def step_its_lines_are_there_when_it_is_gone(self):
        self.remove("counter")
        wait("its log files' end", lambda: not list(pathlib.Path("/var/log/pods").glob("default_counter_*")))
        self.has_all_once("counter", 600)

    def step_what_the_cluster_says_of_a_pod_is_in_its_records(self):
        path = "/apis/apps/v1/namespaces/default/deployments"
        self.node.create(path, workloads.deployment("web", 50))
        query = 'workload: web and workload_kind: Deployment and labels.app: web and service: storefront and image: *busybox*'
        wait("lines that say to what they belong", lambda: self.count(query) >= 50)
        assert self.count("container: count and pod: web-* and not workload: web") == 0
        self.node.delete(f"{path}/web", gracePeriodSeconds=0)

    def step_a_cron_job_is_known_through_its_job(self):
        path = "/apis/batch/v1beta1/namespaces/default/cronjobs"
        self.node.create(path, workloads.cron_job("nightly", 20))
        query = "workload: nightly and workload_kind: CronJob and namespace_labels.team: red"
        wait("lines of a cron job", lambda: self.count(query) >= 20, seconds=180)
        self.node.delete(f"{path}/nightly", propagationPolicy="Background")

    def step_annotations_decide_about_logs(self):
        said = {
            "hushed": {"fluentbit.io/exclude": "true"},
            "as-it-is": {"sawyer.dev/parser": "off"},
            "as-json": {"sawyer.dev/parser.count": "json"},
        }
        for name, annotations in said.items():
            self.start(workloads.annotated(workloads.json_lines(name, 30), annotations))
        self.has_lines({"pod: as-json and number: *": 30, f"pod: as-it-is and {LINES}": 30})
        assert self.count("pod: as-it-is and number: *") == 0
        assert self.count(f"pod: hushed and {LINES}") == 0

    def step_files_in_volumes_are_read_until_the_pod_is_gone(self):
        count = 400
        thing = workloads.writer("writer", count)
        self.start(workloads.annotated(thing, {"sawyer.dev/files": "/files/*.log"}))
        query = 'pod: writer and source: "/files/app.log"'
        self.has_lines({query: count})
        self.remove("writer")
        found = self.ask("search", query=query, start="now-1h", limit=2 * count, order="asc")["records"]
        assert workloads.numbers([each["message"] for each in found]) == list(range(count)), explain_records(found, count)
        assert {(each["container"], each["labels.app"]) for each in found} == {("count", "writer")}, found[0]

    def step_files_in_volumes_in_memory_are_read(self):
        """They are mounted after the agent has begun."""
        count = 400
        thing = workloads.writer("in-memory", count)
        thing["spec"]["volumes"][0]["emptyDir"] = {"medium": "Memory"}
        self.start(workloads.annotated(thing, {"sawyer.dev/files": "/files/*.log"}))
        self.has_lines({'pod: in-memory and source: "/files/app.log"': count})
        self.remove("in-memory")

    def has_lines(self, wanted):
        for query, count in wanted.items():
            wait(f"{count} of {query}", lambda query=query, count=count: self.count(query) >= count)
            assert self.count(query) == count, query

    def step_nothing_is_lost_or_doubled_by_killing_and_rotating(self):
        count = 1500
        self.start(workloads.counter("churn", count))
        wait("the first lines", lambda: self.count(f'pod: "churn" and {LINES}') > 0)
        self.kill("agent")
        self.kill("server")
        before = self.ready("agent")
        self.node.delete(f"/api/v1/namespaces/{NAMESPACE}/pods/{before['metadata']['name']}")
        self.ready("agent", other_than=before["metadata"]["uid"])
        self.kill("server")
        self.kill("agent")
        self.ready("server")
        self.has_all_once("churn", count)
        files = [path.name for path in pathlib.Path("/var/log/pods").glob("default_churn_*/count/*")]
        assert len(files) > 1, f"the log was not rotated: {files}"

    def step_every_run_of_a_container_that_fails_is_there(self):
        runs, count = 3, 100
        self.start(workloads.restarter("restarter", runs, count))
        wait(f"{runs * count} lines", lambda: self.count(f'pod: "restarter" and {LINES}') >= runs * count)
        wanted = [f"{number}: run {run}" for run in range(runs) for number in range(count)]
        assert self.logs("restarter") == wanted

    def upgrade(self, revision, **more):
        """Changes values, while a counter prints; gives the counter's name."""
        name = f"during-{revision}"
        self.start(workloads.counter(name, 800))
        values = self.values(**more)
        done = self.helm.upgrade(CHART, RELEASE, values, namespace=NAMESPACE, wait="legacy", timeout=HELM_SECONDS)
        assert (done["revision"], done["status"]) == (revision, "deployed"), done
        return name

    def reloads(self):
        """How often the agent has taken another configuration."""
        url = f"http://{self.one('agent')['status']['podIP']}:7280/metrics"
        with urllib.request.urlopen(url, timeout=30) as answer:
            found = RELOADS.findall(answer.read().decode())
        return sum(map(int, found))

    def step_an_upgrade_changes_what_running_agents_do(self):
        before, token = self.ready("agent")["metadata"]["uid"], self.token()
        steps = ["multiline", "mask", "parse", {"set": {"fields": {"env": "e2e"}}}]
        name = self.upgrade(2, agent={"steps": steps})
        # The kubelet looks for new ConfigMaps once a minute.
        wait("the new configuration", lambda: self.reloads() == 1, seconds=180)
        self.has_all_once(name, 800)
        assert self.token() == token, "the upgrade made another token"
        assert self.ready("agent")["metadata"]["uid"] == before, "the agent was restarted"
        self.start(workloads.counter("after-2", 20))
        wait("new fields", lambda: self.count(f'pod: "after-2" and env: e2e and {LINES}') == 20)

    def step_an_upgrade_of_what_is_fixed_replaces_agents_only(self):
        agent, server = (self.ready(component)["metadata"]["uid"] for component in ("agent", "server"))
        name = self.upgrade(3, agent=ASKS_KUBELET)
        self.ready("agent", other_than=agent)
        self.has_all_once(name, 800)
        # What no path says: so the kubelet has told it.
        self.start(workloads.counter("known-to-kubelet", 20))
        self.has_lines({f"pod: known-to-kubelet and image: *busybox* and {LINES}": 20})
        assert self.ready("server")["metadata"]["uid"] == server, "the server was restarted, though nothing changed for it"

    def step_a_misspelt_value_changes_nothing(self):
        try:
            self.helm.upgrade(CHART, RELEASE, self.values(agent={"stepz": []}), namespace=NAMESPACE)
        except helm_python.HelmError as error:
            assert "additional properties 'stepz' not allowed" in str(error), error
        else:
            raise AssertionError("it was taken")
        assert self.helm.status(RELEASE)["revision"] == 3

    def step_gateways_pass_everything_on(self):
        # Without volumes, so what they hold has to be passed on before they go.
        gateway = {"enabled": True, "persistence": {"enabled": False}, "config": {"drain": "20s"}}
        gateway |= {"dnsPolicy": "None", "dnsConfig": self.dns()}
        before = self.reloads()
        name = self.upgrade(4, agent=ASKS_KUBELET, gateway=gateway)
        wait("the new configuration", lambda: self.reloads() > before, seconds=180)
        assert len(self.node.pods(NAMESPACE, component="gateway")) == 2
        self.start(workloads.counter("after-gateways", 20))
        self.has_all_once("after-gateways", 20)
        self.has_all_once(name, 800)
        assert any(name == f"{RELEASE}-gateway.{NAMESPACE}" for name in self.names.asked), self.names.asked

    def step_a_rollback_takes_it_back(self):
        agent = self.ready("agent")["metadata"]["uid"]
        self.start(workloads.counter("rolled-back", 800))
        self.helm.rollback(RELEASE, version=1, wait="legacy", timeout=HELM_SECONDS)
        self.ready("agent", other_than=agent)
        assert self.helm.status(RELEASE)["revision"] == 5
        wait("the gateways' end", lambda: not self.node.pods(NAMESPACE, component="gateway"))
        self.has_all_once("rolled-back", 800)
        self.start(workloads.counter("after-rollback", 20))
        self.has_all_once("after-rollback", 20)
        assert self.count('pod: "after-rollback" and env: *') == 0
        self.has_all_once("counter", 600)

    def step_events_are_there_once_whoever_reads_them(self):
        """What a watch of our own sees is what is kept, while the reader is killed until another one reads."""
        self.let_the_agent_read_events()
        seen = self.node.watch_events("default")
        self.start(workloads.unpullable("unpullable"))
        self.start(workloads.crasher("crasher"))
        wait("the first events", lambda: self.count("event.reason: BackOff and pod: crasher") > 0)
        first = self.reader()
        for _ in range(8):
            self.kill("server" if "server" in self.reader() else "agent")
            with contextlib.suppress(AssertionError):
                wait("another reader", lambda: self.reader() not in ("", first), seconds=15)
                break
        assert self.reader() not in ("", first), f"{first} still reads"
        print(f"   {first}, then {self.reader()}")
        self.start(workloads.crasher("crasher-later"))
        for component in ("agent", "server"):
            self.ready(component)
        wait("events of later", lambda: self.count("event.reason: BackOff and pod: crasher-later") > 0)
        for name in ("crasher", "crasher-later", "unpullable"):
            self.remove(name)
        wanted = wait("an end of events", lambda: self.node.settled(seen))
        query = "source: kubernetes_events and namespace: default"

        def kept():
            records = self.ask("search", query=query, start="now-2h", limit=5000)["records"]
            return sorted((each["event.uid"], each["event.count"], each["event.reason"]) for each in records)

        def all_once():
            found = kept()
            missing = [each for each in wanted if each not in found]
            assert not missing, missing[:5]
            return found

        found = wait("all events", all_once)
        doubled = [each for each in set(found) if found.count(each) != 1]
        assert not doubled, doubled[:5]
        told = self.ask("search", query="event.reason: BackOff and pod: crasher", start="now-2h", limit=1)["records"][0]
        assert (told["level"], told["container"], told["node"], told["cluster"]) == ("warn", "count", "node1", "e2e"), told

    def reader(self):
        return self.node.get(LEASE)["spec"]["holderIdentity"]

    def let_the_agent_read_events(self):
        """It has the rights that the server has for it."""
        who = [{"kind": "ServiceAccount", "name": f"{RELEASE}-agent", "namespace": NAMESPACE}]
        group = "rbac.authorization.k8s.io"
        for kind, name, path in [
            ("ClusterRole", f"{NAMESPACE}-{RELEASE}-server", "clusterrolebindings"),
            ("Role", f"{RELEASE}-server", f"namespaces/{NAMESPACE}/rolebindings"),
        ]:
            thing = {
                "apiVersion": f"{group}/v1", "kind": f"{kind}Binding", "metadata": {"name": "second-reader"},
                "roleRef": {"apiGroup": group, "kind": kind, "name": name}, "subjects": who,
            }
            self.node.create(f"/apis/{group}/v1/{path}", thing)

    def step_memory_is_far_below_the_limits(self):
        for component, limit in [("agent", 512 << 20), ("server", 2 << 30)]:
            pid = self.node.process(self.one(component))
            status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
            peak = int(status["VmHWM"].split()[0]) << 10
            print(f"   {component}: {peak >> 20} MiB at most")
            assert peak < limit // 2, f"{component}: {peak >> 20} MiB of {limit >> 20} MiB"

    def step_the_api_was_asked_for_what_is_needed_only(self):
        lines = [json.loads(line) for line in (self.node.folder / "audit.log").read_text().splitlines()]
        assert lines, "there is no audit log"
        accounts = f"system:serviceaccount:{NAMESPACE}:"
        asked = [line for line in lines if line["user"]["username"].startswith(accounts)]
        assert {line["user"]["username"] for line in asked} == {f"{accounts}{RELEASE}-{who}" for who in ("agent", "server")}
        said = {(line["verb"], line["objectRef"]["resource"]) for line in asked}
        about_pods = {("list", "pods"), ("watch", "pods"), ("get", "pods"), ("get", "namespaces"), ("get", "jobs")}
        about_events = {("list", "events"), ("watch", "events"), ("get", "replicasets")}
        about_leases = {(verb, "leases") for verb in ("get", "create", "update")}
        assert said <= about_pods | about_events | about_leases, said
        # Until it was given the rights, the agent asked for the Lease in vain.
        refused = {line["objectRef"]["resource"] for line in asked if line.get("responseStatus", {}).get("code") in (401, 403)}
        assert refused <= {"leases"}, refused

    def step_own_logs_tell_of_no_trouble(self):
        for component in ("agent", "server"):
            name = self.one(component)["metadata"]["name"]
            log = self.node.text(f"/api/v1/namespaces/{NAMESPACE}/pods/{name}/log")
            assert log, f"no log of {name}"
            bad = [line for line in log.splitlines() if "ERROR" in line or "forbidden" in line.lower() and "leases" not in line]
            assert not bad, "\n".join(bad[:10])

    def step_uninstalled_it_leaves_data_and_nothing_else(self):
        self.helm.uninstall(RELEASE, wait="legacy", timeout=HELM_SECONDS)
        wait("the end of all pods", lambda: not self.node.get(f"/api/v1/namespaces/{NAMESPACE}/pods")["items"])
        claims = self.node.get(f"/api/v1/namespaces/{NAMESPACE}/persistentvolumeclaims")["items"]
        assert [each["metadata"]["name"] for each in claims] == [f"data-{RELEASE}-server-0"]
        for kind in ("services", "configmaps", "serviceaccounts"):
            names = [each["metadata"]["name"] for each in self.node.get(f"/api/v1/namespaces/{NAMESPACE}/{kind}")["items"]]
            assert not [name for name in names if name.startswith(RELEASE)], names

    def token(self):
        return self.node.get(f"/api/v1/namespaces/{NAMESPACE}/secrets/{RELEASE}-token")["data"]["token"]


def merged(base, more):
    """Maps laid over each other."""
    out = dict(base)
    for name, value in more.items():
        out[name] = merged(base[name], value) if isinstance(value, dict) and isinstance(base.get(name), dict) else value
    return out


def volume(folder):
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "server"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "persistentVolumeReclaimPolicy": "Retain",
            "hostPath": {"path": str(folder)},
        },
    }


def explain_records(records, count):
    return explain(workloads.numbers([each["message"] for each in records]), count)


def lines_of(path):
    """The finished lines of a file."""
    return path.read_text().split("\n")[:-1]


def explain(found, count):
    missing = sorted(set(range(count)) - set(found))
    doubled = sorted({number for number in found if found.count(number) > 1})
    ordered = found == sorted(found)
    return f"{len(found)} of {count}, missing {missing[:20]}, more than once {doubled[:20]}, in order: {ordered}"


def unpack(image, name, path):
    """Takes one file out of an image."""
    with tarfile.open(image) as outer:
        (manifest,) = json.load(outer.extractfile("manifest.json"))
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
                if name in inner.getnames():
                    path.write_bytes(inner.extractfile(name).read())
                    path.chmod(0o755)
                    return
    raise AssertionError(f"{image} has no {name}")

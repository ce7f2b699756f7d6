"""Whether Kubernetes would take what is rendered, and whether the parts fit each other."""

import functools
import json
import re
import unittest

import helm
import helm_python
import jsonschema
import kubernetes_validate.utils as schemas
import promql_parser
import referencing
import yaml

OPERATOR = "monitoring.coreos.com/v1"
# Kinds of others, which Kubernetes' own schemas do not have.
FOREIGN = {"ServiceMonitor", "PrometheusRule"}
_checked = set()


def checked():
    return len(_checked)


@functools.cache
def registry(version):
    """The definitions of a version, strict: an unknown field is an error."""
    text = schemas.schema_contents(f"kubernetes-json-schema/v{version}.0-local-strict/_definitions.json", version)
    return referencing.Resource.from_contents(text) @ referencing.Registry()


@functools.cache
def validator(version, kind, api):
    group, _, number = api.rpartition("/")
    name = "-".join(filter(None, [kind.lower(), group.split(".")[0], number]))
    schema = schemas.schema_contents(f"kubernetes-json-schema/v{version}.0-local-strict/{name}.json", version)
    return jsonschema.validators.Draft202012Validator(schema, registry=registry(version))


def problems(thing, version):
    """What a cluster of that version has against an object. What it said of the same one before holds."""
    key = (version, json.dumps(thing, sort_keys=True))
    if key in _checked:
        return []
    _checked.add(key)
    found = validator(version, thing["kind"], thing["apiVersion"]).iter_errors(thing)
    return [f"{error.json_path}: {error.message[:200]}" for error in found]


def pods(found):
    """Name and pod specification of every workload."""
    return [
        (each["metadata"]["name"], each["spec"]["template"])
        for each in found
        if each["kind"] in ("DaemonSet", "StatefulSet", "Deployment")
    ]


class Objects(unittest.TestCase):
    def test_lint_finds_nothing(self):
        for name, values in helm.cases().items():
            for version in (helm.VERSIONS[0], helm.NEWEST):
                report = helm_python.lint(str(helm.CHART), values, strict=True, namespace="logs", kube_version=f"v{version}.0")
                found = [each for each in report.get("messages", []) if each.get("severity") not in (None, "info", 1)]
                self.assertEqual(report.get("errors") or [], [], f"{name} {version}")
                self.assertEqual(found, [], f"{name} {version}")

    def test_schemas_refuse_what_is_wrong(self):
        service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"prots": []}}
        for version in helm.VERSIONS:
            self.assertIn("prots", " ".join(problems(service, version)))

    def test_every_version_takes_every_object(self):
        for name, values in helm.cases().items():
            for version in helm.VERSIONS:
                for thing in helm.objects(values, version, [OPERATOR]):
                    if thing["kind"] in FOREIGN:
                        self.assertEqual(thing["apiVersion"], OPERATOR)
                        continue
                    where = f"{name}, Kubernetes {version}, {thing['kind']} {thing['metadata']['name']}"
                    self.assertEqual(problems(thing, version), [], where)

    def test_old_clusters_get_the_versions_they_have(self):
        budget = {"server": {"podDisruptionBudget": {"enabled": True}}}
        for version, api in [("1.20", "policy/v1beta1"), ("1.21", "policy/v1"), (helm.NEWEST, "policy/v1")]:
            found = helm.one(helm.objects(budget, version), "PodDisruptionBudget", "sawyer-server")
            self.assertEqual(found["apiVersion"], api, version)

    def test_monitors_are_there_where_the_cluster_knows_them(self):
        def kinds(values, apis):
            return {each["kind"] for each in helm.objects(values, apis=apis)} & FOREIGN

        rules = {"metrics": {"prometheusRule": {"enabled": "auto"}}}
        never = {"metrics": {"serviceMonitor": {"enabled": False}}}
        always = {"metrics": {"serviceMonitor": {"enabled": True}}}
        self.assertEqual(kinds({}, []), set())
        self.assertEqual(kinds({}, [OPERATOR]), {"ServiceMonitor"})
        self.assertEqual(kinds(rules, [OPERATOR]), FOREIGN)
        self.assertEqual(kinds(rules, []), set())
        self.assertEqual(kinds(never, [OPERATOR]), set())
        self.assertEqual(kinds(always, []), {"ServiceMonitor"})

    def test_rules_are_promql_over_metrics_that_sawyer_has(self):
        found = helm.objects({"metrics": {"prometheusRule": {"enabled": True}}})
        rules = helm.one(found, "PrometheusRule", "sawyer")["spec"]["groups"][0]["rules"]
        self.assertGreater(len(rules), 5)
        sources = "\n".join(path.read_text() for path in (helm.ROOT / "crates").rglob("*.rs"))
        for rule in rules:
            promql_parser.parse(rule["expr"])
            for name in re.findall(r"sawyer_[a-z_]+", rule["expr"]):
                self.assertIn(f'"{name.removesuffix("_total")}"', sources, rule["alert"])
        with self.assertRaises(ValueError):
            promql_parser.parse("increase(sawyer_x[15m]")

    def test_names_are_unique_and_short_enough_for_pods(self):
        for name, values in helm.cases().items():
            found = helm.objects(values, apis=[OPERATOR])
            names = [(each["kind"], each["metadata"]["name"]) for each in found]
            self.assertEqual(len(names), len(set(names)), name)
        long = helm.objects({"fullnameOverride": "x" * 80, "gateway": {"enabled": True}})
        self.assertLess(max(len(each["metadata"]["name"]) for each in long if each["kind"] != "PriorityClass"), 64)

    def test_what_selects_finds_its_pods(self):
        for name, values in helm.cases().items():
            found = helm.objects(values)
            labels = [pod["metadata"]["labels"] for _, pod in pods(found)]
            for each in found:
                spec = each.get("spec", {})
                selector = spec.get("selector") or spec.get("podSelector")
                if each["kind"] in FOREIGN or not selector:
                    continue
                selector = selector.get("matchLabels", selector)
                hits = sum(selector.items() <= these.items() for these in labels)
                self.assertEqual(hits, 1, f"{name}: {each['kind']} {each['metadata']['name']}")

    def test_everything_mounted_is_a_volume_and_the_other_way_round(self):
        for name, values in helm.cases().items():
            for workload in helm.objects(values):
                if workload["kind"] not in ("DaemonSet", "StatefulSet"):
                    continue
                spec = workload["spec"]
                volumes = {each["name"] for each in spec["template"]["spec"]["volumes"]}
                volumes |= {each["metadata"]["name"] for each in spec.get("volumeClaimTemplates", [])}
                mounts = [each["name"] for each in spec["template"]["spec"]["containers"][0]["volumeMounts"]]
                self.assertEqual(sorted(mounts), sorted(volumes), f"{name} {workload['metadata']['name']}")

    def test_only_what_cannot_change_in_a_running_process_restarts_it(self):
        def templates(agent):
            return dict(pods(helm.objects({"agent": agent})))

        before = templates({})
        self.assertEqual(templates({"steps": ["parse"], "exclude": ["kube-system"], "buffer": {"bytes_max": "2GiB"}}), before)
        after = templates({"log": "debug"})
        self.assertNotEqual(after["sawyer-agent"], before["sawyer-agent"])
        self.assertEqual(after["sawyer-server"], before["sawyer-server"])

    def test_secrets_are_named_and_never_written(self):
        for name, values in helm.cases().items():
            made = [each for each in helm.objects(values) if each["kind"] == "Secret"]
            self.assertLessEqual({each["metadata"]["name"] for each in made}, {"sawyer-token"}, name)
        kept = helm.objects({"token": {"existingSecret": "mine"}})
        self.assertEqual([each for each in kept if each["kind"] == "Secret"], [])

    def test_who_asks_the_kubelet_may_do_that_and_no_more(self):
        def rights(version, events="server", **kubelet):
            agent = {"collect": {"metadataFrom": "kubelet"}, "kubelet": kubelet}
            found = helm.objects({"agent": agent, "events": {"from": events}}, version)
            rules = helm.one(found, "ClusterRole", "logs-sawyer-agent")["rules"]
            return {what: rule["verbs"] for rule in rules for what in rule["resources"]}

        owners = {"replicasets": ["get"], "jobs": ["get"]}
        self.assertEqual(rights("1.32"), {"nodes/proxy": ["get"], **owners})
        self.assertEqual(rights("1.33"), {"nodes/pods": ["get"], **owners})
        self.assertEqual(rights("1.32", right="pods"), {"nodes/pods": ["get"], **owners})
        self.assertEqual(rights(helm.NEWEST, right="proxy"), {"nodes/proxy": ["get"], **owners})
        # Whoever reads events asks the API server about the pods that they are about.
        both = {"nodes/pods": ["get"], "pods": ["get"], "events": ["list", "watch"], **owners}
        self.assertEqual(rights(helm.NEWEST, events="agent"), both)

    def test_the_kubelet_is_asked_at_the_nodes_address(self):
        def asked(collect, **kubelet):
            found = helm.objects({"agent": {"collect": collect, "kubelet": kubelet}})
            config = yaml.safe_load(helm.one(found, "ConfigMap", "sawyer-agent")["data"]["sawyer.yaml"])
            pod = dict(pods(found))["sawyer-agent"]["spec"]
            names = {each["name"] for each in pod["containers"][0]["env"]}
            self.assertTrue(pod["automountServiceAccountToken"] or not collect.get("metadata", True))
            return config["inputs"]["containers"].get("kubernetes"), "NODE_IP" in names

        kubelet = {"metadataFrom": "kubelet"}
        self.assertEqual(asked({}), (None, False))
        self.assertEqual(asked(kubelet), ({"from": "kubelet"}, True))
        self.assertEqual(asked(kubelet, verifyCertificate=False), ({"from": "kubelet", "verify_kubelet": False}, True))
        labels = {"from": "kubelet", "namespace_labels": ["team"]}
        self.assertEqual(asked({**kubelet, "namespaceLabels": ["team"]}), (labels, True))
        self.assertEqual(asked({**kubelet, "metadata": False}), ({"from": "nobody"}, False))

    def test_volumes_that_are_mounted_later_reach_the_agent(self):
        found = helm.objects({"agent": {"collect": {"podFiles": True}}})
        mounts = dict(pods(found))["sawyer-agent"]["spec"]["containers"][0]["volumeMounts"]
        (volumes,) = [each for each in mounts if each["name"] == "pod-volumes"]
        self.assertEqual((volumes["mountPropagation"], volumes["readOnly"]), ("HostToContainer", True))

    def test_who_may_ask_the_api(self):
        no_metadata, no_events = {"agent": {"collect": {"metadata": False}}}, {"events": {"enabled": False}}
        more = {
            "no metadata": no_metadata,
            "no events": no_events,
            "quiet": {**no_metadata, **no_events},
            "events of agents": {"events": {"from": "agent"}},
        }
        for name, values in {**helm.cases(), **more}.items():
            found = helm.objects(values)
            asks = {
                pod["metadata"]["labels"]["app.kubernetes.io/component"]
                for _, pod in pods(found)
                if pod["spec"]["automountServiceAccountToken"]
            }
            reads = {
                each["metadata"]["labels"]["app.kubernetes.io/component"]
                for each in found
                if each["kind"] == "ConfigMap" and "kubernetes_events" in yaml.safe_load(each["data"]["sawyer.yaml"])["inputs"]
            }
            server = "preset" not in values and name != "events of agents"
            self.assertEqual(reads, set() if name in ("no events", "quiet") else {"server" if server else "agent"}, name)
            watches = set() if name in ("no metadata", "quiet") else {"agent"}
            self.assertEqual(asks, reads | watches, name)
            roles = sorted(each["kind"] for each in found if "Role" in each["kind"])
            wanted = ["ClusterRole", "ClusterRoleBinding"] * len(asks) + ["Role", "RoleBinding"] * len(reads)
            self.assertEqual(roles, sorted(wanted), name)
            for role in (each for each in found if each["kind"] == "ClusterRole"):
                verbs = {verb for rule in role["rules"] for verb in rule["verbs"]}
                self.assertLessEqual(verbs, {"get", "list", "watch"}, name)
            for role in (each for each in found if each["kind"] == "Role"):
                self.assertEqual({what for rule in role["rules"] for what in rule["resources"]}, {"leases"}, name)
            accounts = [pod["spec"]["serviceAccountName"] for _, pod in pods(found)]
            self.assertEqual(len(accounts), len(set(accounts)), "roles share an account")


class Hardening(unittest.TestCase):
    def test_containers_have_no_more_rights_than_they_need(self):
        for name, values in helm.cases().items():
            for workload, pod in pods(helm.objects(values)):
                where = f"{name} {workload}"
                spec, (container,) = pod["spec"], pod["spec"]["containers"]
                context = {**spec["securityContext"], **container["securityContext"]}
                self.assertEqual(context["seccompProfile"], {"type": "RuntimeDefault"}, where)
                self.assertEqual(context["capabilities"], {"drop": ["ALL"]}, where)
                self.assertIs(context["readOnlyRootFilesystem"], True, where)
                self.assertIs(context["allowPrivilegeEscalation"], False, where)
                self.assertEqual(context["runAsUser"] == 0, workload.endswith("-agent"), where)
                self.assertIn("memory", container["resources"]["limits"], where)

    def test_the_node_is_read_only_but_for_the_agents_own_folder(self):
        for name, values in helm.cases().items():
            for workload, pod in pods(helm.objects(values)):
                paths = {each["name"]: each["hostPath"]["path"] for each in pod["spec"]["volumes"] if "hostPath" in each}
                if not workload.endswith("-agent"):
                    self.assertEqual(paths, {}, f"{name} {workload}")
                    continue
                for mount in pod["spec"]["containers"][0]["volumeMounts"]:
                    if mount["name"] == "data":
                        self.assertTrue(paths["data"].endswith("/logs/sawyer"), paths)
                    elif mount["name"] in paths:
                        self.assertIs(mount["readOnly"], True, mount)
                        self.assertEqual(mount["mountPath"], "/host" + paths[mount["name"]])

    def test_what_is_not_collected_is_not_mounted(self):
        off = {"containers": False, "docker": False, "journal": False, "files": False, "audit": False}
        agent = {"collect": off, "config": {"inputs": {"push": {}}}}
        (pod,) = [pod for name, pod in pods(helm.objects({"agent": agent})) if name == "sawyer-agent"]
        self.assertEqual([each["name"] for each in pod["spec"]["volumes"] if "hostPath" in each], ["data"])

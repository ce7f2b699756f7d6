"""Whether Sawyer takes the configurations that the chart makes."""

import os
import pathlib
import subprocess
import tempfile
import unittest

import helm
import yaml

SAWYER = os.environ["SAWYER"]


def configs(values):
    """Role and configuration of every part."""
    for each in helm.objects(values):
        if each["kind"] == "ConfigMap":
            yield each["metadata"]["name"].removeprefix("sawyer-"), each["data"]["sawyer.yaml"]


def judge(role, text):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "sawyer.yaml"
        path.write_text(text)
        command = [SAWYER, "check", "--role", role, "--config", str(path)]
        environment = {"POD_NAME": "sawyer-agent-x2x4v", "POD_NAMESPACE": "logs", "NODE_NAME": "node-1"}
        environment["SLACK_URL"] = "https://hooks.slack.com/services/T0/B0/x"
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stdout + done.stderr


class Configurations(unittest.TestCase):
    def test_the_program_takes_them(self):
        for name, values in helm.cases().items():
            for role, text in configs(values):
                with self.subTest(case=name, role=role):
                    code, said = judge(role, text)
                    self.assertEqual(code, 0, f"{said}\n{text}")

    def test_the_program_refuses_a_wrong_one(self):
        values = helm.cases()["elasticsearch"]
        ((_, text),) = configs(values)
        code, said = judge("agent", text.replace("endpoint:", "endpont:"))
        self.assertEqual(code, 1)
        self.assertIn("did you mean `endpoint`", said)

    def test_ones_own_settings_win(self):
        agent = {"config": {"outputs": {"elasticsearch": {"batch_records_max": 1000000}}, "log": "debug"}}
        values = {**helm.cases()["elasticsearch"], "agent": agent}
        ((_, text),) = configs(values)
        made = yaml.safe_load(text)
        self.assertEqual(made["log"], "debug")
        self.assertEqual(made["outputs"]["elasticsearch"]["batch_records_max"], 1000000)
        self.assertTrue(made["outputs"]["elasticsearch"]["endpoint"])
        self.assertNotIn("e+", text, "a large number is written as one")

    def test_a_stop_may_take_almost_the_whole_grace_period(self):
        for period in (3, 30, 7200):
            values = helm.cases()["everything"]
            values = {**values, "agent": {**values.get("agent", {}), "terminationGracePeriodSeconds": period}}
            found = helm.objects(values)
            grace = {}
            for each in found:
                if each["kind"] in ("DaemonSet", "Deployment", "StatefulSet"):
                    spec = each["spec"]["template"]["spec"]
                    grace[each["metadata"]["name"]] = spec["terminationGracePeriodSeconds"]
            self.assertIn(period, grace.values())
            for each in found:
                if each["kind"] == "ConfigMap":
                    name = each["metadata"]["name"]
                    drain = yaml.safe_load(each["data"]["sawyer.yaml"])["drain"]
                    self.assertEqual(drain, f"{min(3600, max(0, grace.pop(name) - 5))}s", name)
            self.assertEqual(grace, {})

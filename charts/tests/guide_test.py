"""Whether the examples of the guide would be taken, by the chart, by Kubernetes and by Sawyer."""

import re
import unittest

import config_test
import helm
import objects_test
import yaml

GUIDE = helm.ROOT / "docs/kubernetes.md"
BLOCK = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks():
    return [list(yaml.safe_load_all(block)) for block in BLOCK.findall(GUIDE.read_text())]


class Guide(unittest.TestCase):
    def test_values_are_taken(self):
        count = 0
        for documents in blocks():
            if "kind" not in documents[0]:
                count += 1
                for role, text in config_test.configs(documents[0]):
                    code, said = config_test.judge(role, text)
                    self.assertEqual(code, 0, said)
        self.assertGreater(count, 5)

    def test_objects_are_taken(self):
        count = 0
        for documents in blocks():
            for thing in documents:
                if "kind" in thing:
                    count += 1
                    for version in helm.VERSIONS:
                        self.assertEqual(objects_test.problems(thing, version), [], f"{thing['kind']} {version}")
        self.assertGreater(count, 1)

    def test_the_sidecars_configuration_is_taken(self):
        (text,) = [
            thing["data"]["sawyer.yaml"] for documents in blocks() for thing in documents if thing.get("kind") == "ConfigMap"
        ]
        code, said = config_test.judge("agent", text)
        self.assertEqual(code, 0, said)

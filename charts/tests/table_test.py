"""Whether the README's table is that of values.yaml, and the schema has the same values."""

import json
import unittest

import helm
import table


class Table(unittest.TestCase):
    def test_the_readme_has_it(self):
        self.assertIn(table.table(), table.README.read_text(), "charts/tests/run --write takes it over")

    def test_every_value_is_in_it(self):
        there = {".".join(path) for path, _ in table.comments()}

        def walk(values, path):
            for name, value in values.items():
                at = f"{path}.{name}" if path else name
                self.assertIn(at, there)
                if isinstance(value, dict) and name not in table.WHOLE:
                    walk(value, at)

        walk(table.default([]), "")

    def test_the_schema_has_no_value_that_is_not_there(self):
        schema = json.loads((helm.CHART / "values.schema.json").read_text())

        def walk(part, values, path):
            part = schema["definitions"][part["$ref"].rpartition("/")[2]] if "$ref" in part else part
            for name, inner in part.get("properties", {}).items():
                if name == "global" or name in table.WHOLE or name == "dnsConfig":
                    continue
                self.assertIn(name, values, f"{path}.{name}")
                if isinstance(values[name], dict):
                    walk(inner, values[name], f"{path}.{name}")

        walk(schema, table.default([]), "")

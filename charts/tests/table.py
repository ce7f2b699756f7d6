"""The table of values in the chart's README, made of values.yaml and its comments."""

import json
import re

import helm
import yaml

README = helm.CHART / "README.md"
VALUES = helm.CHART / "values.yaml"
BEGIN, END = "<!-- values: made by `charts/tests/run --write` -->", "<!-- end of values -->"
HEAD = "| value | default | meaning |\n| --- | --- | --- |"
KEY = re.compile(r"^((?:  )*)([A-Za-z]+):")
# Maps of Kubernetes' own settings: one value here, whatever is in them.
WHOLE = {
    "updateStrategy", "resources", "affinity", "nodeSelector", "tolerations", "securityContext", "podSecurityContext",
}
LONGEST = 60


def default(path):
    value = yaml.safe_load(VALUES.read_text())
    for name in path:
        value = value[name]
    return value


def is_section(path):
    """Whether a value is a map of further values of this chart."""
    value = default(path)
    return isinstance(value, dict) and bool(value) and path[-1] not in WHOLE


def comments():
    """Path of every value, in order, and what is said above it."""
    path, said = [], []
    for line in VALUES.read_text().splitlines():
        if line.strip().startswith("# ──"):
            said = []
        elif line.strip().startswith("#"):
            said.append(line.strip().lstrip("# "))
        elif key := KEY.match(line):
            path[len(key[1]) // 2 :] = [key[2]]
            if not WHOLE & set(path[:-1]):
                yield list(path), " ".join(said)
            said = []
        else:
            said = []


def row(path, said):
    value = json.dumps(default(path), ensure_ascii=False)
    shown = "" if is_section(path) else "see values.yaml" if len(value) > LONGEST else f"`{value}`"
    said = said.replace("|", "\\|")
    return f"| `{'.'.join(path)}` | {shown} | {said} |" if said or shown else None


def table():
    parts = [[HEAD]]
    for path, said in comments():
        if len(path) == 1 and is_section(path):
            parts.append([f"### `{path[0]}`\n\n{said}\n\n{HEAD}".replace("\n\n\n\n", "\n\n")])
        elif line := row(path, said):
            parts[-1].append(line)
    return "\n\n".join([BEGIN, *("\n".join(part) for part in parts), END])


def write():
    before, _, rest = README.read_text().partition(BEGIN)
    README.write_text(before + table() + rest.partition(END)[2])

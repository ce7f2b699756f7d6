"""Renders the chart, as a cluster of a given version would have it.

Owns: how the chart is loaded and what a rendered object is. Does not own: what is right about one.
"""

import functools
import json
import pathlib

import helm_python
import yaml
from helm_python import _native

ROOT = pathlib.Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/sawyer"
CASES = ROOT / "charts/tests/cases"

# What the newest cluster that is tested says of itself.
VERSIONS = [f"1.{minor}" for minor in range(29, 38)]
NEWEST = VERSIONS[-1]


@functools.cache
def chart():
    return helm_python.Chart.load(str(CHART))


def cases():
    """Values that are rendered, by name: each preset as its smallest, and with everything turned on."""
    return {path.stem: yaml.safe_load(path.read_text()) or {} for path in sorted(CASES.glob("*.yaml"))}


def files(values, version=NEWEST, apis=(), namespace="logs"):
    """The text of every template that is not empty, by its path."""
    options = {
        "name": "sawyer",
        "namespace": namespace,
        "kube_version": f"v{version}.0",
        "api_versions": list(apis),
    }
    # The package's own `render` does not pass a cluster's version on; the library below it does.
    text = _native.call_string("helm_render", chart()._raw(), json.dumps(values), json.dumps(options))
    rendered = json.loads(text)
    return {path: rendered[path] for path in sorted(rendered) if rendered[path].strip()}


def objects(values, version=NEWEST, apis=()):
    """All rendered objects."""
    found = []
    for path, text in files(values, version, apis).items():
        if path.endswith(".yaml"):
            found += [document for document in yaml.safe_load_all(text) if document]
    return found


def one(found, kind, name):
    """The object of that kind and name."""
    named = [each for each in found if each["kind"] == kind and each["metadata"]["name"] == name]
    assert len(named) == 1, f"{len(named)} of {kind} {name}"
    return named[0]

"""What each case renders to, to the letter: a change of the chart shows what it changes for whom."""

import re
import unittest

import helm

GOLDEN = helm.ROOT / "charts/tests/golden"
# A secret that was made at random is another one every time.
RANDOM = re.compile(r"^(  token: )[A-Za-z0-9+/=]{20,}$", re.MULTILINE)


def render(values):
    parts = []
    for path, text in helm.files(values).items():
        if path.endswith("NOTES.txt"):
            lines = "\n".join(f"# {line}".rstrip() for line in text.strip().splitlines())
            parts.append(f"# Said after the installation:\n#\n{lines}\n")
        else:
            text = RANDOM.sub(r"\1(random)", text.strip())
            parts.append(f"---\n# {path}\n" + text.removeprefix("---").lstrip("\n") + "\n")
    return "".join(parts)


def write():
    GOLDEN.mkdir(exist_ok=True)
    for path in GOLDEN.glob("*.yaml"):
        path.unlink()
    for name, values in helm.cases().items():
        (GOLDEN / f"{name}.yaml").write_text(render(values))


class Golden(unittest.TestCase):
    maxDiff = 4000

    def test_every_case_renders_as_before(self):
        for name, values in helm.cases().items():
            with self.subTest(case=name):
                path = GOLDEN / f"{name}.yaml"
                before = path.read_text() if path.exists() else ""
                self.assertMultiLineEqual(before, render(values), "charts/tests/run --write takes it over")

    def test_nothing_is_left_of_a_case_that_is_gone(self):
        self.assertEqual({path.stem for path in GOLDEN.glob("*.yaml")}, set(helm.cases()))

    def test_no_line_is_empty_or_ends_in_blanks(self):
        for name, values in helm.cases().items():
            for path, text in helm.files(values).items():
                if path.endswith(".yaml"):
                    for line in text.strip().splitlines():
                        self.assertEqual(line, line.rstrip(), f"{name} {path}")
                        self.assertTrue(line, f"an empty line: {name} {path}")

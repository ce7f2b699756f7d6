"""Runs the tests of the chart, and says how many passed in a line of its own."""

import pathlib
import sys
import unittest

import objects_test
import table

HERE = pathlib.Path(__file__).parent


def main(arguments):
    if arguments == ["--write"]:
        table.write()
        import golden_test

        golden_test.write()
        return 0
    if arguments:
        print("usage: charts/tests/run [--write]", file=sys.stderr)
        return 2
    suite = unittest.TestLoader().discover(str(HERE), pattern="*_test.py")
    count = suite.countTestCases()
    result = unittest.TextTestRunner(verbosity=1).run(suite)
    # A test with several cases fails once, however many of them did.
    failed = len({getattr(test, "test_case", test).id() for test, _ in result.failures + result.errors})
    print(f"{objects_test.checked()} objects judged by schemas")
    print(f"{count - failed} passed, {failed} failed")
    return 1 if failed or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

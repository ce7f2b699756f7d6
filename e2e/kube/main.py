"""Brings a node up, runs the steps of the scenario, and takes the node away, whatever happened."""

import contextlib
import pathlib
import shutil
import signal
import sys
import tempfile
import time
import traceback

from names import Names
from node import Node
from scenario import NAMESPACE, Scenario


def interrupted(number, _frame):
    raise KeyboardInterrupt(f"signal {number}")


def run(scenario, node):
    """How many steps passed and failed. One that fails ends it: the steps after it rest on it."""
    names = [name for name in dir(type(scenario)) if name.startswith("step_")]
    names.sort(key=lambda name: getattr(type(scenario), name).__code__.co_firstlineno)
    for number, name in enumerate(names):
        started = time.monotonic()
        try:
            getattr(scenario, name)()
        except Exception:
            traceback.print_exc()
            print(f"FAILED {name.removeprefix('step_').replace('_', ' ')}", flush=True)
            with contextlib.suppress(Exception):
                node.tell(NAMESPACE)
            return number, len(names) - number
        took = time.monotonic() - started
        print(f"ok {name.removeprefix('step_').replace('_', ' ')} ({took:.1f} s)", flush=True)
    return len(names), 0


def main():
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupted)
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="sawyer-e2e-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        node = Node(folder / "node")
        stack.callback(node.close)
        node.open()
        names = stack.enter_context(contextlib.closing(Names(node)))
        scenario = stack.enter_context(contextlib.closing(Scenario(node, names, folder)))
        passed, failed = run(scenario, node)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

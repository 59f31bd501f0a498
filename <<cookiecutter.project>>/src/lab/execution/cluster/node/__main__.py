"""Where the program begins."""

from __future__ import annotations

import ctypes
import json
import os
import pwd
import signal
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from lab.execution.cluster.node.checkout import Guard, new_checkout, sweep
from lab.execution.cluster.node.report import FolderReport, Report
from lab.execution.cluster.node.run import Refused, Run, StageFailed, Trouble, node_name


def main() -> None:
    if len(sys.argv) == 1:
        die_with_parent()
        task = json.load(sys.stdin)
        sys.exit(carry_out(task, lambda kind, value: print(json.dumps([kind, value]), flush=True)))
    folder, array, index = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    place = folder / "tasks" / (folder / "arrays" / array).read_text().splitlines()[index]
    if (place / "task.json").exists():  # else it has been taken back
        sys.exit(carry_out(json.loads((place / "task.json").read_text()), FolderReport(place)))


def carry_out(task: dict[str, Any], report: Report) -> int:
    """Run a task unless its experiment is there. Returns an exit code: 0 where the ref is on the remote."""
    note = {"state": "running", "node": node_name(), "taken": time.time(), "attempt": uuid.uuid4().hex[:12]}
    report("note", note)
    os.environ.setdefault("USER", pwd.getpwuid(os.getuid()).pw_name)
    scratch = Path(os.path.expandvars(task["scratch"]))
    scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
    sweep(scratch)
    tree, lock = new_checkout(scratch, task["name"])
    run = Run(task, tree, report)
    guard = Guard(tree, lock)
    try:
        outcome, code = run.carry_out(guard), 0
    except Refused as reason:
        outcome, code = "refused", 2
        report("log", f"ERROR: {reason}\n")
    except (Trouble, OSError) as reason:
        outcome, code = "trouble", None
        report("log", f"ERROR: {reason}\n")
    except StageFailed as failure:
        outcome, code = "failed", failure.code
    report("note", {**note, "state": "over", "outcome": outcome, "returncode": code, "ended": time.time()})
    guard.end()
    return 0 if code == 0 else 1


def die_with_parent() -> None:
    """Get SIGKILL when the process ends that started this one, as soon as it does (Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(os.environ["LAB_PARENT"]):  # it has ended already
        sys.exit(1)


if __name__ == "__main__":
    main()

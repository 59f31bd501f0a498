"""`lab` run in this process, as a person would type it: a second or two faster than a process of its own."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest import mock

from lab import cli
from lab.cli import answer, app, new, plan, run, track
from lab.contract import hooks

WITH_ROOT = (app, answer, new, plan, run, track)


def lab(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `lab` says in the project at `root`."""
    out, err = io.StringIO(), io.StringIO()
    command = ["lab", *arguments]
    with about(root, environment), redirect_stdout(out), redirect_stderr(err), mock.patch.object(sys, "argv", command):
        try:
            cli.main()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


@contextmanager
def about(root: Path, environment: dict[str, str]) -> Iterator[None]:
    """`lab` is the one of this project, in its folder."""
    private = ("PYTEST_CURRENT_TEST", "DVC_ROOT", "GIT_DIR", "GIT_INDEX_FILE")
    kept = {name: value for name, value in os.environ.items() if name not in private}
    hooks.load.cache_clear()
    app.open_backend.cache_clear()
    with mock.patch.dict(os.environ, {**kept, **environment}, clear=True), chdir(root):
        patches = [mock.patch.object(module, "ROOT", root) for module in WITH_ROOT]
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()

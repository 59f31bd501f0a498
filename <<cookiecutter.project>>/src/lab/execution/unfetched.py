"""Experiments that others have pushed: a clone of git's has none of them, and would run anew what has run already."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.records.project import Project

PATIENCE = 10.0  # seconds for a git remote to answer: no run waits for a network that is not there
PATTERN = "refs/exps/??/*"


def unfetched(project: Project) -> str:
    """What to fetch first, where git's remote has experiments and this repository none; empty elsewhere."""
    if project.git.experiments():
        return ""
    for remote in project.git.run("remote").splitlines():
        if number := _experiments(project, remote):
            return (
                f"{remote} has {number} experiment{'s' if number > 1 else ''}, and this clone none: what has run there "
                f"runs anew here, unless you stop and git fetch {remote} 'refs/exps/*:refs/exps/*'"
            )
    return ""


def _experiments(project: Project, remote: str) -> int:
    """How many a remote has; 0 where it doesn't answer, or asks for a password."""
    quiet = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_ASKPASS": "true", "SSH_ASKPASS": "true"}
    quiet.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    command = ["git", "ls-remote", "-q", remote, PATTERN]
    try:
        done = subprocess.run(
            command, cwd=project.root, env=quiet, stdin=subprocess.DEVNULL, capture_output=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        return 0
    return len(re.findall(rb"\trefs/exps/[0-9a-f]{2}/", done.stdout))

"""Git remotes for repositories of tests."""

from __future__ import annotations

import subprocess
from pathlib import Path


def published(root: Path, clusters: str = "") -> Path:
    """A bare remote of a repository, with its branch and conf/cluster.yaml. Returns where it is.

    Each has a place of its own for checkouts and data: nodes would know the same runs of other tests.
    """
    bare, scratch = root.with_name(f"{root.name}.git"), root.with_name(f"{root.name}-nodes")
    (root / "conf").mkdir(exist_ok=True)
    (root / "conf" / "cluster.yaml").write_text(
        f"slurm: {{scratch: {scratch}, shards: 2}}\nray: {{scratch: {scratch}}}\n{clusters}"
    )
    subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(bare)], check=True)
    who = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    for command in (
        ["add", "conf/cluster.yaml"],
        [*who, "commit", "-q", "-m", "clusters"],
        ["remote", "add", "origin", str(bare)],
        ["push", "-q", "origin", "main"],
    ):
        subprocess.run(["git", *command], cwd=root, check=True, capture_output=True)
    return bare

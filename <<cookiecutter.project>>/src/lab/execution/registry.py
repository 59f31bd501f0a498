"""Which backends there are, by name: this machine, engines of clusters, and the clusters of conf/cluster.yaml."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from lab.errors import UserError, nearest, not_one_of
from lab.execution.backend import Backend
from lab.execution.cluster import queue_refs, settings
from lab.git import Repository

BACKENDS = {
    "dvc": "lab.execution.dvc.backend:DvcBackend",
    "dvc-workers": "lab.execution.dvc.backend:DvcWorkersBackend",
}
ENGINES = {"slurm": "lab.execution.slurm.engine:Slurm", "ray": "lab.execution.ray.engine:Ray"}
"""What starts runs on nodes, for a backend that all clusters share; conf/cluster.yaml may have several of each."""
DEFAULT = "dvc"


def backend(root: Path, name: str = DEFAULT) -> Backend:
    """The backend called `name`, for the project at `root`. Raises UserError."""
    if name in BACKENDS:
        return _load(BACKENDS[name])(root)
    engine = settings.engine_of(root, name)
    if engine not in ENGINES:
        known = dict.fromkeys([*BACKENDS, *ENGINES, *settings.names(root)])
        if name in known:
            raise UserError(f"{settings.FILE}: {name}.engine: {not_one_of(engine, ENGINES)}")
        raise UserError(f"no backend {name}: there are {', '.join(known)}.{nearest(name, known)}")
    from lab.execution.cluster.backend import ClusterBackend  # which knows what only Linux and macOS have

    kind = _load(ENGINES[engine])
    return ClusterBackend(root, name, settings.read(root, name, kind.Settings), kind)


def in_use(root: Path) -> list[str]:
    """The default backend, and each cluster that has something to do or to tell."""
    try:
        return [DEFAULT, *queue_refs.clusters(Repository(root))]
    except UserError:  # no git repository yet
        return [DEFAULT]


def _load(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)

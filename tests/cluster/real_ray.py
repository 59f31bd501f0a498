"""A real Ray on this machine, for tests: two nodes with GPUs that are none.

They are bound to loopback addresses that Ray does not take for localhost, which it replaces by another.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import psutil


class RealRay:
    """Ray's processes, with their files in `folder`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.cluster: Any = None
        self.nodes: list[Any] = []

    def begin(self) -> None:
        """Start both nodes, one after the other: together they take too long for Ray's own patience."""
        token = self.folder / "token"
        token.write_text(secrets.token_hex(32))
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token), "RAY_USAGE_STATS_ENABLED": "0"}
        from ray.cluster_utils import Cluster

        options = {"num_cpus": 2, "num_gpus": 1, "object_store_memory": 10**8, "include_dashboard": False}
        self.cluster = Cluster(initialize_head=True, head_node_args={**options, "node_ip_address": "127.0.0.2"})
        self.nodes = [self.cluster.head_node, self.add()]
        os.environ["RAY_ADDRESS"] = self.cluster.address

    def add(self) -> Any:
        """Another node."""
        return self.cluster.add_node(num_cpus=2, num_gpus=1, object_store_memory=10**8, node_ip_address="127.0.0.3")

    def kill(self) -> None:
        """The second node is gone, as if its machine had lost power."""
        self.cluster.remove_node(self.nodes.pop(), allow_graceful=False)

    def restore(self) -> None:
        """Bring back what was lost."""
        if len(self.nodes) < 2:
            self.nodes.append(self.add())

    def end(self) -> None:
        """End all."""
        os.environ.pop("RAY_ADDRESS", None)
        if self.cluster is not None:
            self.cluster.shutdown()


def processes(word: str) -> list[psutil.Process]:
    """Processes that have a word in their command line."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if word in " ".join(process.info["cmdline"] or []) and process.pid != os.getpid():
            found.append(process)
    return found

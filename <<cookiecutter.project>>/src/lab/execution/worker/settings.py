"""DVC's settings for a checkout: those of its commit, and those of the project that are not committed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lab.execution.worker.errors import Unsupported

DEFAULT_TYPES = ["reflink", "copy"]


class Settings:
    """The settings of the project at `root`, of which those in .dvc/config.local go for all of its checkouts."""

    def __init__(self, root: Path):
        from dvc.config import Config
        from dvc.exceptions import DvcException

        try:
            config = Config(str(root / ".dvc"))
        except DvcException as error:
            raise Unsupported(str(error)) from error
        if config["cache"].get("local"):
            raise Unsupported("cache.local")
        self.cache = Path(os.path.abspath(config["cache"].get("dir") or root / ".dvc" / "cache"))
        self._local = config.read("local")

    def read(self, project: Path) -> dict[str, Any]:
        """The settings of a commit that is checked out at `project`, where DVC's own local ones are written.

        Raises Unsupported.
        """
        from configobj import ConfigObj
        from dvc.config import Config
        from dvc.env import DVC_EXP_AUTO_PUSH
        from dvc.exceptions import DvcException
        from dvc.utils import env2bool

        local = ConfigObj(self._local, encoding="utf-8")  # its own choice is ASCII
        local.merge({"cache": {"dir": str(self.cache)}})
        with (project / ".dvc" / "config.local").open("wb") as file:
            local.write(file)
        try:
            config = Config(str(project / ".dvc"))
        except DvcException as error:
            raise Unsupported(str(error)) from error
        if env2bool(DVC_EXP_AUTO_PUSH, config["exp"].get("auto_push", False)):
            raise Unsupported("exp.auto_push")
        if config["studio"].get("token") or os.environ.get("DVC_STUDIO_TOKEN"):
            raise Unsupported("DVC Studio")
        if config["core"].get("no_scm") or config["cache"].get("local"):
            raise Unsupported("core.no_scm or cache.local")
        return config


def cache_types(config: dict[str, Any]) -> list[str]:
    """How DVC links files to its cache, the best way first."""
    return list(config["cache"].get("type") or DEFAULT_TYPES)

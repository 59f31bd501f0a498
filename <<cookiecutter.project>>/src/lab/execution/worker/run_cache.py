"""DVC's run cache: what a stage came to, by its command, its inputs and the names of its outputs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lab.execution.worker.cache import write_whole


class RunCache:
    """The entries below `folder` (…/cache/runs). Written whole, so that no reader finds half of one."""

    def __init__(self, folder: Path, folder_mode: int, file_mode: int):
        self.folder = folder
        self._folder_mode = folder_mode
        self._file_mode = file_mode

    @staticmethod
    def key(entry: dict[str, Any]) -> str:
        """What entries for the same command on the same inputs are filed under."""
        from dvc.stage.cache import _get_cache_hash

        return _get_cache_hash(dict(entry), key=True)

    def newest(self, entry: dict[str, Any]) -> dict[str, Any] | None:
        """What a stage with this command and these inputs came to last; None where it never did."""
        folder = self._place(self.key(entry))
        try:
            found = [item for item in os.scandir(folder) if not item.name.endswith(".tmp")]
        except FileNotFoundError:
            return None
        # Another worker's entry may be renamed or removed as we look.
        times = [(item.stat().st_mtime, item) for item in found if os.path.exists(item)]
        return self._load(Path(max(times, key=lambda pair: pair[0])[1])) if times else None

    def save(self, entry: dict[str, Any]) -> None:
        """Note what a stage came to, unless the same is there."""
        from dvc.stage.cache import _get_cache_hash
        from dvc.utils.serialize import dumps_yaml
        from dvc_objects.fs.utils import makedirs

        path = self._place(self.key(entry)) / _get_cache_hash(dict(entry))
        if self._load(path):
            return
        makedirs(str(path.parent), exist_ok=True, mode=self._folder_mode)
        write_whole(path, dumps_yaml(entry).encode(), self._file_mode, self.folder.parent)

    def _place(self, key: str) -> Path:
        return self.folder / key[:2] / key

    @staticmethod
    def _load(path: Path) -> dict[str, Any] | None:
        from dvc.exceptions import DvcException
        from dvc.schema import COMPILED_LOCK_FILE_STAGE_SCHEMA
        from dvc.utils.serialize import parse_yaml
        from voluptuous import Invalid

        try:
            entry: Any = parse_yaml(path.read_text(encoding="utf-8"), str(path))
            COMPILED_LOCK_FILE_STAGE_SCHEMA(entry)
            return entry
        except FileNotFoundError:
            return None
        except (DvcException, Invalid, UnicodeDecodeError):
            path.unlink(missing_ok=True)
            return None

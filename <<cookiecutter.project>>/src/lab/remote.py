"""DVC's remotes: where they are, and what lies on one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lab.errors import UserError


class Addresses:
    """DVC's config in the project at `root`, and the remotes that it names."""

    def __init__(self, root: Path):
        self.root = root

    @cached_property
    def config(self) -> Any:
        """DVC's config, by section."""
        from dvc.config import Config

        return Config(str(self.root / ".dvc"))

    @property
    def remote_url(self) -> str:
        """The default remote's address; empty without one."""
        name = self.config["core"].get("remote", "")
        return str(self.config["remote"].get(name, {}).get("url", ""))

    def package_lacking(self, url: str) -> str:
        """The package by which DVC reads such an address, such as dvc-s3, where it is not installed; else empty.

        remote://NAME/… is an address on the remote of that name.
        """
        from dvc_objects.fs import known_implementations

        scheme, _, rest = url.partition("://")
        if scheme == "remote":
            return self.package_lacking(str(self.config["remote"].get(rest.partition("/")[0], {}).get("url", "")))
        module = known_implementations.get(scheme, {}).get("class", "").partition(".")[0] if rest else ""
        return module.replace("_", "-") if module and find_spec(module) is None else ""

    @property
    def folder_remotes(self) -> dict[str, str]:
        """The remotes that are folders, by name, with their full paths: the config may name them from its own place."""
        urls = {name: str(remote.get("url", "")) for name, remote in self.config["remote"].items()}
        return {name: url for name, url in urls.items() if url and "://" not in url}

    @property
    def remote_place(self) -> str:
        """The same for other clones: a folder, which the config names from .dvc/ on, from the project's root."""
        from dvc.config_schema import ExpPath, RelPath

        url = self.config["remote"].get(self.config["core"].get("remote", ""), {}).get("url", "")
        if isinstance(url, RelPath):
            return os.path.relpath(url, self.root.absolute())
        return url.def_path if isinstance(url, ExpPath) else str(url)

    def private_remote(self) -> str:
        """What to do about a remote that lies inside the project, where nobody else reaches it; empty for any other."""
        name, url = self.config["core"].get("remote", ""), self.remote_url
        if "://" in url or not Path(url).is_relative_to(self.root):
            return ""
        return (
            f"DVC's remote {name} is a folder of this project, {Path(url).relative_to(self.root)}: nobody else reaches "
            f"it. dvc remote modify {name} url URL, git commit, and push again"
        )


class Remote:
    """A remote of DVC's called `name`, a folder or a bucket, by DVC's own access to it."""

    def __init__(self, name: str, odb: Any):
        self.name, self._odb = name, odb

    def sizes(self) -> dict[str, int]:
        """How many bytes each file there has, by its hash. Raises UserError."""
        with self._told():
            if not self._odb.fs.exists(self._odb.path):
                return {}
            found = self._odb.fs.fs.find(self._odb.path, detail=True)
            if not isinstance(found, dict):  # of a folder DVC's own way gives the paths alone
                paths = list(found)
                found = dict(zip(paths, self._odb.fs.info(paths), strict=True))
        sizes = {}
        for path, info in found.items():
            with suppress(ValueError):  # something else that lies there
                sizes[self._odb.path_to_oid(path)] = int(info.get("size") or 0)
        return sizes

    def listing(self, md5: str) -> list[str] | None:
        """The hashes of a folder's files; None where its list is not there. Raises UserError."""
        with self._told():
            try:
                with self._odb.fs.open(self._odb.oid_to_path(md5), "rb") as file:
                    return [entry["md5"] for entry in json.load(file)]
            except FileNotFoundError:
                return None

    def remove(self, hashes: Iterable[str]) -> None:
        """Delete files there: first lists of folders, since DVC takes a list for all of its files. Raises UserError."""
        from dvc_data.hashfile.db import get_index

        with self._told():
            get_index(self._odb).clear()  # what this machine believes to be there
            for batch in by_kind(hashes):
                if batch:
                    self._odb.fs.remove([self._odb.oid_to_path(md5) for md5 in batch])

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except UserError:
            raise
        except Exception as error:  # every kind of remote has errors of its own
            raise UserError(f"DVC's remote {self.name}: {error}") from error


def by_kind(hashes: Iterable[str]) -> tuple[list[str], list[str]]:
    """Lists of folders, and files."""
    known = sorted(hashes)
    return [md5 for md5 in known if md5.endswith(".dir")], [md5 for md5 in known if not md5.endswith(".dir")]

"""DVC's cache and remote, and its settings: what git names by a hash, brought here or to others.

Beside execution, which knows DVC's queue and executor, only this module and remote.py know DVC's insides.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from lab import yaml12
from lab.errors import UserError
from lab.remote import Addresses, Remote, by_kind


class Store(Addresses):
    """Where the project at `root` keeps its data and models."""

    @cached_property
    def cache(self) -> Path:
        """The folder of files by their hashes: the project's own, or the one that DVC's config names."""
        folder = self.config["cache"].get("dir") or self.root / ".dvc" / "cache"
        return Path(folder) / "files" / "md5"

    def file(self, md5: str | None) -> Path | None:
        """The file, or a folder's list of files, of this hash; None where it is not here."""
        path = os.path.join(self.cache, md5[:2], md5[2:]) if md5 else ""  # pathlib takes three times as long
        return Path(path) if os.path.isfile(path) else None

    def files(self, md5: str | None) -> dict[str, Path]:
        """The files of an output of this hash that are here, by their paths below it: `""` for one that is a file."""
        path = self.file(md5)
        if path is None or md5 is None:
            return {}
        if not md5.endswith(".dir"):
            return {"": path}
        entries = json.loads(path.read_text())
        there = {entry["relpath"]: self.file(entry["md5"]) for entry in entries}
        return {name: file for name, file in there.items() if file is not None}

    def has(self, md5: str) -> bool:
        """Whether all of an output of this hash is here."""
        listed = self.listing(md5) if md5.endswith(".dir") else []
        return listed is not None and all(self.file(each) for each in (md5, *listed))

    # Whether the bytes are what their hash says

    def damaged(self, hashes: Iterable[str]) -> dict[str, Path]:
        """Of these hashes, with the files of those that are folders, the ones whose file here has another content."""
        wrong, looked_at = {}, set()

        def look(md5: str) -> bool:
            file = None if md5 in looked_at else self.file(md5)
            looked_at.add(md5)
            if file and md5_of(file) != md5.partition(".")[0]:
                wrong[md5] = file
            return md5 not in wrong

        for md5 in hashes:
            if look(md5):
                for part in self._with_files(md5):
                    look(part)
        return wrong

    def check(self, wanted: Mapping[str, str]) -> None:
        """Raises UserError, where a file of DVC's cache is not what its hash says, with where a sound one is.

        Args:
            wanted: hashes, and what each is, for people. What is not here is not looked at.
        """
        wrong = self.damaged(wanted)
        if not wrong:
            return
        owners = {part: what for md5, what in wanted.items() for part in (md5, *self._parts(md5, wrong))}
        elsewhere = self._sound_on_remote(wrong)
        remote, lines = self.config["core"].get("remote"), []
        for md5, file in wrong.items():
            removal = f"rm {shlex.quote(str(file))}"
            lines.append(
                f"{owners[md5]} is damaged in DVC's cache: {file} has other bytes than its name, an MD5 hash, says. "
                + (
                    f"The remote {remote} has a sound one: {removal}, and the same command again"
                    if md5 in elsewhere
                    else f"No sound one is on a remote: {removal}, and run again what made it"
                )
            )
        raise UserError("\n".join(lines))

    def _parts(self, md5: str, wrong: Mapping[str, Path]) -> list[str]:
        """The files of a folder; none where its own list is damaged."""
        return [] if md5 in wrong else self._with_files(md5)

    def _sound_on_remote(self, hashes: Iterable[str]) -> set[str]:
        """Those of these that the default remote has, and where that is a folder, with the right bytes."""
        wanted = set(hashes)
        there = wanted - (self.nowhere(wanted, here=False) or set()) if self.config["core"].get("remote") else set()
        folder = Path(self.remote_url) / "files" / "md5"
        if "://" in self.remote_url:
            return there
        return {
            md5
            for md5 in there
            if (file := folder / md5[:2] / md5[2:]).is_file() and md5_of(file) == md5.partition(".")[0]
        }

    def nowhere(self, hashes: Iterable[str], here: bool = True) -> set[str] | None:
        """Those of these that are neither in the cache (unless `here`: on the remote alone) nor on the default remote.

        None where there is something to ask the remote, and it can't be read from here.
        """
        absent = {md5 for md5 in hashes if not (here and self.file(md5))}
        if not absent:
            return set()
        name, url = self.config["core"].get("remote"), self.remote_url
        if not name or ("://" not in url and not Path(url).is_dir()):
            return None
        from dvc.repo import Repo

        try:
            with Repo(str(self.root)) as repo:
                return absent - set(repo.cloud.get_remote_odb(name).oids_exist(list(absent)))
        except Exception:  # every kind of remote has errors of its own
            return None

    def add(self, path: Path, md5: str) -> None:
        """Put a file into the cache, by its hash."""
        from dvc.fs import LocalFileSystem
        from dvc.repo import Repo

        with Repo(str(self.root)) as repo:
            repo.cache.local.add(str(path), LocalFileSystem(), md5)

    def fetch(self, hashes: Iterable[str]) -> None:
        """Bring these from the remote, as far as it has them with the right bytes; what is wrong is told on stderr."""
        from dvc.repo import Repo
        from dvc_data.hashfile.hash_info import HashInfo

        wanted = [*hashes]
        logging.getLogger("dvc").setLevel(logging.CRITICAL)  # it would name each file that is nowhere
        try:
            with Repo(str(self.root)) as repo:
                repo.cloud.pull({HashInfo("md5", md5) for md5 in wanted})
        except Exception as error:  # every kind of remote has errors of its own
            print(f"lab: DVC's remote can't be read: {error}", file=sys.stderr)
        for md5, file in self.damaged(wanted).items():
            file.unlink()
            print(f"lab: {md5} came damaged from DVC's remote, and was not taken: push it there anew", file=sys.stderr)

    def checkout(self, dvc_file: Path) -> None:
        """Lay the files that a .dvc file names into the work tree, from the cache or the remote.

        Raises:
            UserError: they are nowhere, or not what their hashes say.
        """
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc.repo.checkout import CheckoutError

        outs = yaml12.mapping(dvc_file.read_text(encoding="utf-8")).get("outs") or []
        wanted = {out["md5"]: f"{out['path']} of {dvc_file.name}" for out in outs}
        self.check(wanted)
        try:
            with Repo(str(self.root)) as repo:
                try:
                    repo.checkout([str(dvc_file)])
                except CheckoutError:  # not in the cache
                    repo.fetch([str(dvc_file)])
                    self.check(wanted)
                    repo.checkout([str(dvc_file)])
        except DvcException as error:
            raise UserError(
                f"the files of {dvc_file.name} are neither in DVC's cache nor on its remote: {error}"
            ) from error

    def push(self, wanted: Mapping[str, str], along: Iterable[str]) -> int:
        """Send outputs by their hashes to the default remote, with the files of those that are folders.

        By hash, and to the remote that is configured here: `dvc push` of an experiment asks its own commit for the
        remote, which may be older than that.

        Args:
            wanted: what each hash is, for people; all of it has to be on the remote afterwards.
            along: hashes that are sent where they are here.

        Returns:
            How many files were sent.

        Raises:
            UserError: there is no default remote, something is on neither side, or not what its hash says.
        """
        from dvc.exceptions import DvcException
        from dvc.repo import Repo
        from dvc_data.hashfile.hash_info import HashInfo

        name = self.config["core"].get("remote")
        if not name:
            raise UserError("DVC has no default remote: dvc remote add --default storage URL")
        self.check({md5: what for md5, what in wanted.items() if md5.endswith(".dir")})
        parts = {part: what for md5, what in wanted.items() for part in self._with_files(md5)}
        others = {part for md5 in along for part in self._with_files(md5)}
        self.check({**dict.fromkeys(others, "a file of the baseline"), **parts})
        try:
            with Repo(str(self.root)) as repo:
                sent = repo.cloud.push({HashInfo("md5", md5) for md5 in {*parts, *others}}, remote=name)
                there = set(repo.cloud.get_remote_odb(name).oids_exist(list(parts)))
        except (DvcException, OSError) as error:
            raise UserError(f"dvc could not push to the remote {name}, so that nothing was pushed: {error}") from error
        missing = [what for md5, what in parts.items() if md5 not in there]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UserError(
                f"{missing[0]}{more} is neither in DVC's cache here nor on the remote {name}, so nothing was pushed to "
                "git: push from where it ran"
            )
        return len(sent.transferred)

    def _with_files(self, md5: str) -> list[str]:
        """The hash of an output, and of its files where it is a folder: DVC's cloud would take the list for all."""
        listing = self.file(md5) if md5.endswith(".dir") else None
        return [md5, *(entry["md5"] for entry in json.loads(listing.read_text()))] if listing else [md5]

    # What it holds, and what is to go

    @property
    def is_own(self) -> bool:
        """Whether the cache lies inside the project, so that no other one has files in it."""
        return self.cache.resolve().is_relative_to(self.root.resolve())

    def sizes(self) -> dict[str, int]:
        """How many bytes each file of the cache has, by its hash."""
        folders = (entry for entry in _scanned(self.cache) if entry.is_dir() and len(entry.name) == 2)
        files = ((folder.name, file) for folder in folders for file in _scanned(Path(folder.path)))
        return {prefix + file.name: file.stat().st_size for prefix, file in files if file.is_file()}

    def listing(self, md5: str) -> list[str] | None:
        """The hashes of a folder's files; None where its list is not here."""
        path = self.file(md5)
        return [entry["md5"] for entry in json.loads(path.read_text())] if path else None

    def run_cache(self) -> dict[Path, dict[str, Any]]:
        """What DVC's run cache says of each run of a stage (cmd, deps, params, outs), by its file."""
        entries = {}
        for path in (self.cache.parents[1] / "runs").glob("*/*/*"):
            with suppress(OSError, yaml.YAMLError):  # one that is being written
                content = yaml12.load(path.read_text(encoding="utf-8"))
                if isinstance(content, dict):
                    entries[path] = content
        return entries

    @contextmanager
    def still(self) -> Iterator[None]:
        """Keeps DVC's commands out for as long. Raises UserError where one is at work here."""
        from dvc.lock import LockError
        from dvc.repo import Repo

        with Repo(str(self.root)) as repo:
            if busy := self._at_work():
                raise UserError(f"DVC is at work here ({busy}): wait until it has ended")
            try:
                with repo.lock:
                    yield
            except LockError as error:
                raise UserError(f"DVC is at work here: {error}") from error

    def _at_work(self) -> str:
        """The command of DVC's that runs a stage here, during which it holds no other lock; empty without one."""
        import psutil

        path = self.root / ".dvc" / "tmp" / "rwlock"
        with suppress(OSError, ValueError, AttributeError, TypeError, KeyError):
            for held in json.loads(path.read_text()).values():
                for holder in [held.get("write"), *(held.get("read") or [])]:
                    if holder and psutil.pid_exists(holder["pid"]):
                        return str(holder["cmd"])
        return ""

    def remove(self, hashes: Iterable[str]) -> None:
        """Delete files of the cache, and what the run cache says of runs whose outputs they are.

        In an order in which nothing is left, wherever it is cut off, that names a file which is gone: first the run
        cache, then lists of folders, then the files.
        """
        gone = set(hashes)
        for path, entry in self.run_cache().items():
            if any(part in gone for out in entry.get("outs", []) for part in self._with_files(out.get("md5", ""))):
                path.unlink(missing_ok=True)
        lists, files = by_kind(gone)
        for md5 in (*lists, *files):
            (self.cache / md5[:2] / md5[2:]).unlink(missing_ok=True)

    @contextmanager
    def remote(self) -> Iterator[Remote | None]:
        """The default remote, open; None where there is none. Raises UserError where it can't be read."""
        from dvc.exceptions import DvcException
        from dvc.repo import Repo

        name = self.config["core"].get("remote")
        if not name:
            yield None
            return
        with Repo(str(self.root)) as repo:
            try:
                odb = repo.cloud.get_remote_odb(name, "lab gc")
            except DvcException as error:
                raise UserError(f"the remote {name}: {error}") from error
            yield Remote(name, odb)


def md5_of(path: Path) -> str:
    """The MD5 hash of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _scanned(folder: Path) -> list[os.DirEntry[str]]:
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        return list(entries)
    return []

"""Data that nothing needs, found and freed: here, and on request where others read.

Only what runs that are known here have made may go; what else lies in DVC's cache or on its remote is left alone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lab.errors import UserError
from lab.execution.dvc import leftovers
from lab.retention.needs import needed
from lab.retention.outputs import design_of, outputs
from lab.retention.plan import Output, Plan, plan
from lab.review.branch import REMOTE
from lab.study import FINISHED

if TYPE_CHECKING:
    from lab.execution.backend import Backend
    from lab.records.project import Project

CUT_OFF = "left by a lab gc that was cut off"


class Store(Protocol):
    """Where files lie by their hashes: DVC's cache, or a remote of DVC's."""

    def sizes(self) -> dict[str, int]: ...
    def listing(self, md5: str) -> list[str] | None: ...
    def remove(self, hashes: Iterable[str]) -> None: ...


@dataclass(frozen=True)
class Place:
    """A place to free: what people call it, what does it, and the bytes of each file there by its hash."""

    name: str
    store: Store
    sizes: dict[str, int] = field(repr=False)


@dataclass(frozen=True)
class Found:
    """What can be freed, and where.

    Attributes:
        left: what is not looked at, a sentence each.
        checkouts: temporary ones that nobody is at, with their bytes.
    """

    plan: Plan
    places: list[Place]
    left: list[str]
    checkouts: dict[Path, int]

    def freed(self, place: Place) -> set[str]:
        """The files that go from a place."""
        return self.plan.freed.keys() & place.sizes.keys()


def look(project: Project, stack: ExitStack, keep: Iterable[str] = (), shared: bool = False) -> Found:
    """What nothing needs: in the project's own cache, and with `shared` also in one outside of it and on DVC's remote.

    `stack` closes the remote. Raises UserError: a word of `keep` is unknown, or a shared place can't be read, or who
    else uses it.
    """
    store, left = project.store, []
    places: list[Place] = []
    if store.is_own or shared:
        places.append(Place("here", store, store.sizes()))
    else:
        left.append(f"{store.cache.parents[1]} lies outside of the project, where others may read it: lab gc --shared")
    if shared:
        fetch(project)
        remote = stack.enter_context(store.remote())
        if remote:
            places.append(Place(f"on {remote.name}", remote, remote.sizes()))
    elif store.remote_url:
        left.append("DVC's remote is left as it is: lab gc --shared")

    @cache
    def files(md5: str) -> tuple[str, ...]:
        if not md5.endswith(".dir"):
            return (md5,)
        lists = (place.store.listing(md5) for place in places if md5 in place.sizes)
        return (md5, *(next((listed for listed in lists if listed is not None), None) or store.listing(md5) or ()))

    candidates = [*made(project), *cut_off(project)]
    if project.unread():
        left.append("nobody knows what runs made that can't be read, so that no run's leavings are freed: lab status")
    else:
        candidates += without_run(project)
    why = needed(project, keep)
    named = {output.md5 for output in candidates}
    for place in places:  # a folder that is nobody's here keeps its files
        for md5 in place.sizes:
            if md5.endswith(".dir") and md5 not in named:
                why.setdefault(md5, "folders that no run here names")
    return Found(plan(candidates, why, files), places, left, leftovers.stale(project.root))


def fetch(project: Project) -> None:
    """Branches and experiments of others, who need what they name. Raises UserError where they can't be had."""
    git = project.git
    if not git.remote_url(REMOTE):
        return
    for specs in ((), ("refs/exps/*:refs/exps/*",)):
        done = git.call("fetch", "--quiet", REMOTE, *specs)
        if done.returncode:
            raise UserError(
                f"git fetch {REMOTE} failed, so that nobody knows what others need on DVC's remote: "
                f"{done.stderr.strip()}. lab gc, without --shared, frees what is here"
            )
    project.refresh()


def made(project: Project) -> Iterator[Output]:
    """What finished runs have made."""
    for record in project.records():
        if record.status == FINISHED:
            for path, md5 in outputs(record).items():
                yield Output(path, md5, design_of(record), record.name)


def without_run(project: Project) -> Iterator[Output]:
    """What stages have made whose runs came to nothing, or were removed: DVC's run cache knows them."""
    if project.store.is_own:
        for entry in project.store.run_cache().values():
            for out in entry.get("outs") or []:
                if "md5" in out:
                    yield Output(out["path"], out["md5"])


# Freeing


def free(
    project: Project, backend: Backend, keep: Iterable[str], shared: bool, told: Found
) -> dict[str, tuple[int, int]]:
    """Free what was `told`, as far as nothing needs it now. Returns the number of files and the bytes by place.

    Nothing is queued, started or run by DVC meanwhile. Killed at any moment it leaves nothing that names a file which
    is gone, and the next one goes on.

    Raises:
        UserError: runs are under way, or DVC is at work.
    """
    freed = {}
    with ExitStack() as stack:
        stack.enter_context(backend.alone())
        if backend.workers():
            raise UserError("runs are under way: lab gc once they are over, or after lab stop")
        stack.enter_context(project.store.still())
        project.refresh()
        found = look(project, stack, keep, shared)
        before = {place.name: told.freed(place) for place in told.places}
        going = {place.name: found.freed(place) & before.get(place.name, set()) for place in found.places}
        note = journal(project)
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_text(json.dumps(sorted(set().union(*going.values(), cut_off_hashes(project)))))
        for place in found.places:
            gone = going[place.name]
            place.store.remove(gone)
            freed[place.name] = (len(gone), sum(place.sizes[md5] for md5 in gone))
        note.unlink()
        for checkout in told.checkouts.keys() & found.checkouts.keys():
            shutil.rmtree(checkout, ignore_errors=True)
    return freed


def journal(project: Project) -> Path:
    """What a `lab gc` is about to free: once the list of a folder is gone, nothing else names its files."""
    return project.root / ".dvc" / "tmp" / "lab" / "freeing.json"


def cut_off_hashes(project: Project) -> list[str]:
    """What one that was killed was about to free."""
    try:
        return [str(md5) for md5 in json.loads(journal(project).read_text())]
    except (OSError, ValueError):
        return []


def cut_off(project: Project) -> Iterator[Output]:
    """The same, as outputs."""
    return (Output(CUT_OFF, md5) for md5 in cut_off_hashes(project))

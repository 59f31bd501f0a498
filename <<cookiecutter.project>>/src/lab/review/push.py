"""A design's answer brought to where others work: first the data, then the experiments and the branch.

In this order nobody finds an experiment whose model is not there. git pushes branch and experiments together or not at
all, and never over what somebody else has pushed.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.errors import UserError
from lab.records import commit as checkout
from lab.records.record import Record
from lab.records.study import Study
from lab.review.branch import REMOTE, Branch, remote_url


def push(study: Study, branch: Branch) -> tuple[int, int]:
    """Push data, experiments and branch. Returns how many files were sent to the DVC remote, and how many experiments.

    Raises:
        UserError: there is no remote, something is not there after all, or others have pushed something else.
    """
    if not remote_url(study.root):
        raise UserError(f"there is no git remote {REMOTE}: git remote add {REMOTE} URL")
    finished = study.finished
    files = push_data(study.root, finished, branch.commit)
    refs = {reference(record): record.commit for record in finished if record.commit != record.baseline}
    wanted = {f"refs/heads/{branch.name}": branch.commit, **refs}
    push_refs(study.root, wanted)
    return files, len(refs)


def reference(record: Record) -> str:
    """Where git keeps an experiment."""
    return f"refs/exps/{record.baseline[:2]}/{record.baseline[2:]}/{record.name}"


def push_data(root: Path, found: Iterable[Record], branch: str) -> int:
    """Push the outputs that git has not, of all these runs at once. Returns how many files were sent. Raises UserError.

    By their hashes and to the remote that is configured here: `dvc push` of an experiment asks its own commit for the
    remote, which may be older than that. What else the commit `branch` has of the baseline, `dvc pull` there asks for: it
    goes along where it is here.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc_data.hashfile.hash_info import HashInfo

    outputs = {
        out["md5"]: f"{path} of {record.name}"
        for record in found
        for path, out in record.outputs.items()
        if checkout.commit(root, record.commit).object(path) is None
    }
    lock = checkout.commit(root, branch).locked
    beside = {out["md5"] for stage in lock.values() for out in stage.get("outs", []) if "md5" in out}
    with Repo(str(root)) as repo:
        name = repo.config["core"].get("remote")
        if not name:
            raise UserError("DVC has no default remote: dvc remote add --default storage URL")
        wanted = {part: what for md5, what in outputs.items() for part in with_files(repo.cache.local, md5)}
        along = {part for md5 in beside for part in with_files(repo.cache.local, md5)}
        try:
            sent = repo.cloud.push({HashInfo("md5", md5) for md5 in {*wanted, *along}}, remote=name)
            there = set(repo.cloud.get_remote_odb(name).oids_exist(list(wanted)))
            missing = [what for md5, what in wanted.items() if md5 not in there]
        except (DvcException, OSError) as error:
            raise UserError(f"dvc could not push to the remote {name}, so that nothing was pushed: {error}") from error
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(
            f"{missing[0]}{more} is neither in DVC's cache here nor on the remote {name}, so nothing was pushed to git: "
            "push from where it ran"
        )
    return len(sent.transferred)


def private(root: Path) -> str:
    """What to do about a DVC remote that lies inside the project, where nobody else reaches it; empty for any other."""
    from dvc.config import Config

    config = Config(str(root / ".dvc"))
    name = config["core"].get("remote", "")
    url = str(config["remote"].get(name, {}).get("url", ""))
    if "://" in url or not Path(url).is_relative_to(root):
        return ""
    return (
        f"DVC's remote {name} is a folder of this project, {Path(url).relative_to(root)}: nobody else reaches it. "
        f"dvc remote modify {name} url URL, git commit, and push again"
    )


def with_files(cache: Any, md5: str) -> Iterator[str]:
    """The hash of an output, and where that is a folder those of its files: DVC's cloud would take the list for all."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    yield md5
    if md5.endswith(".dir"):
        with suppress(FileNotFoundError):  # not in the cache: on the remote, or nowhere
            files = (file for _, _, file in Tree.load(cache, HashInfo("md5", md5)))
            yield from (file.value for file in files if file and file.value)


def push_refs(root: Path, wanted: dict[str, str]) -> None:
    """Push commits to these refs, all of them or none, and see that they are there. Raises UserError."""
    command = ["git", "push", "--quiet", "--atomic", REMOTE, *(f"{commit}:{ref}" for ref, commit in wanted.items())]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    seen = subprocess.run(["git", "ls-remote", REMOTE, *wanted], cwd=root, capture_output=True, text=True)
    there = {ref: commit for commit, ref in (line.split("\t") for line in seen.stdout.splitlines())}
    other = [ref for ref, commit in wanted.items() if there.get(ref) != commit]
    if done.returncode or other:
        which = f" Not as here: {', '.join(other)}." if other else ""
        raise UserError(
            f"git push failed, with the data pushed and no ref changed:{which} "
            f"git fetch {REMOTE} shows what others have pushed, and lab review builds on it.\n{done.stderr.strip()}"
        )

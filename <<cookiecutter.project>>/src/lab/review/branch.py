"""The review branch: a design's answer as one commit on its baseline, for others to check and to merge.

exp/<design> has what the winning run left in git (params.yaml, dvc.lock, metrics, curves and tables, as its experiment
has them) and the report with its figures. It is made of git's objects: the work tree and HEAD stay as they are. Made
again, it gets a commit more where something has changed, on top of whatever others have added to it.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pygit2
import yaml

from lab.analysis import gate
from lab.errors import UserError, nearest
from lab.records import commit as checkout
from lab.records.study import Row, Study
from lab.report import report
from lab.review import evidence

if TYPE_CHECKING:
    from lab.analysis.verdict import Verdict

PREFIX = "exp/"
REMOTE = "origin"
FILE = pygit2.enums.FileMode.BLOB


@dataclass(frozen=True)
class Branch:
    """A review branch. `row` is the run applied, None where the report stands alone; `changed`: it has a new commit."""

    name: str
    commit: str
    row: Row | None
    changed: bool


def chosen(study: Study, verdict: Verdict, arm: str | None = None, best: bool = False) -> Row | None:
    """The run to apply: of the winner, of the arm that is named, or of the best one, whatever that is worth.

    Of an arm's seeds it is the one that is nearest to their mean. None where the verdict has no winner: the baseline
    stays as it is. A design without a reference has nothing to lose against, so that its best arm is applied.

    Raises:
        UserError: no such arm, or no run of it has finished.
    """
    if arm is not None and arm not in study.arms:
        raise UserError(
            f"{study.design.name} has no arm {arm}, only {', '.join(study.arms)}.{nearest(arm, study.arms)}"
        )
    alone = study.design.hypothesis is None
    name = arm or (verdict.best if best or alone else verdict.winner)
    row = gate.typical(study, name, verdict.metric)
    if row is None and (arm or best):
        raise UserError(f"no run of {arm or study.design.name} has finished: lab run {study.path} first")
    return row


def make(study: Study, verdict: Verdict, row: Row | None) -> Branch:
    """Make the branch, or bring it up to date. Raises UserError, as for a branch that is checked out."""
    git = checkout.repository(study.root)
    name = PREFIX + study.design.name
    tip = _tip(git, name)
    index, parents = _start(git, name, tip, study.commit)
    source = row.record.commit if row and row.record else study.commit
    for path in {*_written(study.root, study.commit), *_written(study.root, source)}:
        _put(git, index, study.root, path, checkout.commit(study.root, source).object(path))
    # Where the data lies is asked of now: a remote may have been named after the runs.
    _put(git, index, study.root, ".dvc/config", checkout.commit(study.root, str(git.head.target)).object(".dvc/config"))
    # The design as it is judged: changed since the runs, the report says that it is exploratory, here as there.
    _add(git, index, study.root, study.path, study.text.encode())
    with tempfile.TemporaryDirectory() as place:
        _former(study, tip, Path(place))
        path = report.write(study, verdict, Path(place) / report.FOLDER)
        _put(git, index, study.root, str(report.FOLDER / path.stem), None)
        beside = path.with_suffix("")
        written = {file: file for file in (path, *beside.iterdir()) if file.is_file()}
        carried = {beside / evidence.FOLDER / each: file for each, file in evidence.carried(study, verdict).items()}
        for where, file in (written | carried).items():
            _add(git, index, study.root, where.relative_to(place).as_posix(), file.read_bytes())
    if index.conflicts:
        names = sorted({str(entry.path) for three in index.conflicts for entry in three if entry})
        raise UserError(
            f"{name} and {study.commit[:7]}, from which the design has run since, differ in {', '.join(names)}: "
            f"git switch {name}, git merge {study.commit[:7]}, and then lab review {study.design.name} again"
        )
    tree = index.write_tree(git)
    if tip and parents == [tip] and git[tip].peel(pygit2.Commit).tree.id == tree:
        return Branch(name, tip, row, False)
    author = _author(git)
    made = str(git.create_commit(None, author, author, message(study, verdict, row), tree, parents))
    _git(study.root, "branch", "--force", name, made)  # git's own refuses one that is checked out
    return Branch(name, made, row, True)


def message(study: Study, verdict: Verdict, row: Row | None) -> str:
    """The commit's: the question, the verdict, and what it rests on."""
    record = row.record if row else None
    applied = f"{record.name} ({record.commit})" if record else "none, the baseline stays as it is"
    trailers = {"Design": study.design.name, "Baseline": study.commit, "Experiment": applied}
    said = [f"{verdict.outcome}{' (exploratory)' if verdict.exploratory else ''}", *verdict.reasons]
    return "\n".join([study.design.title, "", *said, "", *(f"{key}: {value}" for key, value in trailers.items()), ""])


def left(root: Path, commit: str) -> list[str]:
    """The stages whose results on a review branch are not those of its params: the applied run ended before them."""
    content = checkout.commit(root, commit)
    return [stage for stage in content.locked if stage not in content.stages]


def commands(root: Path, branch: Branch) -> list[str]:
    """How to push the branch and ask for a review, as GitHub and GitLab want it; by the address of the remote."""
    url = remote_url(root)
    into = _git(root, "branch", "--show-current") or "main"
    lines = [f"lab review {branch.name.removeprefix(PREFIX)} --push"]
    if not url:
        return [f"git remote add {REMOTE} URL", *lines]
    host = url.partition("@")[2] or url
    if "gitlab" in host:
        options = f"-o merge_request.create -o merge_request.target={into}"
        lines.append(f"git push {options} {REMOTE} {branch.name}")
    elif "github" in host:
        lines.append(f"gh pr create --base {into} --head {branch.name} --fill")
    return lines


def remote_url(root: Path) -> str:
    """The address of the git remote; empty where there is none."""
    git = checkout.repository(root)
    return str(git.remotes[REMOTE].url) if REMOTE in git.remotes.names() else ""


def _tip(git: pygit2.Repository, name: str) -> str | None:
    """The newest commit of the branch, here or as last fetched. Raises UserError where the two have parted."""
    refs = (f"refs/heads/{name}", f"refs/remotes/{REMOTE}/{name}")
    here, there = (str(git.references[ref].peel(pygit2.Commit).id) if ref in git.references else None for ref in refs)
    if not here or not there or here == there:
        return here or there
    if git.descendant_of(here, there):
        return here
    if git.descendant_of(there, here):
        return there
    raise UserError(f"{name} here and on {REMOTE} have parted: git switch {name}, git pull --rebase, and then again")


def _start(git: pygit2.Repository, name: str, tip: str | None, baseline: str) -> tuple[pygit2.Index, list[Any]]:
    """The files to begin with and the commits to build on: the baseline's, the branch's, or both merged.

    A branch that was merged begins anew on the baseline.
    """
    index = pygit2.Index()
    if tip is None or tip == baseline or git.descendant_of(baseline, tip):
        index.read_tree(git[baseline].peel(pygit2.Commit).tree)
        return index, [baseline]
    if git.descendant_of(tip, baseline):
        index.read_tree(git[tip].peel(pygit2.Commit).tree)
        return index, [tip]
    return git.merge_commits(tip, baseline), [tip, baseline]


def _written(root: Path, rev: str) -> Iterator[str]:
    """The paths that a run leaves in git: its params, its lock, and the outputs that the lock names."""
    yield from ("params.yaml", "dvc.lock")
    content = checkout.commit(root, rev)
    stages = (yaml.load(content.text("dvc.lock"), Loader=checkout.Yaml) or {}).get("stages", {})  # noqa: S506
    for stage in stages.values():
        yield from (out["path"] for out in stage.get("outs", []))


def _add(git: pygit2.Repository, index: pygit2.Index, root: Path, path: str, content: bytes) -> None:
    """Add a file to the index, or replace it."""
    index.add(pygit2.IndexEntry(str(checkout.prefix(root) / path), git.create_blob(content), FILE))


def _put(git: pygit2.Repository, index: pygit2.Index, root: Path, path: str, entry: pygit2.Object | None) -> None:
    """Replace a file or a folder of the index; remove it where there is nothing to put."""
    where = str(checkout.prefix(root) / path)
    index.remove_all([where])
    if isinstance(entry, pygit2.Blob):
        index.add(pygit2.IndexEntry(where, entry.id, FILE))
    elif isinstance(entry, pygit2.Tree):
        for item in entry:
            _put(git, index, root, f"{path}/{item.name}", item)


def _former(study: Study, tip: str | None, place: Path) -> None:
    """Lay the report that there is below `place`, since what a person wrote into it is kept.

    It is the branch's, and that of the work tree where nobody has written anything on the branch.
    """
    name = report.name(study)
    path = report.FOLDER / f"{name}.md"
    mine = (study.root / path).read_text(encoding="utf-8") if (study.root / path).exists() else ""
    text = checkout.commit(study.root, tip).text(str(path)) if tip else ""
    if tip and text:
        checkout.commit(study.root, tip).extract([str(report.FOLDER / name)], place)
    for label, unwritten in {"analysis": report.ANALYSIS, "next": report.NEXT}.items():
        own = report.inside(mine, label)
        if own and report.inside(text, label) == unwritten:
            text = text.replace(report.block(label, unwritten), report.block(label, own))
    (place / path).parent.mkdir(parents=True, exist_ok=True)
    (place / path).write_text(text or mine, encoding="utf-8")


def _author(git: pygit2.Repository) -> pygit2.Signature:
    try:
        return git.default_signature
    except KeyError as error:
        raise UserError(
            "git knows no name to commit by: git config user.name NAME, git config user.email ADDRESS"
        ) from error


def _git(root: Path, *arguments: str) -> str:
    """What a git command prints. Raises UserError in git's words."""
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"git {arguments[0]}: {done.stderr.strip().removeprefix('fatal: ')}")
    return done.stdout.strip()

"""A review branch checked: verdict and report are made again from the committed records, and have to come out the same.

It runs where the branch is checked out, on any machine: what it needs lies in git. What was said of each test image comes
with the branch where the verdict rests on it, or from DVC's remote where that is too large. What only the machine that ran
the experiments knows (why a run failed), what a person has written, and how test images look where the prepared data is
not here, is taken as it stands in the report.
"""

from __future__ import annotations

import difflib
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.analysis import per_image, verdict
from lab.errors import UserError
from lab.records import commit as checkout
from lab.records import planning, study
from lab.records.record import FAILED, Record
from lab.records.study import MISSING, Study
from lab.report import report, sections, tables
from lab.review import evidence
from lab.review.branch import PREFIX, REMOTE, left, remote_url

if TYPE_CHECKING:
    import numpy as np

    from lab.report.figures import Picture

NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:e[-+]?\d+)?")
MOST = 20  # disagreements that are told
# Two drawings of the same figure: what another machine's rounding may change in a square of so many pixels, on its mean.
# With all places off by 1e-7 of themselves it is below 0.002; another digit, or a mark moved by two pixels, gives 0.08 up.
SQUARE, ALIKE = 8, 0.06


@dataclass(frozen=True)
class Result:
    """What a check found: the disagreements, a sentence each, and a summary in Markdown for the pull request."""

    problems: list[str]
    summary: str


def check(root: Path, name: str | None = None) -> Result:
    """Check the report of a design, or of the one that the branch is named after, as it lies in the work tree.

    Raises:
        UserError: there is no such report, or its experiments are not here and not on the remote.
    """
    name = name or branch_design(root)
    fetch(root)
    found = study.read(root, name)
    path = root / report.FOLDER / f"{report.name(found)}.md"
    said = path.with_suffix("") / "verdict.json"
    for file in (path, said):
        if not file.exists():
            raise UserError(f"{file.relative_to(root)} is not there: lab review {name} makes the branch that has it")
    committed = json.loads(said.read_text(encoding="utf-8"))
    found = with_failures(found, committed.get("failed", []))
    present(found)
    has_images = evidence.bring(found, path.with_suffix(""))
    if not has_images and '"basis": "images"' in said.read_text(encoding="utf-8"):
        raise UserError(
            f"the verdict on {name} rests on what was said of each test image, which is not on the branch, in DVC's "
            f"cache or on its remote: lab review {name} --push where the runs are, and access to the remote here"
        )
    result = verdict.judge(found, per_image.read(found))
    problems = [
        *edited(found),
        *applied(found),
        *swapped(found, path.with_suffix("")),
        *compare(found, result, path, has_images),
    ]
    return Result(problems, summary(found, result, problems, has_images))


def branch_design(root: Path) -> str:
    """The design that the checked out branch is named after. Raises UserError."""
    branch = _output(root, "git", "branch", "--show-current")
    if not branch.startswith(PREFIX):
        raise UserError(f"which design? The branch is {branch or 'none'}, not {PREFIX}…: lab review DESIGN --check")
    return branch.removeprefix(PREFIX)


def fetch(root: Path) -> None:
    """Fetch the experiments, which a clone has not by itself; what is here is all where no remote can be reached."""
    if remote_url(root):
        subprocess.run(["git", "fetch", "--quiet", REMOTE, "refs/exps/*:refs/exps/*"], cwd=root, capture_output=True)


def with_failures(found: Study, failed: list[dict[str, Any]]) -> Study:
    """The study with the runs that failed elsewhere: git has no trace of them but the report's."""
    known = {(entry["arm"], entry["seed"]) for entry in failed}
    lost = Record(found.root, "", found.commit, found.commit, FAILED)
    rows = [
        replace(row, record=lost) if row.status == MISSING and (row.arm, row.seed) in known else row
        for row in found.rows
    ]
    return replace(found, rows=rows)


def present(found: Study) -> None:
    """Raises UserError where no experiment of the design is in this clone."""
    if not any(record.commit != record.baseline for record in found.records):
        where = f"nor on {REMOTE}" if remote_url(found.root) else "and there is no remote to fetch them from"
        raise UserError(
            f"no experiment of {found.design.name} is in this clone, {where}, so that nothing can be recomputed: "
            f"lab review {found.design.name} --push, where they ran"
        )


def edited(found: Study) -> Iterator[str]:
    """Code that is neither the baseline's nor the default branch's, which may have been merged: so the check would be its own."""
    root, main = found.root, upstream(found.root)
    if main is None:
        return

    def changed(since: str) -> set[str]:
        paths = _output(root, "git", "diff", "--name-only", "--relative", "--no-renames", since, "HEAD", "src")
        return {*paths.splitlines()}

    for path in sorted(changed(found.commit) & changed(_output(root, "git", "merge-base", "HEAD", main) or main)):
        yield f"{path} is not as the baseline has it, nor the default branch of {REMOTE}: a review branch brings results alone"


def upstream(root: Path) -> str | None:
    """The commit of the remote's default branch: as it is now, or as it was last fetched; None where there is none."""
    names = [f"refs/remotes/{REMOTE}/{name}" for name in ("HEAD", "main", "master")]
    if remote_url(root):
        done = subprocess.run(["git", "fetch", "--quiet", REMOTE, "HEAD"], cwd=root, capture_output=True)
        names = [*(["FETCH_HEAD"] if done.returncode == 0 else []), *names]
    commits = (_output(root, "git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}") for name in names)
    return next((commit for commit in commits if commit), None)


def swapped(found: Study, folder: Path) -> Iterator[str]:
    """Files of the branch that are not what the runs said of the test images."""
    for record, path, as_said in evidence.lying(found, folder):
        if not as_said:
            yield f"{folder.name}/{evidence.FOLDER}/{path.name} is not what {record.name} said of the test images"


def applied(found: Study) -> Iterator[str]:
    """Results on the branch that are not the ones of the experiment whose params it has."""
    head = planning.head(found.root)
    assert head is not None
    here = checkout.commit(found.root, head)
    runs = {record.name: record.commit for record in found.finished}
    for name, rev in {"the baseline": found.commit, **runs}.items():
        there = checkout.commit(found.root, rev)
        if there.text("params.yaml") != here.text("params.yaml"):
            continue
        for path in {"dvc.lock", *(path for path in there.outputs if there.object(path))}:
            if _id(there, path) != _id(here, path):
                yield f"{path} is not as {name} has it{_first_change(there.text(path), here.text(path))}"
        return
    yield f"params.yaml is none of the design's {len(runs)} runs', nor the baseline's"


def compare(found: Study, result: verdict.Verdict, path: Path, has_images: bool) -> Iterator[str]:
    """Where the committed report and what the records give disagree; without `has_images`, all but the images' say."""
    from lab.report.figures import pictures

    drawn = pictures(found, result)
    committed = path.read_text(encoding="utf-8")
    again = report.markdown(found, result, drawn, committed)
    yield from lines(path.name, report.outside(committed), report.outside(again))
    checked = [picture for picture in drawn if has_images or not picture.local]
    if has_images:
        said = report.inside(committed, "images")
        yield from lines(path.name, said, images(found, checked, said))

    beside = path.with_suffix("")
    files = {"table.csv": report.as_csv(tables.table(found, result)), "verdict.json": report.numbers(found, result)}
    for picture in checked:
        if picture.data is not None and (picture.png or (beside / f"{picture.name}.csv").exists()):
            files[f"{picture.name}.csv"] = report.as_csv(picture.data)
    for name, right in sorted(files.items()):
        where = f"{path.stem}/{name}"
        if not (beside / name).exists():
            yield f"{where} is not there"
        elif name.endswith(".json"):
            there = json.loads((beside / name).read_text("utf-8"))
            yield from values(where, there, json.loads(right), () if has_images else ("images",))
        else:
            yield from lines(where, (beside / name).read_text("utf-8"), right)
    for picture in checked:
        if picture.png and not (beside / f"{picture.name}.png").exists():
            yield f"{path.stem}/{picture.name}.png is not there"
        elif picture.png and not alike((beside / f"{picture.name}.png").read_bytes(), picture.png):
            yield f"{path.stem}/{picture.name}.png is not the figure that the records give"


def images(found: Study, drawn: Sequence[Picture], said: str) -> str:
    """What the report has to say of the test images; as it stands there (`said`) of a picture that can't be drawn here.

    Which images such a picture shows is known (`data`), but not what they look like.
    """

    def text(picture: Picture) -> str:
        lacking = picture.png is None and picture.data is not None
        there = re.search(rf"!\[{re.escape(picture.name)}\].*\n\n.*", said) if lacking else None
        return there[0] if there else sections.shown(picture, report.name(found))

    return "\n\n".join(text(picture) for picture in drawn if picture.local)


def alike(committed: bytes, recomputed: bytes) -> bool:
    """Whether two PNG files show the same figure, whatever machine has drawn it."""
    import numpy as np
    from scipy.ndimage import uniform_filter

    if committed == recomputed:
        return True
    said, right = _pixels(committed), _pixels(recomputed)
    if said is None or right is None or said.shape != right.shape:
        return False
    return bool(np.abs(uniform_filter(said - right, SQUARE, axes=(0, 1))).max() <= ALIKE)


def lines(where: str, committed: str, recomputed: str) -> Iterator[str]:
    """The lines of a text that differ, by their numbers where it is these."""
    mine, theirs = recomputed.splitlines(), committed.splitlines()
    for kind, a, b, c, d in difflib.SequenceMatcher(None, theirs, mine, autojunk=False).get_opcodes():
        if kind == "equal":
            continue
        for i in range(max(b - a, d - c)):
            said = theirs[a + i] if a + i < b else ""
            right = mine[c + i] if c + i < d else ""
            numbers = [NUMBER.findall(text) for text in (said, right)]
            wrong = [f"{x}, where the records give {y}" for x, y in zip(*numbers, strict=False) if x != y]
            if wrong and len(numbers[0]) == len(numbers[1]):
                yield f"{where} says {'; '.join(wrong)}: {said.strip()}"
            elif said:
                yield f"{where} says, and the records do not: {said.strip()}"
            else:
                yield f"{where} lacks: {right.strip()}"


def values(where: str, committed: Any, recomputed: Any, without: Sequence[str] = ()) -> Iterator[str]:
    """The values of a JSON document that differ, by their places, but for the keys `without`."""
    if isinstance(committed, dict) and isinstance(recomputed, dict):
        for key in sorted((committed.keys() | recomputed.keys()) - {*without}):
            place = f"{where}.{key}" if ": " in where else f"{where}: {key}"
            yield from values(place, committed.get(key), recomputed.get(key), without)
    elif isinstance(committed, list) and isinstance(recomputed, list) and len(committed) == len(recomputed):
        for i, (said, right) in enumerate(zip(committed, recomputed, strict=True)):
            yield from values(f"{where}[{i}]", said, right, without)
    elif committed != recomputed:
        yield f"{where} is {committed}, where the records give {recomputed}"


def summary(found: Study, result: verdict.Verdict, problems: list[str], has_images: bool) -> str:
    """A comment for the pull request: question, verdict, what the check found, and what differs from the baseline."""
    checked = (
        ["**The branch does not hold what the records give:**", "", *(f"- {each}" for each in problems[:MOST])]
        if problems
        else [f"Recomputed from {len(found.records)} records: every number of the report agrees."]
    )
    if not has_images:
        checked.append("What was said of each test image is not here: what follows from it was not recomputed.")
    if len(problems) > MOST:
        checked.append(f"- and {len(problems) - MOST} more")
    parts = [
        f"### {found.design.title}",
        "",
        f"**{result.outcome}**{' (exploratory)' if result.exploratory else ''}",
        "",
        *(f"- {reason}" for reason in result.reasons),
        "",
        sections.table(found, result),
        "",
        *checked,
    ]
    if stale := left(found.root, str(checkout.repository(found.root).head.target)):
        told = (
            f"Results of {' and '.join(stale)} are still the baseline's: `dvc exp run` after the merge makes them anew."
        )
        parts += ["", told]
    stages = ("--targets", "metrics", "--recursive")  # what the last epoch was like is dvclive's
    for kind, only in {"metrics": stages, "params": ()}.items():
        shown = _output(found.root, sys.executable, "-m", "dvc", kind, "diff", "--md", found.commit[:12], *only)
        table = "\n".join(line for line in shown.splitlines() if " classes." not in line)  # there may be hundreds
        if len(table.splitlines()) > 2:  # more than its head
            parts += ["", f"<details><summary>dvc {kind} diff</summary>", "", table, "", "</details>"]
    return "\n".join(parts) + "\n"


def _id(content: checkout.Commit, path: str) -> str:
    entry = content.object(path)
    return str(entry.id) if entry else ""


def _first_change(right: str, said: str) -> str:
    """`: 0.9, where the records give 0.8`, of the first numbers that differ in two texts."""
    pairs = zip(NUMBER.findall(said), NUMBER.findall(right), strict=False)
    return next((f": it says {x}, where the records give {y}" for x, y in pairs if x != y), "")


def _pixels(png: bytes) -> np.ndarray | None:
    """The pixels (height, width, channels), from 0 to 1; None where it is no such file."""
    from matplotlib.image import imread

    try:
        return imread(io.BytesIO(png), format="png")
    except Exception:  # Pillow has one of its own for each kind of damage
        return None


def _output(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    return done.stdout.strip()

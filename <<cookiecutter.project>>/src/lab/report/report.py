"""The report of a design: what was asked, what came out, what that means, and where it all comes from.

It follows from the records alone: the same records give the same text, figures and data, byte for byte. So a report is
checked by making it again (`markdown` with the text as it is) and comparing what lies outside of the blocks that stay:

    analysis, next       what a person has written stays
    failures             stays where the runs that failed are not known: only the machine that ran them knows
    images               stays where DVC's cache lacks the images that it shows

verdict.json beside the figures has all numbers of the verdict, and which runs failed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lab.analysis.answer import answer, ended
from lab.analysis.decisions import RULES
from lab.markdown import code, fenced, plain
from lab.report import effect_tables, provenance, run_tables, sections, settings, tables
from lab.report.drawn import Drawn, drawn
from lab.study import FAILED

if TYPE_CHECKING:
    import jinja2

    from lab.analysis.verdict import Verdict
    from lab.report.figures import Picture
    from lab.study import Replicate, Study

FOLDER = Path("docs/04-report")
TEMPLATE = "report.md.jinja"
ANALYSIS = "What do the results mean, and where do they differ from what was expected?"
NEXT = "- [ ] What follows from this?"


def write(study: Study, verdict: Verdict, folder: Path | None = None, links: Mapping[str, str] | None = None) -> Path:
    """Write a design's report into `folder` (left out, the project's): the text as Markdown and HTML, figures and data.

    A report of the same name is replaced; what a person wrote into it is kept. Returns the Markdown file. `links` are
    addresses of runs, by the experiments' names, for the HTML: they are this place's, and no part of the answer.
    """
    reports: Path = folder or study.project.root / FOLDER
    path = reports / f"{name(study)}.md"
    beside = reports / name(study)
    beside.mkdir(parents=True, exist_ok=True)
    former = path.read_text(encoding="utf-8") if path.exists() else ""
    pictures = drawn(study, verdict)
    text = markdown(study, verdict, pictures, former)
    for file in beside.iterdir():
        if file.suffix in (".png", ".csv", ".json") and f"{beside.name}/{file.name}" not in text:
            file.unlink()  # a figure that is no more
    for picture in pictures:
        if picture.png is not None and picture.csv is not None:
            (beside / f"{picture.name}.png").write_bytes(picture.png)
            (beside / f"{picture.name}.csv").write_text(picture.csv, encoding="utf-8")
    (beside / "table.csv").write_text(tables.as_csv(tables.table(study, verdict)), encoding="utf-8")
    (beside / "verdict.json").write_text(numbers(study, verdict), encoding="utf-8")
    path.write_text(text, encoding="utf-8")
    path.with_suffix(".html").write_text(page(study, text, pictures, reports, links), encoding="utf-8")
    return path


def page(
    study: Study,
    text: str,
    pictures: Sequence[Picture | Drawn],
    folder: Path | None = None,
    links: Mapping[str, str] | None = None,
) -> str:
    """The report's text as one HTML file. Pictures that are not drawn now are taken from `folder`, if there is one."""
    from lab.report.html import html, source

    drawings = {picture.name: picture.svg for picture in pictures if picture.svg}
    images = {picture.name: source(picture.png) for picture in pictures if picture.png and not picture.svg}
    return html(text, study.design.title, folder, drawings, images, links)


def name(study: Study) -> str:
    """What a report is called: by the day of its baseline, and its design."""
    return f"{study.baseline.day}_{study.design.name}"


def markdown(study: Study, verdict: Verdict, pictures: Sequence[Picture | Drawn], former: str = "") -> str:
    """The report's text; `former` is the one that there is, whose blocks are kept."""
    common, varied = settings.settings(study)
    beside = name(study)
    local = "\n\n".join(sections.shown(picture, beside) for picture in pictures if picture.local)
    has_image = any(picture.local and picture.png for picture in pictures)
    images = local if has_image else inside(former, "images") or local
    return template().render(
        study=study,
        design=study.design,
        verdict=verdict,
        name=beside,
        data=sections.data(study),
        answer=answer(study, verdict).markdown(),
        finished=len(study.finished),
        reused=sum(replicate.reused for replicate in study.replicates),
        question=list(sections.question(study)),
        common=common,
        varied=varied,
        expected=list(sections.expected(study)),
        actual=list(sections.actual(study, verdict)),
        table=sections.table(study, verdict),
        legend=sections.legend(study, verdict),
        effects=effect_tables.effects(study, verdict),
        drawn=[sections.shown(picture, beside) for picture in pictures if not picture.local],
        images=block("images", images) if images else "",
        analysis=block("analysis", inside(former, "analysis") or ANALYSIS),
        next=block("next", inside(former, "next") or NEXT),
        failures=block(
            "failures", run_tables.failures(study) or inside(former, "failures") or run_tables.unknown(study)
        ),
        checklist=list(sections.checklist(study, verdict)),
        provenance=list(provenance.provenance(study)),
        reasons=list(sections.reasons(verdict)),
        targets=sections.targets(study, verdict),
        superseded=run_tables.superseded(study, verdict.metric),
        runs=run_tables.runs(study, verdict.metric),
        looks=block("looks", sections.looks(study)),
    )


@lru_cache(maxsize=1)
def template() -> jinja2.Template:
    """The Markdown template beside this file."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"ended": ended, "plain": plain, "code": code, "fenced": fenced}
    return environment.get_template(TEMPLATE)


# Blocks that are kept


def block(label: str, text: str) -> str:
    """A part of the report that is kept when it is made again."""
    return f"<!-- {label}: begin -->\n{text}\n<!-- {label}: end -->"


def inside(text: str, label: str) -> str:
    """What such a block holds; empty where there is none."""
    match = re.search(f"<!-- {label}: begin -->\n(.*?)\n?<!-- {label}: end -->", text, re.DOTALL)
    return match[1] if match else ""


def outside(text: str) -> str:
    """The report without what such blocks hold: what has to be the same when it is made again."""
    return re.sub(r"(<!-- (\w+): begin -->\n).*?(<!-- \2: end -->)", r"\1\3", text, flags=re.DOTALL)


# For programs


def numbers(study: Study, verdict: Verdict) -> str:
    """The verdict as JSON, with the design it is on, and the runs that failed."""
    failed = [{"arm": each.arm, "seed": each.seed} for each in study.replicates if each.status == FAILED]
    content = {"rules": RULES, "design": study.design.name, "digest": study.digest, "commit": study.commit}
    content["failed"] = failed
    return json.dumps(content | {"verdict": rounded(asdict(verdict))}, ensure_ascii=False, indent=1) + "\n"


def rounded(content: Any) -> Any:
    """All numbers in it by their first digits: what another machine's arithmetic gives as well."""
    if isinstance(content, dict):
        return {str(key): rounded(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [rounded(value) for value in content]
    if isinstance(content, float):
        return float(f"{content:.{tables.DIGITS}g}")
    return content


# One run


def fragment(study: Study, replicate: Replicate, verdict: Verdict | None = None) -> str:
    """A page on one run: what it answers, how it differs, what it measured, and what its design came to."""
    design, record = study.design, replicate.record
    lines = [f"# {plain(replicate.arm)}, seed {replicate.seed}", ""]
    lines += [f"A run of *{plain(design.title)}* ({code(design.name)})", ""]
    if verdict is not None:
        lines += [f"The design's verdict: **{verdict.outcome}**{' (exploratory)' if verdict.exploratory else ''}", ""]
    if record is None or not replicate.finished:
        reason = f": {plain(replicate.trouble)}" if replicate.trouble else ""
        return "\n".join([*lines, f"{replicate.status.capitalize()}{reason}", ""])
    names = dict.fromkeys([*study.metrics, *tables.beside(study, next(iter(study.metrics), ""))])
    values = {name: tables.by_seed([replicate], name).get(replicate.seed) for name in names}
    lines += [
        f"- {sections.named(study, name)}: {sections.number(value)}"
        for name, value in values.items()
        if value is not None
    ]
    epoch = record.value(study.contract.best_epoch) if study.contract.best_epoch else None
    if epoch is not None and study.contract.best_epoch not in names:
        lines.append(f"- best epoch: {epoch:g}")
    own = settings.own(study, record)
    if own:
        lines += ["", "What differs from the baseline's `params.yaml`:", "", fenced(own, "yaml")]
    lines += ["", code(record.checkout), ""]
    return "\n".join(lines)

"""data/report.html: what the data is and what was found in it, to look at before training: one file, no scripts."""

from __future__ import annotations

from base64 import b64encode
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from ...data.shared.dataset import Dataset, Finding, Sample
from ...data.shared.picture import tile
from ...shared.prepared import SPLITS

SHOWN_PLACES, SHOWN_CLASSES, SHOWN_IMAGES = 20, 40, 6  # of each finding; of each class: images of each site
TILE = 112  # pixels
BINS = (0, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0)  # of a box's size: the root of the share of the image it covers
STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: .5rem 0 1.5rem } th, td { padding: .2rem .8rem .2rem 0; text-align: left }
td.number, th.number { text-align: right } tr { border-bottom: 1px solid #8884 }
.bar { background: #0072b2; height: .8rem } .bars td:last-child { width: 24rem }
.error { color: #d55e00; font-weight: 600 } figure { display: inline-block; margin: 0 .5rem .5rem 0 }
figcaption { font-size: .75rem; max-width: 112px; overflow-wrap: anywhere } code { overflow-wrap: anywhere }
"""
Table = Iterable[Sequence[object]]


def write_page(
    file: Path,
    dataset: Dataset,
    images: Mapping[str, Mapping[str, int]],
    counts: Mapping[str, Mapping[str, Mapping[str, int]]],
    findings: Sequence[Finding],
) -> None:
    """Writes the page: findings, counts by site and split, classes, sizes of images and boxes, samples of each class.

    Args:
        file: where to.
        dataset: the samples, read and divided into splits.
        images: how many, by site and split.
        counts: objects by site, split and class.
        findings: of all checks.
    """
    parts = [
        f"<h1>{escape(dataset.task.capitalize())}: {len(dataset.samples)} images, {len(dataset.classes)} classes</h1>",
        "<h2>Findings</h2>",
        _findings(findings),
        "<h2>Images</h2>",
        _table(["site", *SPLITS], ([site, *(splits[split] for split in SPLITS)] for site, splits in images.items())),
        "<h2>Classes</h2>",
        _classes(dataset.classes, counts),
        "<h2>Sizes of images</h2>",
        _image_sizes(dataset.samples),
    ]
    boxes = [sample.boxes for sample in dataset.samples if len(sample.boxes)]
    if boxes:
        parts += ["<h2>Sizes of boxes</h2>", _box_sizes(np.concatenate(boxes))]
    parts += ["<h2>Samples</h2>", *_samples(dataset)]
    page = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>The prepared data</title>'
        '<meta name="viewport" content="width=device-width"><meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<style>{STYLE}</style></head><body>\n" + "\n".join(parts) + "\n</body></html>\n"
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(page, encoding="utf-8")


def _findings(findings: Sequence[Finding]) -> str:
    present = [finding for finding in findings if finding.count]
    if not present:
        return "<p>None.</p>"
    items = []
    for finding in present:
        weight = ' class="error"' if finding.fatal else ""
        places = "".join(f"<li><code>{escape(place)}</code></li>" for place in finding.places[:SHOWN_PLACES])
        more = finding.count - SHOWN_PLACES
        rest = f"<li>and {more} more: data/findings.csv</li>" if more > 0 else ""
        title = escape(finding.message.split(" (")[0])
        items.append(f"<details><summary{weight}>{title}</summary><ul>{places}{rest}</ul></details>")
    return "".join(items)


def _table(head: Sequence[str], rows: Table) -> str:
    def cells(row: Sequence[object], tag: str) -> str:
        kinds = (' class="number"' if isinstance(value, (int, float)) else "" for value in row)
        return "".join(f"<{tag}{kind}>{escape(str(value))}</{tag}>" for value, kind in zip(row, kinds, strict=True))

    body = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f"<table><tr>{cells(head, 'th')}</tr>{body}</table>"


def _bars(head: Sequence[str], numbers: Mapping[str, int]) -> str:
    most = max(numbers.values(), default=0) or 1
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="number">{number}</td>'
        f'<td><div class="bar" style="width:{100 * number / most:.1f}%"></div></td></tr>'
        for name, number in numbers.items()
    )
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    return f'<table class="bars"><tr>{titles}<th></th></tr>{rows}</table>'


def _classes(classes: Sequence[str], counts: Mapping[str, Mapping[str, Mapping[str, int]]]) -> str:
    totals = Counter(dict.fromkeys(classes, 0))
    for splits in counts.values():
        for by_class in splits.values():
            totals.update(by_class)
    return _bars(["class", "objects"], {name: totals[name] for name in classes})


def _image_sizes(samples: Sequence[Sample]) -> str:
    sizes = Counter(f"{sample.size[0]} x {sample.size[1]}" for sample in samples if sample.size)
    shown = dict(sizes.most_common(10))
    rest = sum(sizes.values()) - sum(shown.values())
    return _bars(["pixels", "images"], shown | ({f"{len(sizes) - 10} other sizes": rest} if rest else {}))


def _box_sizes(boxes: np.ndarray) -> str:
    numbers, _ = np.histogram(np.sqrt(boxes[:, 3] * boxes[:, 4]), BINS)
    names = (f"{low:g} to {high:g}" for low, high in zip(BINS, BINS[1:], strict=False))
    explained = "<p>A box's size is the root of the share of its image that it covers.</p>"
    return explained + _bars(["size", "boxes"], dict(zip(names, map(int, numbers), strict=True)))


def _samples(dataset: Dataset) -> list[str]:
    """A row of images for each class and site."""
    by_class: dict[tuple[str, str], list[Sample]] = defaultdict(list)
    for sample in dataset.samples:
        for name in dict.fromkeys(sample.objects(dataset.classes)):
            by_class[name, sample.site].append(sample)
    parts = []
    for name in dataset.classes[:SHOWN_CLASSES]:
        parts.append(f"<h3>{escape(name)}</h3>")
        for site in dataset.sites:
            own = by_class[name, site]
            step = max(1, len(own) // SHOWN_IMAGES)
            parts += [_figure(sample, dataset.classes) for sample in own[::step][:SHOWN_IMAGES]]
    if len(dataset.classes) > SHOWN_CLASSES:
        parts.append(f"<p>and {len(dataset.classes) - SHOWN_CLASSES} more classes</p>")
    return parts


def _figure(sample: Sample, classes: Sequence[str]) -> str:
    stream = BytesIO()
    tile(sample, classes).resize((TILE, TILE), Image.Resampling.LANCZOS).save(stream, "JPEG", quality=80)
    caption = f"{sample.site} / {sample.split} / {sample.name}"
    source = b64encode(stream.getvalue()).decode()
    return (
        f'<figure><img alt="{escape(caption)}" width="{TILE}" height="{TILE}" src="data:image/jpeg;base64,{source}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )

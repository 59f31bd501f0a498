"""The prepare stage: any data source becomes one layout (shared/prepared.py), checked, counted and pictured."""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from PIL import Image
from rich.table import Table

from ...data.shared.checks import check, refuse
from ...data.shared.dataset import Dataset, Finding, Sample
from ...data.shared.images import read_images
from ...data.shared.names import folder_name
from ...data.shared.picture import draw_samples
from ...data.shared.similar import find_alike
from ...data.shared.splits import divide
from ...shared import registry
from ...shared.errors import UserError
from ...shared.prepared import FINAL, FINAL_ROOT, SPLITS, to_rgb
from ...shared.terminal import console
from .page import write_page

FINDINGS = Path("data") / "findings.csv"
KEPT = (FINDINGS,)  # also where the data is refused
MOST_MEGAPIXELS = 178  # of an image, where the config says nothing
Counts = dict[str, dict[str, dict[str, int]]]  # site -> split -> class -> objects


def run(cfg: DictConfig, out: Path) -> None:
    """Writes data/prepared, what to look at beside it and metrics/prepare.json below `out`; prints what there is.

    What is kept for the end goes to data/final, and only how many images that are is told.

    The same config and the same data give the same bytes.

    Raises:
        UserError: no data, another structure than expected, or data that would make training wrong (checks.py).
    """
    dataset, findings = collect(cfg.data.source, out)
    refuse(findings, cfg.data.source.path)
    if dataset.task != cfg.data.task:
        raise UserError(
            f"data.source.kind={cfg.data.source.kind} is data for {dataset.task}, but data.task={cfg.data.task}: "
            f"-S task={dataset.task} is for it."
        )
    dataset, final = _apart(dataset)
    images, counts = _write_data(out / "data" / "prepared", dataset, findings, SPLITS)
    _write_data(out / FINAL_ROOT, final, (), [FINAL])
    # A few numbers for tables of experiments: the manifest has all of them, by site and class.
    of_all_sites = {split: sum(splits[split] for splits in images.values()) for split in SPLITS}
    of_all_sites |= {FINAL: len(final.samples)} if final.samples else {}
    problems = {finding.check: finding.count for finding in findings if finding.count}
    _write_json(out / "metrics" / "prepare.json", {"images": of_all_sites, "problems": problems})
    draw_samples(dataset, out / "data" / "samples.png")
    write_page(out / "data" / "report.html", dataset, images, counts, findings)
    _report(dataset, images, counts, findings)
    if final.samples:
        console().print(f"{len(final.samples)} images are kept in {FINAL_ROOT}, for lab promote alone")


def _apart(dataset: Dataset) -> tuple[Dataset, Dataset]:
    """What all stages may read, and what is kept for the end."""
    final = [sample for sample in dataset.samples if sample.split == FINAL]
    others = [sample for sample in dataset.samples if sample.split != FINAL]
    return replace(dataset, samples=others), replace(dataset, samples=final)


def _write_data(
    root: Path, dataset: Dataset, findings: Sequence[Finding], splits: Sequence[str]
) -> tuple[dict[str, dict[str, int]], Counts]:
    """Writes images, labels, items.csv and manifest.json below `root`. Returns the images and objects, as counted."""
    paths, digests = _write_samples(root, dataset)
    images, counts = _count(dataset, splits)
    checks = [{"check": finding.check, "count": finding.count, "message": finding.message} for finding in findings]
    manifest = {
        "task": dataset.task,
        "classes": dataset.classes,
        "sites": dataset.sites,
        "splits": images,
        "counts": counts,
        "checks": checks,
    }
    _write_items(root / "items.csv", dataset, paths, digests)
    _write_json(root / "manifest.json", manifest)
    return images, counts


def collect(source: DictConfig, out: Path) -> tuple[Dataset, list[Finding]]:
    """The source's images, read, divided into splits and checked, and what every check found, told in FINDINGS as well.

    Raises:
        UserError: no data, or another structure than expected.
    """
    unread = registry.source(source.kind).read(source)
    if not unread.samples:
        _write_findings(out / FINDINGS, unread.findings)
        refuse(unread.findings, source.path)
        found = "".join(f"\n  - {finding.message}" for finding in unread.findings if finding.count)
        raise UserError(f"There are no images in {source.path}.{found}")
    for site in unread.sites:
        if site in ("all", "..") or site != Path(site).name:
            raise UserError(
                f"data.source.sites: '{site}' cannot name a site; it must be the name of a folder, and not 'all'."
            )
    most, alike = source.get("max_megapixels", MOST_MEGAPIXELS), bool(source.get("near_duplicates", False))
    read, unusable = read_images(unread.samples, most, thumbnails=alike)
    samples = divide(find_alike(read), unread.classes, source)
    dataset = Dataset(unread.task, unread.classes, samples)
    findings = [*unusable, *unread.findings, *check(dataset, str(source.get("fold") or ""))]
    _write_findings(out / FINDINGS, findings)
    return dataset, findings


def _write_samples(root: Path, dataset: Dataset) -> tuple[list[str], list[str]]:
    """Writes images and labels; the images' paths from `root`, and their SHA-256.

    They are copies, since DVC would make linked originals read-only.
    """
    task = registry.task(dataset.task)
    taken: set[str] = set()
    paths, digests = [], []
    for sample in dataset.samples:
        folder = Path(sample.site, sample.split, folder_name(sample.label) if sample.label else "images")
        name = _free_name(folder, sample.name, taken)
        path = root / folder / f"{name}{sample.suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        digests.append(_write_image(path, sample))
        task.write_labels(path, sample)
        paths.append(path.relative_to(root).as_posix())
    return paths, digests


def _write_image(path: Path, sample: Sample) -> str:
    """Writes the image as it is, or as 8-bit RGB where other programs would read it otherwise; its SHA-256."""
    if not sample.brightest:
        path.write_bytes(sample.content)
        return sample.digest
    with Image.open(BytesIO(sample.content)) as image:
        Image.fromarray(to_rgb(image, sample.brightest)).save(path, "PNG")
    return sha256(path.read_bytes()).hexdigest()


def _free_name(folder: Path, name: str, taken: set[str]) -> str:
    """The image's own name; numbered where another one, say from another subfolder or as .jpg, has it already."""
    free, number = name, 1
    while (key := str(folder / free).casefold()) in taken:
        number += 1
        free = f"{name}-{number}"
    taken.add(key)
    return free


def _count(dataset: Dataset, splits: Sequence[str]) -> tuple[dict[str, dict[str, int]], Counts]:
    """Images, and objects of each class, by site and split."""
    images = Counter((sample.site, sample.split) for sample in dataset.samples)
    objects = Counter(
        (sample.site, sample.split, name) for sample in dataset.samples for name in sample.objects(dataset.classes)
    )
    by_split = {site: {split: images[site, split] for split in splits} for site in dataset.sites}
    by_class = {
        site: {split: {name: objects[site, split, name] for name in dataset.classes} for split in splits}
        for site in dataset.sites
    }
    return by_split, by_class


def _write_findings(file: Path, findings: Sequence[Finding]) -> None:
    """Every place that a check found: also of data that is refused."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(["check", "weight", "place"])
        for finding in findings:
            weight = "error" if finding.fatal else "warning"
            writer.writerows([finding.check, weight, place] for place in finding.places)


def _write_items(file: Path, dataset: Dataset, paths: Sequence[str], digests: Sequence[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        own = sorted({name for sample in dataset.samples for name in sample.facts})
        head = ["path", "site", "split", "label", "group", "sha256"]
        writer.writerow([*head, *(f"table_{name}" if name in head else name for name in own)])
        for path, sample, digest in sorted(zip(paths, dataset.samples, digests, strict=True), key=lambda row: row[0]):
            label = sample.label or len(sample.objects(dataset.classes))
            facts = (sample.facts.get(name, "") for name in own)
            writer.writerow([path, sample.site, sample.split, label, sample.unit, digest, *facts])


def _write_json(file: Path, content: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _report(dataset: Dataset, images: dict[str, dict[str, int]], counts: Counts, findings: Iterable[Finding]) -> None:
    """A table of images by site and split with the range of objects a class has there, and the warnings below it."""
    table = Table("site", "split", "images", registry.task(dataset.task).OBJECTS)
    for site, splits in images.items():
        for split, number in splits.items():
            objects = np.array(list(counts[site][split].values()))
            table.add_row(site, split, str(number), f"{objects.min()} to {objects.max()}")
    terminal = console()
    terminal.print(f"{len(dataset.classes)} classes: {_shortened(dataset.classes)}")
    terminal.print(table)
    for finding in findings:
        if finding.count:
            terminal.print(f"Warning: {finding.message}", style="yellow", soft_wrap=True)


def _shortened(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 10 else f"{', '.join(names[:9])}, … {names[-1]}"

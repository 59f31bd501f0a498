"""What stays on one side of a split: images of one patient, video or object, as data.source.group tells them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from ...shared.errors import UserError
from .archives import shown
from .dataset import Sample
from .notes import Notes


@dataclass(frozen=True)
class Grouping:
    """How an image's group is known: by a pattern in its path, by a column of items.csv, or, without either, not."""

    pattern: re.Pattern | None = None
    column: str = ""

    @classmethod
    def of(cls, source: DictConfig) -> Grouping:
        """What data.source.group says: with parentheses it is a pattern, else a column. Raises UserError."""
        text = str(source.get("group") or "")
        if "(" not in text:
            return cls(column=text)
        try:
            pattern = re.compile(text)
        except re.error as error:
            raise UserError(f"data.source.group={text} is no regular expression: {error}") from error
        if not pattern.groups:
            raise UserError(
                f"data.source.group={text}: put parentheses around what names the group, such as '(patient_[0-9]+)'"
            )
        return cls(pattern=pattern)

    def group_of(self, sample: Sample, root: Path) -> str:
        """A sample's group: what its column says, or what the pattern's parentheses hold of its path below `root`."""
        if not self.pattern or not isinstance(sample.image, Path):
            return sample.facts.get(self.column, "")
        found = self.pattern.search(sample.image.relative_to(root).as_posix())
        return "/".join(part or "" for part in found.groups()) if found else ""

    def check(self, samples: list[Sample], notes: Notes) -> None:
        """Notes the images without a group. Raises UserError where no image has one."""
        if not self.pattern and not self.column:
            return
        without = [sample.origin for sample in samples if not sample.group]
        if samples and len(without) == len(samples):
            if self.pattern:
                raise UserError(
                    f"data.source.group={self.pattern.pattern} matches no path below {shown(notes.root)}, such as "
                    f"{without[0]}"
                )
            raise UserError(
                f"data.source.group={self.column} is no column of this data: name one of its table, or a key of COCO's "
                "images, or give a pattern of the images' paths with parentheses around what names the group, "
                "such as '(patient_[0-9]+)'"
            )
        for origin in without:
            notes.add("ungrouped_images", origin)

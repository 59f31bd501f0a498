"""What reading a user's data comes upon: noted by its kind, told as findings."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from .dataset import Finding, finding

ELSEWHERE = "DVC sees no change there: copy them, or give the folder that holds everything."
# kind: title, advice, and whether nothing can be made of data with it
KINDS = {
    "other_files": ("Files left out, being no images of a kind that is read", "", False),
    "junk": ("Files and folders left out, made by programs", "", False),
    "empty_folders": ("Folders without images left out", "", False),
    "nested_folders": ("Folders inside class folders, their images taken as of the class", "", False),
    "stray_images": ("Images left out, lying where no class or split is", "", False),
    "unlisted_images": ("Images left out, being in no list of the data set", "", False),
    "dangling_links": ("Links left out that lead nowhere", "", False),
    "links_outside": ("Linked folders outside data.source.path", ELSEWHERE, True),
    "missing_images": ("Images that are listed but absent", "Bring or unlist them.", True),
    "found_by_name": ("Images taken by their name alone, as none lies at the path that is listed", "", False),
    "unknown_splits": ("Rows with an unknown split", "Write train, val or test, or leave it empty.", True),
    "missing_labels": ("Images without a label file, taken as background", "", False),
    "labels_without_image": ("Label files without an image", "", False),
    "malformed_labels": ("Malformed label rows", "Correct them.", True),
    "other_sizes": ("Labels made for another size of their image", "Export them anew.", True),
    "listed_again": ("Images listed more than once with the same labels, taken once", "", False),
    "listed_otherwise": (
        "Images listed more than once, with other labels each time",
        "Give one list of them, or one entry with all labels.",
        True,
    ),
    "odd_names": ("Files and folders whose names are not in UTF-8", "Rename them.", True),
    "scored": ("Labels with a score, as predictions have", "Were they looked at? Leave them out otherwise.", False),
    "other_labels": ("Columns of a table that may be labels, and were not read as such", "", False),
    "shared_labels": (
        "Images with one label file, which is of one of them",
        "Rename the others, or take them away.",
        True,
    ),
    "keypoints": ("Keypoints left out, their boxes taken", "", False),
    "masks": ("Pictures of masks left out", "", False),
    "repeated_labels": ("Labels given more than once, taken once", "", False),
    "polygons": ("Polygons, taken as the boxes around them", "", False),
    "boxes_as_outlines": ("Boxes without a polygon, taken as outlines themselves", "", False),
    "clipped": ("Boxes cut off at their image's edge", "", False),
    "other_shapes": ("Labels left out, being neither boxes nor polygons", "", False),
    "ungrouped_images": ("Images that data.source.group tells no group of, each taken as one", "", False),
    "crowds": ("Boxes left out, being around crowds of objects", "", False),
}


def printable(text: str) -> str:
    """A path's text as UTF-8 can hold it: bytes of a name that are in no encoding become a sign for that."""
    return text.encode(errors="surrogateescape").decode(errors="replace")


class Notes:
    """The places of each kind that were come upon. `root` is the folder below which DVC sees every change."""

    def __init__(self, root: Path) -> None:
        self.given, self.root = root, root.resolve()
        self._advice: dict[str, str] = {}
        self._refused: set[str] = set()
        self.boxes = self.like_corners = 0  # boxes read, and those whose sides may be the right and lower edge
        self._places: dict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, place: Path | str, advice: str = "") -> None:
        """Note one place, a file or a row of one; `advice` takes the place of the kind's own."""
        if kind not in KINDS:
            raise KeyError(kind)
        if advice:
            self._advice[kind] = advice
        self._places[kind].append(printable(str(place)))

    def count(self, kind: str) -> int:
        """How many places of this kind were noted."""
        return len(self._places[kind])

    def refuse(self, kind: str, advice: str) -> None:
        """Let nothing be made of this data, for what it has of a kind that is a warning elsewhere."""
        self._advice[kind] = advice
        self._refused.add(kind)

    def has(self, kind: str) -> bool:
        """Whether any place of this kind was noted."""
        return bool(self._places[kind])

    def findings(self) -> list[Finding]:
        """One finding for each kind, also for those of which there was none."""
        return [
            finding(
                kind,
                title,
                list(dict.fromkeys(self._places[kind])),
                self._advice.get(kind, advice),
                fatal or kind in self._refused,
            )
            for kind, (title, advice, fatal) in KINDS.items()
        ]

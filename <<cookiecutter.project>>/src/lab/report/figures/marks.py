"""Figures of matplotlib as elements of a page: vectors in the page's own colours, whose marks say what they are.

One way of drawing serves both: PNG for git, and this for a browser. It needs no library there and no style of its own,
so that the page's policy can stay strict. Where a page is dark, ink and paper change with it.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

INK, GREY, RULE, PAPER = "#222222", "#767676", "#e4e4e4", "#ffffff"  # as a page has them, light or dark
DARK, LIGHT = "#000000", "#fdfdfd"  # on a colour of the figure's own: they stay
OF_PAGE = {INK: "currentColor", GREY: "var(--grey)", RULE: "var(--rule)", PAPER: "var(--paper)"}
SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
TELLS, THREAD = "tells:", "thread:"
FONT = re.compile(r"(?P<rest>.*?)(?P<size>[\d.]+)px")


def tell(artist: Artist, texts: Sequence[str]) -> None:
    """Let the marks of an artist say something when pointed at: a text each, in their order, or one for all."""
    artist.set_gid(TELLS + json.dumps([*texts]))


def thread(line: Artist, text: str) -> None:
    """Let a line through several scales say something, and be one that a page picks out by where it passes."""
    line.set_gid(f"{THREAD}{TELLS}{json.dumps([text])}")


def svg(figure: Figure, name: str, alt: str) -> str:
    """The figure as an element; `name` keeps its ids apart from those of others there, `alt` says what is seen."""
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(content.getvalue())  # our own, and nobody else's
    for parent in [*root.iter()]:
        for child in [*parent]:
            if local(child) in ("metadata", "style"):
                parent.remove(child)
    for element in root.iter():
        styled(element)
        referring(element, name)
    for element in root.iter():
        telling(element)
    for size in ("width", "height"):
        root.attrib.pop(size, None)
    root.attrib |= {"class": "figure", "role": "img", "aria-label": alt}
    ElementTree.register_namespace("", SVG)
    ElementTree.register_namespace("xlink", XLINK)
    return ElementTree.tostring(root, encoding="unicode")


def local(element: ElementTree.Element) -> str:
    """An element's name without its namespace."""
    return element.tag.rpartition("}")[2]


def styled(element: ElementTree.Element) -> None:
    """Attributes in place of a style, which the page's policy refuses; colours of the page in place of ours."""
    for declaration in element.attrib.pop("style", "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font" and (match := FONT.match(value)):
            element.set("font-size", match["size"])
            if "bold" in match["rest"] or "700" in match["rest"]:
                element.set("font-weight", "bold")
        elif key:
            element.set(key, value)
    for key in ("fill", "stroke"):
        if key in element.attrib:
            element.set(key, OF_PAGE.get(element.attrib[key].lower(), element.attrib[key]))
    if local(element) == "text" and "fill" not in element.attrib:
        element.set("fill", "currentColor")


def referring(element: ElementTree.Element, name: str) -> None:
    """Ids that no other figure of the page has."""
    for key, value in element.attrib.items():
        if key == "id" and not value.startswith((TELLS, THREAD)):
            element.set(key, f"{name}-{value}")
        elif key == f"{{{XLINK}}}href" and value.startswith("#"):
            element.set(key, f"#{name}-{value[1:]}")
        elif value.startswith("url(#"):
            element.set(key, value.replace("url(#", f"url(#{name}-"))


def telling(element: ElementTree.Element) -> None:
    """What the marks say, as the page's script finds it."""
    if element.get("id", "").startswith(THREAD):
        element.set("data-thread", "")
        element.set("id", element.attrib["id"].removeprefix(THREAD))
    if not element.get("id", "").startswith(TELLS):
        return
    texts = json.loads(element.attrib.pop("id").removeprefix(TELLS))
    uses = [part for part in element.iter() if local(part) == "use"]
    if len(uses) == len(texts):
        for use, text in zip(uses, texts, strict=True):
            use.set("data-tells", text)
    else:
        element.set("data-tells", "\n".join(texts))

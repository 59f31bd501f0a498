"""A report as one HTML file: its figures inside, and no other file or server needed."""

from __future__ import annotations

import base64
import html as escaping
import re
from pathlib import Path
from typing import Any

STYLE = """
:root { color-scheme: light; }
body { margin: 0 auto; max-width: 54rem; padding: 2.5rem 1.5rem 5rem; color: #222; background: #fff;
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .8rem; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid #ddd; }
p, ul { margin: .6rem 0; } li { margin: .2rem 0; }
li.task { list-style: none; margin-left: -1.3rem; }
img { display: block; max-width: 100%; margin: 1.6rem 0 .3rem; }
img + br { display: none; }
p.caption { margin: 0 0 1.6rem; color: #555; font-size: .9rem; }
code { font: .87em ui-monospace, "DejaVu Sans Mono", "Liberation Mono", monospace; background: #f4f4f4; \
padding: .1em .25em;
  border-radius: 3px; overflow-wrap: anywhere; }
pre { background: #f4f4f4; padding: .8rem 1rem; border-radius: 4px; overflow-x: auto; } pre code { padding: 0; }
/* A wide table breaks its cells into lines; one that is still too wide is scrolled. */
table { display: block; width: fit-content; max-width: 100%; overflow-x: auto; border-collapse: collapse;
  font-size: .83rem; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .5rem; border-bottom: 1px solid #e4e4e4; text-align: left; }
th { border-bottom: 2px solid #bbb; vertical-align: bottom; }
summary { cursor: pointer; margin: 1rem 0; }
a { color: #0072b2; }
@media print { body { padding: 0; max-width: none; } h2, img { break-after: avoid; } }
"""


def html(text: str, title: str, folder: Path) -> str:
    """The page of a report's Markdown; `folder` is where its figures' paths start."""
    from markdown_it import MarkdownIt

    body = MarkdownIt("commonmark", {"html": True}).enable("table").render(text)
    body = re.sub(r'(?<=<img src=")([^":]+\.png)(?=")', lambda match: inlined(folder / match[1]), body)
    body = body.replace("<li>[x] ", '<li class="task">☑ ').replace("<li>[ ] ", '<li class="task">☐ ')
    body = re.sub(r"(<p><img [^>]*></p>\n)<p>", r'\1<p class="caption">', body)
    # The ends of an interval stay in one line.
    body = re.sub(r"(\[[^][<]*,|±) (?=[^][<]*\]?</td>)", r"\1&nbsp;", body)
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head += f"<title>{escaping.escape(title)}</title>"
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}</body></html>\n'


def inlined(path: Path) -> Any:
    """A picture as an address that holds it; the path as it is where there is no such file."""
    if not path.is_file():
        return path.name
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()

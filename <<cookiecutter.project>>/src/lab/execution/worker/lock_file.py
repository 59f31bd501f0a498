"""dvc.lock: what it says of each stage, and its text, which is DVC's to the byte."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from lab.execution.worker.errors import Unsupported
from lab.execution.worker.pipeline import parsed

FILE = "dvc.lock"
HEAD = "schema: '2.0'\nstages:\n"
# A line that ruamel.yaml writes as it has read it: short, a key, a value without what YAML might fold or quote anew.
PLAIN = re.compile(r"^ +(- )?[\w./@-]+:( '?[\w./@+-]+'?| \[\]| \{\}| ''| null|)$|^ +- '?[\w./@+-]+'?$")
LONGEST = 78


class LockFile:
    """The text of a dvc.lock and its stages' entries. Raises Unsupported for what DVC 3 does not write."""

    def __init__(self, text: str):
        self.text = text
        self.stages: dict[str, dict[str, Any]] = dict(parsed(text.encode(), FILE).get("stages") or {}) if text else {}
        self._blocks = _blocks(text)
        for name, entry in self.stages.items():
            if any(item.get("hash") != "md5" for kind in ("deps", "outs") for item in entry.get(kind, [])):
                raise Unsupported(f"{FILE}: stage {name!r} is not in DVC 3's form")

    def put(self, name: str, entry: dict[str, Any]) -> None:
        """Replace a stage's entry, or append it.

        DVC reads and writes the whole file for each stage. Where that leaves the others as they are, so do we.
        """
        from dvc.utils.serialize import dumps_yaml

        block = dumps_yaml({"stages": {name: entry}}).removeprefix("stages:\n")
        if self._blocks is not None and _is_stable(block):
            self._blocks[block.partition("\n")[0]] = block
            self.text = HEAD + "".join(self._blocks.values())
        else:
            self.text = _rewritten(self.text, name, entry)
            self._blocks = _blocks(self.text)
        self.stages[name] = entry


def _rewritten(text: str, name: str, entry: dict[str, Any]) -> str:
    """As `Lockfile.dump_stages` does it."""
    from dvc.utils.serialize import dumps_yaml
    from dvc.utils.serialize._yaml import parse_yaml_for_update

    content: Any = parse_yaml_for_update(text, FILE) if text else {"schema": "2.0"}
    content["stages"] = content.get("stages", {})
    content["stages"].update({name: entry})
    return dumps_yaml(content)


def _is_stable(block: str) -> bool:
    """Whether DVC, when it reads and writes it for the next stage, leaves it as it is."""
    command, _, rest = block.partition("\n    deps:\n")
    if not rest:
        command, _, rest = block.partition("\n    params:\n")
    return _comes_back(command) and all(len(line) < LONGEST and PLAIN.match(line) for line in rest.splitlines())


@lru_cache(maxsize=256)
def _comes_back(text: str) -> bool:
    from dvc.utils.serialize import dumps_yaml
    from dvc.utils.serialize._yaml import parse_yaml_for_update

    text = f"stages:\n{text}\n"
    return "&id" not in text and dumps_yaml(parse_yaml_for_update(text, FILE)) == text


def _blocks(text: str) -> dict[str, str] | None:
    """The stages' parts of the text by their first lines; None where DVC would write it differently."""
    known = _split(text) if text else ()
    return dict(known) if known is not None else None


@lru_cache(maxsize=16)
def _split(text: str) -> tuple[tuple[str, str], ...] | None:
    from dvc.utils.serialize import dumps_yaml
    from dvc.utils.serialize._yaml import parse_yaml_for_update

    if not text.startswith(HEAD) or dumps_yaml(parse_yaml_for_update(text, FILE)) != text:
        return None
    blocks = re.split(r"(?m)^(?=  [^ -])", text.removeprefix(HEAD))
    return tuple((block.partition("\n")[0], block) for block in blocks if block)

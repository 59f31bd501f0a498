"""The files of a run that go along: small ones out of git, and models out of DVC's cache where wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lab.contract import Contract
from lab.secrets import hide_bytes
from lab.study import Study


def small(contract: Contract, record: Any) -> dict[str, bytes | Path]:
    """What git has of the run's results: tables, and what each stage was run with."""
    paths = [path for path in record.outputs if path.startswith(tuple(contract.attachments))]
    contents = {path: record.content.git.read(record.commit, path) for path in paths}
    return {path: content for path, content in contents.items() if content is not None}


def models_of(contract: Contract) -> dict[str, str]:
    """The outputs that are models, each with what its tags begin with: as the first entry for it says."""
    return {model.output: model.tag for model in reversed(contract.models)}


def models(study: Study, record: Any) -> dict[str, bytes | Path]:
    """The models as files of DVC's cache, by their paths; without those that the cache lacks."""
    files: dict[str, bytes | Path] = {}
    for path in models_of(study.contract):
        parts = study.project.store.files(record.outputs.get(path, {}).get("md5"))
        files |= {f"{path}/{part}".rstrip("/"): file for part, file in parts.items()}
    return files


def scrubbed(files: Mapping[str, bytes | Path], secrets: Sequence[str]) -> dict[str, bytes | Path]:
    """Files as they may be sent: texts, tables and pictures without secrets; models as they are."""
    return {
        path: hide_bytes(content, secrets) if isinstance(content, bytes) else content for path, content in files.items()
    }

"""Where a study's results come from: commits and hashes, versions, hardware, duration and cost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from lab.markdown import code, plain

if TYPE_CHECKING:
    from lab.study import Record, Study


def provenance(study: Study) -> Iterator[tuple[str, str]]:
    """What each is, for people."""
    finished, contract = study.finished, study.contract
    yield "baseline", f"`{study.commit}`"
    dataset = contract.dataset.output if contract.dataset else ""
    hashes = [record.outputs.get(dataset, {}).get("md5") for record in finished]
    if any(hashes):
        yield "prepared data", ", ".join(code(md5) for md5 in dict.fromkeys(filter(None, hashes)))
    stages = ran(finished)
    machines = [stage["machine"] for stage in stages if stage.get("machine")]
    unused = contract.task.unused_packages.get(study.design.task or "", []) if contract.task else []
    hardware = dict.fromkeys(hardware_of(machine) for machine in machines)
    if hardware:
        yield "hardware", plain("; ".join(hardware))
    versions = dict.fromkeys(versions_of(machine, unused) for machine in machines)
    if versions:
        yield "versions", plain("; ".join(versions))
    times = [(record.started, record.ended) for record in finished]
    starts, ends = ([time for time in side if time] for side in zip(*times, strict=True)) if times else ([], [])
    if starts and ends:
        yield "time", f"{min(starts):%Y-%m-%d %H:%M} to {max(ends):%Y-%m-%d %H:%M} UTC"
    if stages:
        yield "cost", cost(stages)


def ran(records: Iterable[Record]) -> list[dict[str, Any]]:
    """What the stages noted, each once: a training that several runs share was run once."""
    notes = [stage for record in records for stage in record.effective.values()]
    hosts = (str((note.get("machine") or {}).get("host")) for note in notes)
    return [
        *{(note.get("stage"), note["started"], host): note for note, host in zip(notes, hosts, strict=True)}.values()
    ]


def hardware_of(machine: dict[str, Any]) -> str:
    """`Intel Xeon, 2 cores, 1 NVIDIA H100`."""
    gpus = machine.get("gpus") or []
    parts = [str(machine.get("cpu") or "unknown CPU"), f"{machine.get('cores', '?')} cores"]
    return ", ".join(parts + [f"{gpus.count(gpu)} × {gpu}" for gpu in dict.fromkeys(gpus)])


def versions_of(machine: dict[str, Any], unused: Sequence[str] = ()) -> str:
    """`Python 3.11.7, scikit-learn 1.9.1, …`, without packages that the task doesn't use."""
    names = {"Python": machine.get("python"), **(machine.get("versions") or {})}
    return ", ".join(f"{name} {version}" for name, version in names.items() if version and name not in unused)


def cost(stages: Sequence[dict[str, Any]]) -> str:
    """The hours that machines were busy: those with a GPU, and the others."""
    with_gpu = sum(note["seconds"] for note in stages if (note.get("machine") or {}).get("gpus"))
    without = sum(note["seconds"] for note in stages) - with_gpu
    return f"{with_gpu / 3600:.2f} GPU hours, {without / 3600:.2f} hours on machines without"

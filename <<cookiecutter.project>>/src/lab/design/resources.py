"""What runs may take: one of them of a machine, and all of a design together."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from lab.design.forms import Model
from lab.design.levels import label

if TYPE_CHECKING:
    from lab.contract import Contract
    from lab.errors import Mistake

Duration = Annotated[str, Field(pattern=r"^([1-9]\d*(\.\d+)?[dhms])+$", description="A time: 2h, 30m, 1h30m")]
UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}  # seconds
LONGEST = 1000 * UNITS["d"]


class Resources(Model):
    """What one run takes of a machine, and for how long: as many run at a time as fit, and the others wait."""

    gpus: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """A share of a GPU, such as 0.5, or a whole number of them; left out, one that others may use as well."""
    cpus: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """Cores; left out, they are not counted."""
    timeout: Duration | None = None
    """The most time that a run may take, after which it has failed; left out, as much as it likes."""

    def contradictions(self, contract: Contract | None) -> Iterator[Mistake]:
        if self.gpus is not None and self.gpus > 1 and self.gpus != int(self.gpus):
            yield ("gpus",), f"{label(self.gpus)} is neither a share of one GPU nor a whole number of them"
        if self.seconds and self.seconds > LONGEST:
            yield ("timeout",), f"{self.timeout} is longer than a run can take: leave it out for as long as it likes"

    @property
    def seconds(self) -> float | None:
        """The most time that a run may take."""
        parts = re.findall(r"([\d.]+)([dhms])", self.timeout or "")
        return sum(float(number) * UNITS[unit] for number, unit in parts) or None


UNSTATED = Resources()


class Budget(Model):
    """The most that a design's runs may take together, on one commit; what doesn't fit is not run."""

    runs: Annotated[int, Field(ge=1)] | None = None
    """How many may be started, those that fail included; runs that others have answered cost nothing."""
    hours: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """How long their stages may run, added up: two at a time take two hours in one."""

    def contradictions(self, contract: Contract | None) -> Iterator[Mistake]:
        if self.runs is None and self.hours is None:
            yield (), "expected runs, hours, or both: {runs: 20, hours: 4}"

    def __str__(self) -> str:
        stated = {"run": self.runs, "hour": self.hours}
        words = (f"{value:g} {name}{'' if value == 1 else 's'}" for name, value in stated.items() if value is not None)
        return " and ".join(words)

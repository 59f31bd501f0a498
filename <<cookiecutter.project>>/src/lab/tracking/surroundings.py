"""What the runs of a project have in common, whatever their design."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab import secrets
from lab.tracking import text

if TYPE_CHECKING:
    from lab.records.git_record import GitRecord
    from lab.records.project import Project

WEB = ("https://", "http://", "git@", "ssh://")


@dataclass(frozen=True)
class Surroundings:
    """What the runs of a project have in common.

    Attributes:
        branches: of each baseline commit, the branch that it is on.
        authors: of each baseline commit, its author.
        source: the git repository's address.
        remote: DVC's default remote.
        secrets: texts that must not be sent.
        upload_models: whose models are copied: `none`, `all`, or the `best` run's, to the design's own.
    """

    branches: Mapping[str, str] = field(default_factory=dict)
    authors: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    remote: str = ""
    secrets: Sequence[str] = ()
    upload_models: str = "none"

    def scrub(self, something: str) -> str:
        """A text as it may be sent."""
        return secrets.hide(something, self.secrets)

    def tags(self, values: Mapping[str, object]) -> dict[str, str]:
        """Tags as they may be sent: short, without secrets, and without those that say nothing."""
        return {
            name: text.cut(self.scrub(str(value)), text.TAG)
            for name, value in values.items()
            if value not in (None, "")
        }


def read(project: Project, upload_models: str, records: Iterable[GitRecord]) -> Surroundings:
    """What git, DVC and the environment say."""
    if project.head is None:
        return Surroundings()
    baselines = {record.baseline for record in records}
    on, current = project.git.branches_with(baselines), project.git.branch
    return Surroundings(
        # Of several branches the one that is checked out where it has the commit, or the first.
        branches={commit: current if current in names else min(names) for commit, names in on.items() if names},
        authors={commit: project.git.author(commit) for commit in baselines},
        source=_address(project),
        remote=secrets.hide(project.store.remote_place),
        secrets=secrets.known(project.root),
        upload_models=upload_models,
    )


def _address(project: Project) -> str:
    """The repository's address in the web, for a link; without one, empty."""
    url = project.git.remote_url("origin")
    return secrets.hide(url) if url.startswith(WEB) else ""

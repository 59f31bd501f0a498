"""The git remote: where nodes take code from, and where the refs of experiments are all that counts as success."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from lab.errors import UserError, nearest
from lab.git import Repository


class Remote:
    """The remote called `name` of a repository. Raises UserError where there is none."""

    def __init__(self, git: Repository, name: str):
        self.git, self.name = git, name

    @property
    def url(self) -> str:
        """Its address for nodes: a folder by its full path, and without a password, which nodes have to have."""
        url = self.git.remote_url(self.name)
        if not url:
            known = self.git.run("remote").splitlines()
            raise UserError(
                f"there is no git remote {self.name}, which nodes take the code from: git remote add {self.name} URL, "
                f"or remote in conf/cluster.yaml.{nearest(self.name, known)}"
            )
        if "://" not in url and not re.match(r"[^/]+:", url):
            return str((self.git.root / url).resolve())
        return re.sub(r"(?<=://)([^/@:]+):[^/@]+@", r"\1@", url)

    def require(self, commit: str) -> None:
        """Raises UserError where it has not got a commit."""
        if self._has(commit):
            return
        url = self.url
        self.git.run("fetch", "-q", self.name)
        if not self._has(commit):
            raise UserError(
                f"nodes take the code from {self.name} ({url}), which has no commit {commit[:7]} yet: "
                f"git push {self.name} {self.git.branch or 'HEAD'}"
            )

    def _has(self, commit: str) -> bool:
        named = f"{self.name}/*"
        return bool(self.git.call("branch", "-r", "--contains", commit, "--list", named).stdout.strip())

    def there(self, refs: Iterable[str]) -> set[str]:
        """Those of the experiments' refs that it has. Raises UserError where it can't be asked."""
        wanted = set(refs)
        patterns = {f"{ref.rpartition('/')[0]}/*" for ref in wanted}
        if not wanted:
            return set()
        lines = self.git.run("ls-remote", "-q", self.url, *sorted(patterns)).splitlines()
        return wanted & {line.split("\t")[1] for line in lines}

    def bring(self, refs: Iterable[str]) -> bool:
        """Fetch experiments' refs, or patterns of such; what is here stays as it is. Returns whether all went well."""
        lines = "".join(f"{ref}:{ref}\n" for ref in refs)
        command = ("fetch", "-q", "--no-tags", "--no-write-fetch-head", "--stdin", self.url)
        return not lines or self.git.call(*command, stdin=lines).returncode == 0


def folder_key(root: Path) -> str:
    """A name for a project, for a place that others use, too."""
    import hashlib

    return f"{root.name}-{hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:8]}"

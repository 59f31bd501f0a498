"""The project's git repository: read from its objects, without touching the work tree; written to in own commits.

Only this module starts git, and only it, git_objects and git_refs know pygit2. Objects are read by pygit2 (a file in
0.2 ms); what git does with the network, the index or the work tree is left to git.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import cached_property
from pathlib import Path, PurePosixPath
from types import MappingProxyType

import pygit2
from pygit2.enums import DiffOption, FileMode, SortMode

from lab.errors import UserError
from lab.git_objects import Objects
from lab.git_refs import Experiment, below, experiments
from lab.git_refs import experiment_ref as experiment_ref

PLAIN = int(FileMode.BLOB)  # of a file that is no program, no link and no other repository
KINDS = {0: "gone", int(FileMode.BLOB_EXECUTABLE): "executable", int(FileMode.LINK): "a link"}
KINDS |= {int(FileMode.COMMIT): "another repository (a submodule)"}
Change = bytes | tuple[str, str] | None
"""Of a path: a file's content, (commit, path) to take from there, or nothing any more."""


class NoRepository(UserError):
    """A folder is in none."""


def _unopened(root: Path, said: str) -> UserError:
    """Why the repository of `root` can't be read, from what libgit2 said."""
    if "not owned by" in said:
        place = next((str(folder) for folder in (root, *root.parents) if (folder / ".git").exists()), str(root))
        return UserError(
            f"{place} belongs to another user, so that git reads no repository in it. Where you trust it: "
            f"git config --global --add safe.directory {shlex.quote(place)}"
        )
    if "sha256" in said.lower() or "object format" in said or "objectformat" in said:
        return UserError(
            f"the repository of {root} names its objects by sha256, which neither libgit2 nor DVC reads: "
            "git init --object-format=sha1 in a new folder, and commit the files there"
        )
    if "not found" in said or "could not find" in said:
        return NoRepository(f"{root} is in no git repository: git init, git add -A and git commit first")
    return UserError(f"the git repository of {root} can't be read: {said}")


class Repository(Objects):
    """The repository that the project at `root` lies in. Paths are the project's, commits are full hashes.

    Raises:
        NoRepository: there is none.
        UserError: it is another user's, or of a kind that can't be read.
    """

    def __init__(self, root: Path):
        try:
            git = pygit2.Repository(str(root))
        except pygit2.GitError as error:
            raise _unopened(root, str(error)) from error
        super().__init__(root, git)

    @classmethod
    def create(cls, root: Path) -> Repository:
        """A new repository at `root`, with the branch main."""
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=root, check=True, capture_output=True)
        return cls(root)

    # Where it stands

    @property
    def head(self) -> str | None:
        """The commit that is checked out; None before the first one."""
        return None if self._git.head_is_unborn else str(self._git.head.target)

    @property
    def is_detached(self) -> bool:
        """Whether no branch is checked out."""
        return self._git.head_is_detached

    @property
    def branch(self) -> str:
        """The branch that is checked out; empty without one."""
        return "" if self.head is None or self.is_detached else str(self._git.head.shorthand)

    def branches_with(self, commits: Iterable[str]) -> dict[str, list[str]]:
        """The local branches that have each of these commits. To list them git reads all refs: they are listed once."""
        tips: dict[str, pygit2.Oid | str] = {}
        for name in self._git.branches.local:
            with suppress(KeyError, ValueError, pygit2.GitError):  # one that leads nowhere
                tips[name] = self._git.branches.local[name].resolve().target
        return {commit: [name for name, tip in tips.items() if self._is_within(commit, tip)] for commit in commits}

    def _is_within(self, commit: str, tip: pygit2.Oid | str) -> bool:
        with suppress(KeyError, ValueError, pygit2.GitError):  # a commit that this clone lacks
            return str(tip) == commit or self._git.descendant_of(tip, commit)
        return False

    def remote_url(self, name: str) -> str:
        """The address of a remote; empty where there is none."""
        return str(self._git.remotes[name].url) if name in self._git.remotes.names() else ""

    # Commits

    def __contains__(self, commit: str) -> bool:
        try:
            return commit in self._git
        except (ValueError, pygit2.GitError):  # an object that says odd things of itself
            return False

    def resolve(self, name: str) -> str | None:
        """The commit that a branch, tag or hash stands for; None where it stands for nothing."""
        try:
            return str(self._git.revparse_single(name).peel(pygit2.Commit).id)
        except (KeyError, ValueError, pygit2.GitError):
            return None

    def ref(self, name: str) -> str | None:
        """The commit at a full ref; None where there is none."""
        with suppress(KeyError, ValueError, pygit2.GitError):
            return str(self._git.references[name].peel(pygit2.Commit).id)
        return None

    def refs(self, folder: str) -> dict[str, str]:
        """The commits at the refs below a folder (`refs/lab/queue/`), by their full names and in the order of these."""
        commits = {}
        for ref in sorted(below(self.common, folder)):
            with suppress(KeyError, ValueError, pygit2.GitError):  # one that leads nowhere
                commits[ref] = str(self._git.references[ref].peel(pygit2.Commit).id)
        return commits

    def change_refs(self, create: Mapping[str, str] = MappingProxyType({}), delete: Iterable[str] = ()) -> None:
        """Create refs and delete others: all or, with a UserError, none."""
        lines = [f"create {ref} {commit}\n" for ref, commit in create.items()] + [f"delete {ref}\n" for ref in delete]
        if lines:
            self.run("update-ref", "--stdin", stdin="".join(lines))

    def experiments(self) -> list[Experiment]:
        """DVC's finished experiments, by time and then name; refs that lead to no commit are among them."""
        return experiments(self._git, self.common)

    def tips(self) -> dict[str, str]:
        """The commits that people stand on, by name: HEAD, branches here and on remotes, tags and the stash."""
        found = {"HEAD": self.head} if self.head else {}
        for ref in self._git.listall_references():
            if not ref.startswith(("refs/exps/", "refs/notes/", "refs/lab/")):
                with suppress(pygit2.GitError, KeyError):  # a tag of a file, or a ref to what is no more
                    commit = str(self._git.references[ref].peel(pygit2.Commit).id)
                    found[re.sub("^refs/(heads/|remotes/|tags/|)", "", ref)] = commit
        return found

    @cached_property
    def common(self) -> Path:
        """The folder that a repository shares with its worktrees."""
        own = Path(self._git.path)
        pointer = own / "commondir"
        return own / pointer.read_text().strip() if pointer.is_file() else own

    def history(self, commit: str, oldest_first: bool = False) -> Iterator[str]:
        """A commit and its first parents, back to the beginning."""
        order = SortMode.TOPOLOGICAL | (SortMode.REVERSE if oldest_first else SortMode.NONE)
        walker = self._git.walk(commit, order)
        walker.simplify_first_parent()
        yield from (str(entry.id) for entry in walker)

    def parents(self, commit: str) -> list[str]:
        """The commits before it."""
        return [str(parent) for parent in self._commit(commit).parent_ids]

    def is_ancestor(self, commit: str, of: str) -> bool:
        """Whether `commit` is `of` or lies in its history."""
        return commit == of or self._git.descendant_of(of, commit)

    def ahead_behind(self, commit: str, other: str) -> tuple[int, int]:
        """How many commits the one has that the other lacks, and the other way round."""
        return self._git.ahead_behind(commit, other)

    def time(self, commit: str) -> int:
        """When it was made, in seconds since the epoch."""
        return self._commit(commit).commit_time

    def day(self, commit: str) -> str:
        """The day (YYYY-MM-DD) on which it was made, where it was made."""
        entry = self._commit(commit)
        zone = timezone(timedelta(minutes=entry.commit_time_offset))
        return datetime.fromtimestamp(entry.commit_time, zone).date().isoformat()

    def message(self, commit: str) -> str:
        """What its author said."""
        return self._commit(commit).message

    def author(self, commit: str) -> str:
        """Who made it, by name."""
        return " ".join(self._commit(commit).author.name.split())

    def merge_base(self, one: str, other: str) -> str | None:
        """The newest commit that both have; None for histories that have nothing in common."""
        base = self._git.merge_base(one, other)
        return str(base) if base else None

    def commits_since(self, known: Iterable[str], commit: str) -> list[str]:
        """The commits up to `commit` that none of the known ones has in its history, the newest first."""
        walker = self._git.walk(commit, SortMode.TOPOLOGICAL)
        for other in known:
            walker.hide(other)
        return [str(entry.id) for entry in walker]

    def changed(self, one: str, other: str) -> dict[str, int]:
        """The files that differ between two commits, and the mode of each in the second one: 0 where it has none.

        Of the whole repository: a file outside of the project is `../…`. A renamed one is one that is gone, and a new
        one.
        """
        tree = self._commit(one).tree
        deltas = tree.diff_to_tree(self._commit(other).tree, flags=DiffOption.INCLUDE_TYPECHANGE).deltas
        modes = {delta.new_file.raw_path: int(delta.new_file.mode) for delta in deltas}
        names = {name.decode("utf-8", "backslashreplace"): mode for name, mode in modes.items()}
        if self.prefix.name:
            return {os.path.relpath(name, self.prefix): mode for name, mode in names.items()}
        return names

    # Files of many commits

    def called(self, commit: str, name: str) -> list[str]:
        """The content of each file of this name in a commit, in whatever folder of the repository."""
        listed = self.run("ls-tree", "-r", "-z", "--full-tree", commit).split("\0")
        entries = (line.split("\t", 1) for line in listed if line)
        return [self._blob(head.split()[2]) for head, path in entries if PurePosixPath(path).name == name]

    def versions(self, ending: str) -> list[str]:
        """The content of each file whose name ends so, in every commit that some ref leads to."""
        odd = {each.commit for each in self.experiments() if not each.is_commit}
        targets = {str(ref.target) for ref in self._git.references.iterator()} | {self.head or ""}
        tips = [name for name in targets - odd if re.fullmatch("[0-9a-f]{40}", name) and self.kind(name)]
        said = self.run("rev-list", "--objects", "--stdin", stdin="".join(f"{tip}\n" for tip in tips))
        listed = (line.partition(" ") for line in said.splitlines())
        return [self._blob(blob) for blob, _, path in listed if path.endswith(ending)]

    def _blob(self, blob: str) -> str:
        content = self._git[blob]
        return content.data.decode(errors="replace") if isinstance(content, pygit2.Blob) else ""

    # Commits of our own

    def merged(self, one: str, other: str, without: Iterable[str] = ()) -> tuple[str | None, list[str]]:
        """The tree of two commits merged, and the paths that conflict: with any there is no tree.

        `without` is left out of it: files and folders that are about to be replaced, so that they can't conflict.
        """
        index = self._git.merge_commits(one, other)
        for path in without:
            index.remove_all([str(self.prefix / path)])
        if index.conflicts:
            return None, sorted({str(entry.path) for three in index.conflicts for entry in three if entry})
        return str(index.write_tree(self._git)), []

    def with_changes(self, tree: str, changes: Mapping[str, Change]) -> str:
        """The id of a tree with changes, by path."""
        index = pygit2.Index()
        index.read_tree(self._git[tree])  # type: ignore[arg-type]
        for path, content in changes.items():
            index.remove_all([str(self.prefix / path)])
            if isinstance(content, bytes):
                self._add(index, path, self._git.create_blob(content))
            elif content is not None:
                commit, source = content
                for file, blob in self.files(commit, source):
                    self._add(index, path + file.removeprefix(source), pygit2.Oid(hex=blob))
        return str(index.write_tree(self._git))

    def _add(self, index: pygit2.Index, path: str, blob: pygit2.Oid) -> None:
        index.add(pygit2.IndexEntry(str(self.prefix / path), blob, FileMode.BLOB))

    @property
    def identity(self) -> tuple[str, str]:
        """The name and the address that commits here have."""
        who = self._signature(anonymous=True)
        return who.name, who.email

    def create_commit(self, tree: str, parents: list[str], message: str, anonymous: bool = False) -> str:
        """A commit that no ref names yet. `anonymous` goes on without a name in git's config. Raises UserError."""
        who = self._signature(anonymous)
        return str(
            self._git.create_commit(None, who, who, message, pygit2.Oid(hex=tree), [pygit2.Oid(hex=p) for p in parents])
        )

    def _signature(self, anonymous: bool) -> pygit2.Signature:
        try:
            return self._git.default_signature
        except (KeyError, pygit2.GitError) as error:
            if anonymous:
                return pygit2.Signature(os.environ.get("USER", "lab"), "lab@localhost", int(time.time()), 0)
            raise UserError(
                "git knows no name to commit by: git config user.name NAME, git config user.email ADDRESS"
            ) from error

    # git itself

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """What a git command prints. Raises UserError in git's words."""
        done = self.call(*arguments, stdin=stdin)
        if done.returncode:
            said = (done.stderr or done.stdout).strip().removeprefix("fatal: ")
            raise UserError(f"git {arguments[0]}: {said}")
        return done.stdout.strip()

    def says_yes(self, *arguments: str) -> bool:
        """Whether a git command ends well."""
        return self.call(*arguments).returncode == 0

    def call(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """A git command in the project, run to its end, whatever that is."""
        return subprocess.run(["git", *arguments], cwd=self.root, capture_output=True, text=True, input=stdin)

    def is_committed(self, path: Path) -> bool:
        """Whether HEAD has a file as it stands in the work tree."""
        known = self.says_yes("ls-files", "--error-unmatch", str(path.resolve()))
        return known and self.says_yes("diff", "--quiet", "HEAD", "--", str(path.resolve()))

    def last_change(self, path: Path, before: str = "HEAD") -> str:
        """The day (YYYY-MM-DD) of the last commit up to `before` that changed a path; empty without one."""
        return self.call("log", "-1", "--format=%cs", before, "--", str(path.resolve())).stdout.strip()

"""An update done beside the app, in a work tree of its repository, and then taken over from there.

So nothing of the app is touched before its owner has seen what becomes of it, and what is taken
over is what was seen. The work tree has the repository's objects and settings, and its own index.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kamalstream import yaml_input
from kamalstream.check.next_steps import commit_steps
from kamalstream.errors import BadInput
from kamalstream.facts import ANSWERS, PRODUCTION_RB
from kamalstream.git import committed, git, git_bytes, names, settings_for_copier
from kamalstream.inspect.adopted import App
from kamalstream.regular_file import read_bytes, read_text
from kamalstream.update.copier_process import copier, render
from kamalstream.update.outcome import Conflict, by_hand, changed, conflicts

# A diff looks the same whatever the user has git show.
_PLAIN = (
    *("--no-ext-diff", "--no-textconv", "--no-color"),
    *("--unified=3", "--inter-hunk-context=0", "--src-prefix=a/", "--dst-prefix=b/"),
)
# What git keeps in its folder while the user is in the middle of something.
_UNDER_WAY = {
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "MERGE_HEAD": "a merge",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisect",
}


def refuse_unready(app: Path) -> None:
    """Raise BadInput where an update could not be told from the owner's own changes."""
    try:
        git(app, "rev-parse", "--verify", "--quiet", "HEAD")
    except BadInput as error:
        if "safe.directory" in str(error):
            # Another user's repository, as in a container: git says what to do.
            raise
        steps = "; ".join(command for command, _ in commit_steps(app))
        raise BadInput(f"{app} has no commit to update from. Make one:\n{steps}") from None
    if committed(app, ANSWERS) is None:
        raise BadInput(f"{ANSWERS} is not committed. Commit what was rendered, then update.")
    for file, what in _UNDER_WAY.items():
        if (app / git(app, "rev-parse", "--git-path", file).strip()).exists():
            raise BadInput(f"{what} is under way in the app's repository. End it first.")
    # Whatever the user has git show: the command that takes an update back removes untracked files.
    untracked = "--untracked-files=normal"
    changes = git(app, "status", "--porcelain", untracked, "--", ".").splitlines()
    if changes:
        more = f" and {len(changes) - 5} more" if len(changes) > 5 else ""
        listed = ", ".join(line[3:] for line in changes[:5])
        raise BadInput(
            f"there are uncommitted changes: {listed}{more}.\nCommit or stash them first: an "
            "update could not be told from them, nor taken back."
        )


@dataclass(frozen=True)
class Preview:
    """The updated copy of the app, at `copy`, and what the template alone would have there.

    `new`, `updated`, `merged`, `dropped` and `untouched` are files; a file with a conflict is in
    `conflicts` only. `merged` are those in which edits of the owner's and changes of the template
    came together, `edited` the owner's own, in which our lines moved along, `ignored` those that
    git ignores in the app and so cannot merge, `absent` those the owner took away, which stay away.
    `by_hand` says what could not be put in, "" for nothing.
    """

    app: Path
    copy: Path
    conflicts: tuple[Conflict, ...]
    new: tuple[str, ...]
    updated: tuple[str, ...]
    merged: tuple[str, ...]
    edited: tuple[str, ...]
    dropped: tuple[str, ...]
    untouched: tuple[str, ...]
    ignored: tuple[str, ...]
    absent: tuple[str, ...]
    by_hand: str

    @property
    def changes(self) -> bool:
        """Return whether anything would change."""
        came = self.new or self.updated or self.merged or self.edited or self.dropped
        return bool(self.conflicts or came)

    @property
    def diff(self) -> str:
        """The changes as git shows them, of new files only the name."""
        return git(self.copy, "diff", *_PLAIN, "--relative", "--diff-filter=d", "HEAD", "--", ".")


@contextmanager
def preview(app: Path, data: Mapping[str, Any], conflict: str = "inline") -> Iterator[Preview]:
    """Update a copy of `app` with the answers `data` on top of its own; yield what came of it.

    `conflict` is "inline" or "rej", as Copier means it. Raises BadInput with Copier's words where
    it refuses.
    """
    top = Path(git(app, "rev-parse", "--show-toplevel").strip())
    below = git(app, "rev-parse", "--show-prefix").strip()
    scratch = Path(tempfile.mkdtemp(prefix="kamalstream-"))
    tree = scratch / top.name
    try:
        with settings_for_copier(app):
            # What an interrupted run has left in the repository's list of work trees.
            git(app, "worktree", "prune")
            git(app, "worktree", "add", "--quiet", "--detach", str(tree), "HEAD")
            copy = tree / below
            answers = scratch / "given.yml"
            answers.write_text(yaml.safe_dump(dict(data)), "utf-8")
            options = ("--trust", "--defaults", f"--conflict={conflict}", f"--data-file={answers}")
            said = copier(["update", *options, str(copy)], app)
            rendered = scratch / "rendered" / app.name
            rendered.parent.mkdir()
            text = read_text(copy / ANSWERS)
            render(text, str(yaml_input.load(text, ANSWERS)["_src_path"]), rendered, app)
            done = _compare(app, copy, rendered, by_hand(said))
        yield done
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        git(app, "worktree", "prune")


def _compare(app: Path, copy: Path, rendered: Path, left: str) -> Preview:
    found, updated = conflicts(copy), App(copy)
    open_ones = {one.file for one in found} | {one.rejects for one in found}
    files = [file for file in changed(copy) if file not in open_ones]
    templates = sorted(str(p.relative_to(rendered)) for p in rendered.rglob("*") if p.is_file())
    before = set(names(copy, "ls-tree", "-r", "--name-only", "-z", "HEAD", "--", "."))
    there = [file for file in files if (copy / file).is_file()]
    replaced = [file for file in there if file in before]
    as_rendered = [
        file
        for file in replaced
        if file in templates and read_bytes(copy / file) == (rendered / file).read_bytes()
    ]

    def is_own(file: str) -> bool:
        return file == PRODUCTION_RB or file not in templates or updated.is_own(file)

    away = [file for file in templates if not (copy / file).exists()]
    return Preview(
        app=app,
        copy=copy,
        conflicts=tuple(found),
        new=tuple(file for file in there if file not in before),
        updated=tuple(as_rendered),
        merged=tuple(file for file in replaced if file not in as_rendered and not is_own(file)),
        edited=tuple(file for file in replaced if file not in as_rendered and is_own(file)),
        dropped=tuple(file for file in files if file not in there),
        untouched=tuple(
            file
            for file in templates
            if file not in files and file not in open_ones and (copy / file).is_file()
        ),
        ignored=tuple(file for file in away if (app / file).exists()),
        absent=tuple(file for file in away if not (app / file).exists()),
        by_hand=left,
    )


def take_over(done: Preview) -> None:
    """Make the app's working tree what the preview shows; its commits and index stay.

    Raises BadInput, with nothing changed, where the app has a file in the way that git ignores, or
    was changed meanwhile.
    """
    with settings_for_copier(done.app):
        entries = git(done.copy, "ls-files", "--unmerged", "--full-name", "-z", "--", ".")
        git(done.copy, "add", "--all", "--force", "--", ".")
        tree = git(done.copy, "write-tree").strip()
        added = names(
            done.copy, "diff", "--name-only", "--relative", "--diff-filter=A", "-z", "HEAD", tree
        )
    in_the_way = [file for file in added if (done.app / file).exists()]
    if in_the_way:
        raise BadInput(
            f"the template has {', '.join(in_the_way)} now, and the app has it too, ignored by "
            "git.\nMove it away, or commit it. Nothing was changed."
        )
    top = Path(git(done.app, "rev-parse", "--show-toplevel").strip())
    with tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch:
        # An index beside the app's own: so the changes are not staged, and new files not added.
        index = Path(scratch) / "index"
        shutil.copy2(top / git(top, "rev-parse", "--git-path", "index").strip(), index)
        git_bytes(top, "update-index", "-q", "--refresh", "--unmerged", index=index)
        git_bytes(top, "read-tree", "-m", "-u", "HEAD", tree, index=index)
    unmerged = [entry for entry in entries.split("\0") if entry]
    if unmerged:
        files = {entry.partition("\t")[2] for entry in unmerged}
        gone = [f"0 {'0' * 40}\t{file}" for file in sorted(files)]
        git(top, "update-index", "-z", "--index-info", given="\0".join([*gone, *unmerged, ""]))

"""Keeps what is the owner's, where Copier would not. Run by the hooks of an update.

The standard library and PyYAML only, and Copier as a process: a plain `copier update` has nothing
else.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kamalstream import atomic
from kamalstream.errors import BadInput
from kamalstream.facts import ANSWERS
from kamalstream.git import committed, git, names
from kamalstream.regular_file import read_text
from kamalstream.update.copier_process import render


def set_ignored_aside(app: Path, rendered: list[str]) -> None:
    """Keep what git cannot bring back: files among `rendered` that the app's .gitignore names.

    Copier replaces or deletes them without merging. `put_ignored_back` ends it; what an interrupted
    update left behind is put back first.
    """
    put_ignored_back(app)
    ignored = names(
        app, "ls-files", "--others", "--ignored", "--exclude-standard", "-z", "--", *rendered
    )
    for file in ignored:
        copy = _aside(app) / file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(app / file, copy)


def put_ignored_back(app: Path) -> list[str]:
    """Put back what `set_ignored_aside` kept, for good; return the names."""
    files = restore_ignored(app)
    shutil.rmtree(_aside(app), ignore_errors=True)
    return files


def restore_ignored(app: Path) -> list[str]:
    """Put back what `set_ignored_aside` kept, and keep it still; return the names.

    As soon as Copier has replaced the files: the command that takes an update back cannot.
    """
    aside = _aside(app)
    files = sorted(str(path.relative_to(aside)) for path in aside.rglob("*") if path.is_file())
    for file in files:
        (app / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(aside / file, atomic.place(app, file))
    return files


def _aside(app: Path) -> Path:
    return app / git(app, "rev-parse", "--git-dir").strip() / "kamalstream-update"


def keep_dropped(app: Path, template: Path) -> tuple[list[str], list[str]]:
    """Bring back the owner's files that Copier deleted because the template dropped them.

    Returns those, and those that stay deleted: they were as the template had rendered them.
    `template` is Copier's clone of it.
    """
    deleted = names(app, "ls-files", "--deleted", "-z", "--", ".")
    if not deleted:
        return [], []
    with rendered_last_time(app, template) as before:
        kept = [file for file in deleted if not _as_rendered(app, file, before)]
    if kept:
        git(app, "checkout", "-q", "--", *kept)
    for file in kept:
        # Copier tried to put the owner's edits into a file that is no more.
        (app / f"{file}.rej").unlink(missing_ok=True)
    return kept, [file for file in deleted if file not in kept]


def _as_rendered(app: Path, file: str, before: Path | None) -> bool:
    if before is None or not (before / file).is_file():
        return False
    return committed(app, file) == (before / file).read_bytes()


@contextmanager
def rendered_last_time(app: Path, template: Path) -> Iterator[Path | None]:
    """Yield a folder with what the release that `app` comes from rendered; None without it.

    `template` is Copier's clone of the template.
    """
    with tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch:
        folder: Path | None = Path(scratch) / app.resolve().name
        assert folder
        try:
            # Its address as the answers file has it may be one from another folder than this.
            source = git(template, "remote", "get-url", "origin").strip()
            render((committed(app, ANSWERS) or b"{}").decode(), source, folder)
        except (BadInput, LookupError, ValueError):
            folder = None
        yield folder


def rename_answer(app: Path, old: str, new: str) -> None:
    """Carry the answer `old` of the answers file over to the question that is called `new` now.

    Before the update. An answer that is there already under its new name stays.
    """
    file = atomic.place(app, ANSWERS)
    lines = read_text(file).splitlines(keepends=True)
    if any(line.startswith(f"{new}:") for line in lines):
        return
    file.write_text(
        "".join(re.sub(rf"^{re.escape(old)}:", f"{new}:", one) for one in lines), "utf-8"
    )


def move_file(app: Path, template: Path, old: str, new: str) -> None:
    """Carry the owner's edits of `old` over to `new`, where the template renders it now.

    After the update. A file that the owner had deleted or renamed stays away. Where both changed
    the same lines, `new` is left with a conflict as Copier leaves one.
    """
    target = app / new
    if committed(app, new) is not None or not target.is_file():
        return
    theirs = committed(app, old)
    with rendered_last_time(app, template) as before:
        if before is None or not (before / old).is_file():
            return
        if theirs is None:
            target.unlink()
            return
        _merge_owners(app, old, new, before / old)
        git(app, "rm", "-q", "--cached", "--", old)
        (app / old).unlink(missing_ok=True)
        (app / f"{old}.rej").unlink(missing_ok=True)


def merge_unseen(app: Path, template: Path, files: list[str]) -> None:
    """Merge those of the rendered `files` that Copier cannot see: the user has git ignore them all.

    Copier compares new repositories of its own, and `core.excludesFile` keeps the files out of them
    that the app has committed. So it replaces them, edits and all, or brings back deleted ones.
    """
    unseen = _ignored_everywhere(files)
    if not unseen:
        return
    with rendered_last_time(app, template) as before:
        for file in unseen:
            if before is None or not (before / file).is_file() or not (app / file).is_file():
                continue
            if committed(app, file) is None:
                (app / file).unlink()
            else:
                _merge_owners(app, file, file, before / file)


def _ignored_everywhere(files: list[str]) -> list[str]:
    """Return those of `files` that git ignores in a repository that says nothing about it."""
    with tempfile.TemporaryDirectory(prefix="kamalstream-") as folder:
        new = Path(folder)
        git(new, "init", "-q")
        for file in files:
            (new / file).parent.mkdir(parents=True, exist_ok=True)
            (new / file).touch()
        return names(new, "ls-files", "--others", "--ignored", "--exclude-standard", "-z")


def _merge_owners(app: Path, old: str, new: str, base: Path) -> None:
    """Merge what the owner had committed in `old` into `new`, which Copier has rendered.

    `base` is what was rendered into `old` the last time. Where both changed the same lines, `new`
    is left with a conflict as Copier leaves one.
    """
    target, mine = atomic.place(app, new), base.with_name(f"{base.name}.mine")
    mine.write_bytes(committed(app, old) or b"")
    labels = ["-L", "before updating", "-L", "last update", "-L", "after updating"]
    stages = [
        git(app, "hash-object", "-w", "--no-filters", "--", str(path)).strip()
        for path in (base, mine, target)
    ]
    clashes = _merge(app, [*labels, str(mine), str(base), str(target)])
    mode = git(app, "ls-files", "--stage", "--", old).split()[0]
    target.write_bytes(mine.read_bytes())
    target.chmod(int(mode, 8) & 0o777)
    if clashes:
        path = _below_top(app, new)
        entries = [f"{mode} {stage} {number}\t{path}\n" for number, stage in enumerate(stages, 1)]
        entries.insert(0, f"0 {'0' * 40}\t{path}\n")
        git(app, "update-index", "--index-info", given="".join(entries))


def _merge(app: Path, arguments: list[str]) -> int:
    """Run `git merge-file`, which writes into its first file; return the number of conflicts."""
    result = subprocess.run(["git", "merge-file", *arguments], cwd=app, check=False)
    if result.returncode > 127:
        raise BadInput(f"git merge-file failed: {result.returncode}")
    return result.returncode


def _below_top(app: Path, file: str) -> str:
    return git(app, "rev-parse", "--show-prefix").strip() + file

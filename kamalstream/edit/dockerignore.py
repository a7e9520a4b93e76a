"""Keeps keys and data out of the image, by lines at the end of an owner's .dockerignore."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kamalstream.edit import lines
from kamalstream.edit.edited import ByHand, Edited
from kamalstream.facts import DOCKERIGNORE
from kamalstream.inspect.image.dockerignore import excluded, patterns, verdict

COMMENT = "# Keys and data: never in the image."


def edit(
    text: str,
    never: Sequence[str],
    needed: Sequence[str],
    ours: str,
    file: str = DOCKERIGNORE,
) -> Edited:
    """Have `text` keep every path of `never` out of the image, by as few lines as it takes.

    The lines are those of `ours`, the template's own .dockerignore, and where it has none the path
    itself. What the owner takes back with `!` stays theirs to say, and so does what keeps out a
    path of `needed`, without which the image cannot restore: both are by hand.
    """
    by_hand = [*_by_hand(text, never, needed, file)]
    missing = [path for path in never if verdict(text, path) == (False, 0)]
    if not missing:
        return Edited(text, tuple(by_hand))
    chosen: list[str] = []
    for path in missing:
        if not excluded("\n".join(chosen), path):
            chosen += _lines_for(path, text, needed, ours)
    start = lines.split(text)
    new = [COMMENT, *chosen]
    if text.strip("\ufeff\r\n\t "):
        new = ["", *new] if start[-1].strip() else new
    after = lines.insert(text, len(start), new)
    if patterns(after) != [*patterns(text), *patterns("\n".join(chosen))] or not all(
        excluded(after, path) for path in missing
    ):
        advice = ByHand(file, 0, "these have to be its last lines", "\n".join(chosen))
        return Edited(text, (*by_hand, advice))
    return Edited(after, tuple(by_hand))


def _by_hand(text: str, never: Sequence[str], needed: Sequence[str], file: str) -> Iterator[ByHand]:
    for path in never:
        out, line = verdict(text, path)
        if line and not out:
            yield ByHand(file, line, f"this line brings {path} into the image", f"/{path}")
    for path in needed:
        out, line = verdict(text, path)
        if out:
            why = f"this line keeps {path} out of the image, which cannot restore without it"
            yield ByHand(file, line, why, f"!/{path}")


def _lines_for(path: str, text: str, needed: Sequence[str], ours: str) -> list[str]:
    """Return the line that excludes `path`, and those directly below it that take back."""
    own = [line.strip() for line in ours.splitlines()]
    for at, line in enumerate(own):
        if not line or line.startswith(("#", "!")) or not excluded(line, path):
            continue
        end = at + 1
        while end < len(own) and own[end].startswith("!"):
            end += 1
        block = "\n".join(own[at:end])
        if excluded(block, path) and not any(
            excluded(f"{text}\n{block}", one) and not excluded(text, one) for one in needed
        ):
            return own[at:end]
    return [f"/{path}"]

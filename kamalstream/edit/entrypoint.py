"""Puts the line that restores what a server lacks into the script that an image starts with."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator

from kamalstream.edit import lines
from kamalstream.edit.edited import ByHand, Edited, UnsureError
from kamalstream.facts import BOOT_RESTORE
from kamalstream.inspect.image.built import BINARIES, Image

COMMENT = "# Restores the databases that this server lacks, before anything opens them."
SECOND = "this starts a replicator of your own, and two would damage the backup"
_OURS = re.compile(rf'/\S+/{re.escape(BOOT_RESTORE)} "\$@" \|\| exit 1')
_SHEBANG = re.compile(
    r"#!\s*(?:/\S*/)?(?:env\s+(?:-S\s+)?(?:\S*/)?)?(?:ba|da|a|k|z)?sh(?:\s+-\S+(?:\s+pipefail)?)*\s*"
)
# Whole commands that only set how the shell behaves.
_OPTION = re.compile(
    r"(?:set(?:\s+[-+][A-Za-z]*o\s+[a-z]+|\s+[-+][A-Za-z]+)+"
    r"|shopt(?:\s+-[squo]+)+(?:\s+[a-z_0-9]+)+)\s*;?\s*(?:#.*)?"
)
# Becomes another user for what comes after it.
_OTHER_USER = {
    *("chpst", "gosu", "runuser", "s6-setuidgid", "setpriv", "start-stop-daemon", "su-exec"),
}
# Rails' own programs, in Ruby.
_BINSTUBS = {f"bin/{name}" for name in ("bundle", "jobs", "puma", "rails", "rake", "thrust")}
_BEFORE_COMMANDS = {
    *("!", "&&", "||", "|", "&", ";", "(", ")", "{", "}", "`", "$("),
    *("command", "do", "elif", "else", "exec", "if", "then", "until", "while"),
}
_LITESTREAM = r"(?:^|[\s/\"'])litestream(?:[\"']?\s[^;|&]*\b|:)"
_EXEC = re.compile(r"\s-exec[=\s]+(\"[^\"]+\"|'[^']+'|\S+)")
_ALL_WORDS = re.compile(r"[\"']?\$\{?[@*]\}?[\"']?")
_TOKEN = re.compile(
    r"(?P<space>[ \t\r]+|\\\n)|(?P<newline>\n)|(?P<comment>\#[^\n]*)"
    r"|(?P<heredoc>(?<!<)<<-?[ \t]*(?P<end>[\"']?[\w.-]+[\"']?|\\\w+))"
    r"|(?P<operator>&&|\|\||;;|\$\(|[;|&(){}`<>])"
    r"|(?P<word>(?:\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|\$\{[^}]*\}|\$(?!\()|[^\s\\'\"`$;|&(){}<>])+|.)",
    re.DOTALL,
)


def entrypoint_script(image: Image, app_has: Callable[[str], bool]) -> str | None:
    """Return the script of the app, relative to it, that the image's ENTRYPOINT starts.

    `app_has` says whether the app has a file. Rails' own programs in Ruby are none.
    """
    for word in (image.entrypoint.words or ()) if image.entrypoint else ():
        for path in _in_the_app(image, word):
            if app_has(path) and path not in _BINSTUBS:
                return path
    return None


def edit(file: str, text: str, call: str, last_call: str | None) -> Edited:
    """Put `call` before the first command of the script `file`, behind the shell's options.

    `last_call` is what the release before this one put, None at adoption: where the script has
    neither, its owner took it out, and it stays out. A script in another language and one that
    changes the user are left alone.
    """
    try:
        after = _edited(text, call, last_call)
    except UnsureError as error:
        return Edited(text, (ByHand(file, error.line, error.why, call),))
    return Edited(after)


def second_litestream(file: str, text: str) -> Iterator[ByHand]:
    """Yield the commands of Litestream that must not run beside ours, and what takes their place.

    `text` is that of the script `file` with our call in it; without one there is nothing to say.
    Restoring only what is not there does no harm.
    """
    for number, said in commands(text) if _calls(text) else ():
        command = " ".join(said)
        if re.search(rf"{_LITESTREAM}replicate\b", command):
            start = _EXEC.search(command)
            if start is None:
                yield ByHand(file, number, f"{SECOND}: take it out", "")
            else:
                runs = '"$@"' if _ALL_WORDS.fullmatch(start[1]) else start[1].strip("\"'")
                yield ByHand(file, number, f"{SECOND}: in its place", f"exec {runs}")
        elif re.search(rf"{_LITESTREAM}restore\b", command) and "-if-db-not-exists" not in command:
            why = f"this fails where {BOOT_RESTORE} has restored: take it out, or have it say"
            yield ByHand(file, number, why, "-if-db-not-exists")


def _in_the_app(image: Image, word: str) -> Iterator[str]:
    """Yield which files of the app a word of ENTRYPOINT may mean."""
    if "/" not in word:
        places = [f"{folder}/{word}" for folder in BINARIES]
    else:
        places = [posixpath.normpath(posixpath.join(image.workdir or "/", word))]
    for source, target in reversed(image.copies):
        if source != "." and target in places:
            yield source
    if "/" in word:
        for root in (image.workdir, *(target for source, target in image.copies if source == ".")):
            if root and places[0].startswith(f"{root.rstrip('/')}/"):
                yield places[0].removeprefix(f"{root.rstrip('/')}/")


def _edited(text: str, call: str, last_call: str | None) -> str:
    all_lines = lines.split(text)
    bare = [line.strip() for line in all_lines]
    ours = [number for number, line in _calls(text) if line == call]
    if ours:
        return text
    if last_call is not None:
        before = [number for number, line in _calls(text) if line == last_call]
        if before:
            for number in before:
                old = all_lines[number - 1]
                all_lines[number - 1] = old.replace(last_call, call)
            return "".join(all_lines)
        changed = [number for number, _ in _calls(text)]
        if changed and call != last_call:
            raise UnsureError("your own way of calling it is left as it is", changed[0])
        return text
    if _calls(text):
        return text
    if not bare or not _SHEBANG.fullmatch(bare[0]) or not text.startswith("#!"):
        raise UnsureError("it is no shell script")
    _refuse(text)
    place = _place(bare)
    new = lines.paragraph(text, place, [COMMENT, call])
    after = lines.insert(text, place, new)
    at = place + new.index(call) + 1
    if [one for one in commands(after) if one[0] != at] != [
        (number + len(new) * (number > place), said) for number, said in commands(text)
    ]:
        raise UnsureError("it cannot be read with certainty")
    return after


def _place(bare: list[str]) -> int:
    """Return the line behind which the first command may come: after the shell's options.

    A comment that a blank line sets off from what follows belongs to the beginning too.
    """
    place = 1
    for number, line in enumerate(bare, 1):
        if _OPTION.fullmatch(line):
            place = number
        elif line and not line.startswith("#"):
            break
    end = place
    while end < len(bare) and bare[end].startswith("#"):
        end += 1
    return end if end < len(bare) and not bare[end] else place


def _calls(text: str) -> list[tuple[int, str]]:
    """Return line and text of the commands that name our program."""
    said = lines.split(text)
    program = re.compile(rf"(?:^|[\s\"'/]){re.escape(BOOT_RESTORE)}(?=$|[\s\"';])")
    return [
        (number, said[number - 1].strip())
        for number in dict.fromkeys(number for number, _ in commands(text))
        if program.search(said[number - 1])
    ]


def _refuse(text: str) -> None:
    for number, said in commands(text):
        for at, word in enumerate(said):
            if _changes_user(said, at):
                why = f"it becomes another user by {word}, and restoring has to come after that"
                raise UnsureError(why, number)


def _changes_user(said: list[str], at: int) -> bool:
    """Whether what comes after the word `at` of a command runs as somebody else."""
    program = said[at].rpartition("/")[2]
    starts = at == 0 or said[at - 1] in _BEFORE_COMMANDS
    if program == "sudo":
        return starts and ("exec" in said[:at] or "-u" in said[at:])
    return program in _OTHER_USER or (program == "su" and starts)


def commands(text: str) -> list[tuple[int, list[str]]]:
    """Return the lines with commands, and the words of each; no comments, no heredocs.

    A command that goes on in the next line counts where it begins.
    """
    return [*_read(text)]


def _read(text: str) -> Iterator[tuple[int, list[str]]]:
    at, line, start = 0, 1, 1
    said: list[str] = []
    waiting: list[tuple[str, bool]] = []
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match
        kind, token = match.lastgroup, match[0]
        at = match.end()
        if kind == "comment" and said and text[match.start() - 1] not in " \t\n;":
            kind = "word"
        if kind in ("word", "operator", "heredoc", "end"):
            start = start if said else line
            said.append(token)
        line += token.count("\n")
        if match["heredoc"]:
            name = re.sub(r"[\"'\\]", "", match["end"])
            waiting.append((name, token.startswith("<<-")))
        if kind == "newline":
            if said:
                yield start, said
                said = []
            for name, tabs in waiting:
                while at < len(text):
                    end = text.find("\n", at) + 1 or len(text)
                    row = text[at:end].rstrip("\r\n")
                    at, line = end, line + 1
                    if (row.lstrip("\t") if tabs else row) == name:
                        break
            waiting = []
    if said:
        yield start, said


def without(file: str, text: str) -> Edited:
    """Take the call out again; one that is not as we write it is its owner's to take out."""
    for number, line in reversed(_calls(text)):
        said = lines.split(text)[number - 1].strip()
        after = lines.remove(text, number, number, COMMENT)
        if not _OURS.fullmatch(said):
            why = f"{BOOT_RESTORE} is no more, and this is your own way of calling it"
            return Edited(text, (ByHand(file, number, why, line),))
        text = after
    return Edited(text)

"""Adds the bucket's keys to an owner's .kamal/secrets*, in the way that its others are fetched.

Sources: Kamal 2.11 and 2.12, Kamal::Cli::Secrets (fetch, extract) and Kamal::Secrets::Adapters. No
message made here holds a value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from kamalstream.edit import lines
from kamalstream.edit.edited import ByHand, Edited, UnsureError
from kamalstream.facts import BUCKET_KEYS, READ_SECRETS
from kamalstream.inspect.kamal.secrets_file import Assignment, assignments, normal

HEADING = "# Secrets that Kamal hands to the containers. None of them stands in this file itself."
COMMENT = "# Keys of the bucket that holds the backups."
KEYS = "LITESTREAM_KEYS"
_KAMAL = r"(?:bundle\s+exec\s+|(?:\./)?bin/)?kamal\s+secrets"
_DESTINATION = r"\$\{?KAMAL_DESTINATION\}?"
_OUR_SCRIPT = rf"(?:RAILS_ENV=(?:[\w-]+|{_DESTINATION})\s+)?ruby\s+{re.escape(READ_SECRETS)}"
# Our script is asked for several names in one go, as a vault is.
_FETCH = re.compile(rf'"?\$\(\s*(?:{_KAMAL}\s+fetch|{_OUR_SCRIPT})\b(?P<rest>.*)\)"?', re.DOTALL)
_EXTRACT = re.compile(
    rf"\"?\$\(\s*{_KAMAL}\s+extract\s+[\"']?(?P<name>[\w./@:-]+)[\"']?"
    r"\s+[\"']?\$\{?(?P<variable>\w+)\}?[\"']?\s*\)\"?"
)
_WORD = re.compile(r"(?:[^\s\"'\\$]|\\[^\n]|\"(?:[^\"\\]|\\.)*\"|'[^']*'|\$\([^()]*\)|\$)+")
_WITH_VALUE = {
    *("-a", "--adapter", "--account", "--from", "-c", "--config-file", "-d", "--destination"),
    *("-h", "--hosts", "-r", "--roles", "--version"),
}
_WITHOUT_VALUE = {"-v", "--verbose", "-q", "--quiet", "-p", "--primary", "-H", "--skip-hooks"}
_NAME = re.compile(r"(?P<quote>[\"']?)(?P<path>(?:[^\"'$`\\]*/)?)(?P<last>[\w.-]+)(?P=quote)")
_OWN_KEY = re.compile(
    rf"config/credentials/([\w-]+|{_DESTINATION})\.key\b"
    rf"|credentials:\w+\b.* (?:-e|--environment)[ =]({_DESTINATION})(?=[\s)])"
)
# These fetch a whole item by its name: what is in it is named by extract alone.
_WHOLE_ITEMS = {"aws_secrets_manager", "aws-secrets-manager"}
# A master key is the app's own; a fetch of that is where its other secrets are.
_OF_THE_APP = {"RAILS_MASTER_KEY", "SECRET_KEY_BASE"}


@dataclass
class _Fetch:
    """A variable that secrets are fetched into, and the extracts from it."""

    assignment: Assignment
    extracts: list[Assignment] = field(default_factory=list)


def names(text: str) -> set[str]:
    """Return the names that a file of secrets sets."""
    return {one.name for one in assignments(text)}


def edit(file: str, text: str | None, wanted: Sequence[str], environment: str | None) -> Edited:
    """Have `file` set the names `wanted`; those that it sets already stay as they are.

    `text` is None where there is no such file. Where a vault is fetched from, they are added to
    that; else they come from .kamal/read_secrets.rb, from the credentials of `environment` or of
    the one whose key the file reads (None: those of production).
    """
    given = names(text or "")
    missing = [name for name in wanted if name not in given]
    if not missing:
        return Edited(text or "")
    before = f"{HEADING}\n" if text is None else text
    advice = _like_the_other(missing, before)
    fetch = None if advice else _fetch(before)
    advice = advice or _from_script(missing, before, environment)
    if fetch:
        variable = fetch.assignment.name
        advice = [f"{one}=$(kamal secrets extract {one} ${variable})" for one in missing]
    try:
        if re.search(r"\r(?!\n)", before):
            raise UnsureError("some of its lines end in CR alone")
        after = _into(before, fetch, missing) if fetch else _appended(before, advice)
    except UnsureError as error:
        return Edited(text or "", (ByHand(file, error.line, error.why, "\n".join(advice)),))
    return Edited(after)


def _like_the_other(missing: Sequence[str], text: str) -> list[str]:
    """Return lines that get the missing key of the pair where its other is fetched from.

    A half that comes from elsewhere would belong to another pair.
    """
    given = [one for one in assignments(text) if one.name in {*BUCKET_KEYS} - {*missing}]
    return [
        f"{name}={one.value.replace(one.name, name) if one.name in one.value else '…'}"
        for one in given[-1:]
        for name in missing
        if not _EXTRACT.fullmatch(one.value)
    ]


def _from_script(missing: Sequence[str], text: str, environment: str | None) -> list[str]:
    own = [m[1] or m[2] for one in assignments(text) for m in _OWN_KEY.finditer(one.value)]
    environment = own[-1] if own else environment
    apart = f"RAILS_ENV={environment} " if environment not in (None, "production") else ""
    return [
        f"{KEYS}=$({apart}ruby {READ_SECRETS} {' '.join(missing)})",
        *(f"{name}=$(kamal secrets extract {name} ${KEYS})" for name in missing),
    ]


def _appended(text: str, new: Sequence[str]) -> str:
    if KEYS in names(text) & names("\n".join(new)):
        raise UnsureError(f"{KEYS} is set in another way here")
    if any(one.endswith("=…") for one in new):
        raise UnsureError("the other key of the pair is fetched in a way of its own here")
    end = len(lines.split(text))
    block = lines.paragraph(text, end, [COMMENT, *new])
    after = lines.insert(text, end, block)
    pairs = [one.split("=", 1) for one in new]
    return _accepted(after, [*_pairs(text), *((name, value) for name, value in pairs)])


def _fetch(text: str) -> _Fetch | None:
    """Return the fetch that the app's secrets are extracted from, if there is one."""
    latest: dict[str, _Fetch | None] = {}
    found: list[_Fetch] = []
    for one in assignments(text):
        extract = _EXTRACT.fullmatch(one.value)
        fetch = latest.get(extract["variable"]) if extract else None
        if fetch:
            fetch.extracts.append(one)
        latest[one.name] = None
        if _FETCH.fullmatch(one.value) and one.quote != "'":
            latest[one.name] = new = _Fetch(one)
            found.append(new)
    used = [fetch for fetch in found if fetch.extracts]
    return max(
        used,
        key=lambda fetch: (
            any(one.name in _OF_THE_APP for one in fetch.extracts),
            len(fetch.extracts),
        ),
        default=None,
    )


def _into(text: str, fetch: _Fetch, missing: Sequence[str]) -> str:
    """Return the text with the names in a fetch's list, and a line that extracts each."""
    place = fetch.extracts[-1].end_line
    model = next((one for one in reversed(fetch.extracts) if one.line == one.end_line), None)
    if model is None:
        raise UnsureError("its secrets are extracted over several lines", place)
    extracted = _EXTRACT.fullmatch(model.value)
    assert extracted
    path, _, last = extracted["name"].rpartition("/")
    if path and last == "password":
        raise UnsureError("each of its secrets is an item of its own in the vault", model.line)
    line = normal(text).split("\n")[model.line - 1]
    said = line[: line.rindex(model.value) + len(model.value)]
    new: list[str] = []
    for name in missing:
        head, value = said[: -len(model.value)], model.value
        value = "".join(
            [value[: extracted.end("name") - len(last)], name, value[extracted.end("name") :]]
        )
        new.append(re.sub(rf"\b{re.escape(model.name)}\b", name, head, count=1) + value)
    added, at = _names_to_add(fetch, missing)
    after = _spliced(text, at, added) if added else text
    after = lines.insert(after, place, new)
    wanted = _pairs(text)
    index = assignments(text).index(fetch.assignment)
    value = fetch.assignment.value
    cut = at - fetch.assignment.start
    wanted[index] = (fetch.assignment.name, value[:cut] + added + value[cut:])
    behind = assignments(text).index(fetch.extracts[-1]) + 1
    ours = [(one.name, one.value) for one in assignments("\n".join(new))]
    if [name for name, _ in ours] != [*missing]:
        raise UnsureError("its lines cannot be followed", model.line)
    return _accepted(after, [*wanted[:behind], *ours, *wanted[behind:]])


def _names_to_add(fetch: _Fetch, missing: Sequence[str]) -> tuple[str, int]:
    """Return what to put into the fetch's command, and where in the normal text; "" for nothing."""
    one = fetch.assignment
    command = _FETCH.fullmatch(one.value)
    assert command
    unsure = UnsureError("the names of this fetch cannot be added to with certainty", one.line)
    given: list[re.Match[str]] = []
    adapter = ""
    said = iter([*_WORD.finditer(command["rest"])])
    for word in said:
        option, equals, value = word[0].partition("=")
        if option in _WITH_VALUE:
            value = value if equals else next(said, [""])[0]
            adapter = value.strip("\"'") if option in ("-a", "--adapter") else adapter
        elif option in _WITHOUT_VALUE:
            continue
        elif re.match(r"-|\d?[<>|&;]", word[0]):
            raise unsure
        else:
            given.append(word)
    if not given or adapter in _WHOLE_ITEMS:
        return "", one.start
    extracted = {match["name"] for x in fetch.extracts if (match := _EXTRACT.fullmatch(x.value))}
    form: re.Match[str] | None = None
    for word in given:
        name = _NAME.fullmatch(word[0])
        if name is None:
            raise unsure
        whole = name["path"] + name["last"]
        if any(f"/{whole}".endswith(f"/{x}") or f"/{x}".endswith(f"/{whole}") for x in extracted):
            form = name
    if form is None or (form["path"] and form["last"] == "password"):
        raise unsure
    quote = form["quote"]
    added = "".join(f" {quote}{form['path']}{name}{quote}" for name in missing)
    return added, one.start + command.start("rest") + given[-1].end()


def _spliced(text: str, at: int, added: str) -> str:
    """Return `text` with `added` at the place that is `at` in the normal text."""
    before = normal(text)[:at]
    number, column = before.count("\n"), len(before) - (before.rfind("\n") + 1)
    all_lines = lines.split(text)
    column += number == 0 and text.startswith("\ufeff")
    line = all_lines[number]
    all_lines[number] = line[:column] + added + line[column:]
    return "".join(all_lines)


def _pairs(text: str) -> list[tuple[str, str]]:
    return [(one.name, one.value) for one in assignments(text)]


def _accepted(after: str, wanted: list[tuple[str, str]]) -> str:
    if _pairs(after) != wanted:
        raise UnsureError("its lines cannot be followed")
    return after


def without(file: str, text: str) -> Edited:
    """Take the bucket's keys out again: their lines, and their names in what they are fetched by.

    A key that is fetched in another way than ours is its owner's own, and is left.
    """
    before = assignments(text)
    extracted = {one: _EXTRACT.fullmatch(one.value) for one in before}
    keys = {one: found for one in before if (found := extracted[one]) and one.name in BUCKET_KEYS}
    rest = [one for one in before if one not in keys]
    others: dict[str, list[str]] = {}
    for one in rest:
        if found := extracted[one]:
            others.setdefault(found["variable"], []).append(found["name"])
    fetched = {found["variable"] for found in keys.values()}
    fetches = [one for one in rest if one.name in fetched and _FETCH.fullmatch(one.value)]
    gone = [*keys, *(one for one in fetches if one.name not in others)]
    changed = {one: _fewer(one.value, others[one.name]) for one in fetches if one.name in others}
    after = text
    for one in sorted([*gone, *changed], key=lambda one: one.line, reverse=True):
        if one in changed:
            parts = lines.split(after)
            said = "".join(parts[one.line - 1 : one.end_line])
            parts[one.line - 1 : one.end_line] = [said.replace(one.value, changed[one])]
            after = "".join(parts)
        else:
            after = lines.remove(after, one.line, one.end_line, COMMENT)
    wanted = [(one.name, changed.get(one, one.value)) for one in before if one not in gone]
    left = [
        ByHand(file, one.line, "a key of the bucket, fetched in a way of your own", one.name)
        for one in rest
        if one.name in BUCKET_KEYS
    ]
    try:
        return Edited(_accepted(after, wanted), tuple(left))
    except UnsureError as error:
        said = "\n".join(f"{one.name}={one.value}" for one in gone)
        return Edited(text, (*left, ByHand(file, error.line, error.why, said)))


def _fewer(command: str, names: Sequence[str]) -> str:
    """Return the `command` of a fetch without the bucket's keys; it may have fetched all there is.

    `names` are those that are still extracted from it.
    """
    for key in BUCKET_KEYS:
        command = re.sub(rf"\s+([\"']?)(?:[^\s\"'()]*/)?{key}\1(?=[\s)])", "", command)
    whole = re.compile(rf"({_OUR_SCRIPT})(?=\s*\))")
    return whole.sub(lambda found: " ".join([found[1], *names]), command)

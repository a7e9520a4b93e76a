"""The users and groups that a Dockerfile makes, and which numbers they have."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable

from kamalstream.inspect.image.dockerfile import commands

# Options that take the next word (shadow's and Debian's tools, busybox').
_LONG = {
    *("base-dir", "comment", "expiredate", "firstgid", "firstuid", "gecos", "gid", "groups"),
    *("home", "home-dir", "inactive", "ingroup", "key", "password", "root", "shell", "skel", "uid"),
}
_SHORT = {
    "useradd": "bcdefgGkKpRsuZ",
    "adduser": "hgsGuk",
    "groupadd": "gKpPR",
    "addgroup": "g",
}
_FIRST = 1000
# The images that Ruby's are built on have nobody at 1000.
_EMPTY = re.compile(r"(?:.*/)?(?:\S*ruby|debian|alpine|buildpack-deps)(?::|$)")


class Accounts:
    """Users and groups by name, as the commands `runs` make them in an image built on `base`."""

    def __init__(self, base: str, runs: Iterable[str]) -> None:
        """Read the scripts of all RUN instructions, in their order."""
        self.users: dict[str, tuple[int | None, int | None]] = {"root": (0, 0)}
        self.groups: dict[str, int | None] = {"root": 0}
        self._next = _FIRST if _EMPTY.match(base) else None
        for run in runs:
            for _, command, _ in commands(run):
                self._read(command)

    def numbers(self, user: str) -> tuple[int | None, int | None]:
        """Return uid and gid of what USER or chown name as `user`; None where not known."""
        name, colon, group = user.partition(":")
        if name.isdecimal():
            uid: int | None = int(name)
            known = [gid for one, gid in self.users.values() if one == uid]
            gid = known[0] if known else 0
        else:
            uid, gid = self.users.get(name, (None, None))
        if colon and group:
            gid = int(group) if group.isdecimal() else self.groups.get(group)
        return uid, gid

    def _read(self, command: str) -> None:
        try:
            words = shlex.split(command, comments=True)
        except ValueError:
            return
        if not words or words[0].rpartition("/")[2] not in _SHORT:
            return
        tool = words[0].rpartition("/")[2]
        options, names = _options(tool, words[1:])
        if not names:
            return
        into_group = tool == "adduser" and names[1:] not in ([], names[:1]) and not options
        if into_group or any("$" in name for name in names):
            return
        system = bool({"r", "system", "S"} & options.keys())
        if tool in ("groupadd", "addgroup"):
            number = options.get("gid", options.get("g", ""))
            self.groups[names[0]] = _number(number) if number else self._free(system)
            return
        number = options.get("uid", options.get("u", ""))
        uid = _number(number) if number else self._free(system)
        if uid is not None and self._next is not None and not system:
            self._next = max(self._next, uid + 1)
        group = options.get("gid") or options.get("ingroup", "")
        group = group or options.get("g" if tool == "useradd" else "G", "")
        if group:
            gid = int(group) if group.isdecimal() else self.groups.get(group)
        elif names[0] in self.groups and tool == "adduser":
            gid = self.groups[names[0]]
        else:
            gid = self.groups.setdefault(names[0], uid)
        self.users[names[0]] = (uid, gid)

    def _free(self, system: bool) -> int | None:
        return None if system else self._next


def _number(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _options(tool: str, words: list[str]) -> tuple[dict[str, str], list[str]]:
    options: dict[str, str] = {}
    names: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in ("||", "|", "&", ")") or re.match(r"\d*>", word):
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            options[name] = value if equals or name not in _LONG else next(rest, "")
        elif word.startswith("-"):
            for at, letter in enumerate(word[1:], 2):
                options[letter] = ""
                if letter in _SHORT[tool]:
                    options[letter] = word[at:] or next(rest, "")
                    break
        else:
            names.append(word)
    return options, names

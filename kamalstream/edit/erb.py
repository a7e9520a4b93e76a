"""Takes ERB out of a YAML text so that it can be parsed and every position stays."""

from __future__ import annotations

import re
from collections.abc import Callable

from kamalstream.edit.edited import UnsureError

# `<%%` is ERB's way to write `<%`, and `%%>` to write `%>` within code.
TAG = re.compile(r"(<%(?!%).*?(?<!%)%>)", re.DOTALL)
_TAG_AND_LEAD = re.compile(r"(?P<lead>(?m:^[ \t]*))?" + TAG.pattern, re.DOTALL)
# Nothing more on the line than tags that put nothing in it.
_NOTHING_AFTER = re.compile(r"(?:[ \t]|<%(?![%=]).*?(?<!%)%>)*(?=[\r\n]|\Z)", re.DOTALL)
_DECIDES = re.compile(
    r"\b(?:if|unless|else|elsif|end|each|do|case|when|in|while|until|for|begin|rescue|ensure|then"
    r"|yield|_erbout)\b"
)
_OPENS_A_BLOCK = re.compile(r"\bdo\s*(?:\|[^|]*\|)?\s*%>\Z")
# Characters for private use: words to YAML, and in no file.
_FILLER = re.compile(r"([\ue000-\uf8ff])\1*")
_FIRST, _COUNT = 0xE000, 0xF8FF - 0xE000 + 1
_ALONE = re.compile(r"^\ufeff?[ \t]*[\ue000-\uf8ff][\ue000-\uf8ff \t]*\r?$", re.MULTILINE)


# Takes a value that was read, and from where to where it stood: returns it with its tags.
Unmask = Callable[[str, int, int], str]


def mask(text: str) -> tuple[str, str, Unmask]:
    """Return `text` with something of their length for tags, twice, and what puts the tags back.

    A tag that puts something there becomes a word without line breaks. One that does not
    (`<%# … %>`, `<% name = … %>`) becomes blanks behind something; on a line of its own it is a
    comment in the first text, which has the lines of `text`, and blank lines in the second, which
    YAML reads as what Ruby makes of `text`.

    Raises UnsureError where code decides what lines there are: control code, and a value on a line
    of its own. What puts the tags back raises it for code amid a text of several lines.
    """
    tags: list[str] = []
    silent_lines: list[tuple[int, int]] = []

    def masked(found: re.Match[str]) -> str:
        lead, tag = found["lead"], found[2]
        silent = not tag.startswith("<%=") and bool(_NOTHING_AFTER.match(text, found.end()))
        code = not tag.startswith(("<%=", "<%#"))
        braces = 0 if tag.startswith("<%#") else tag.count("{") - tag.count("}")
        if (code and (_DECIDES.search(tag) or not silent)) or braces or _OPENS_A_BLOCK.search(tag):
            line = text.count("\n", 0, found.start(2)) + 1
            raise UnsureError("code (<% … %>) decides what stands here", line)
        if silent:
            if lead is not None:
                silent_lines.append(found.span())
            return ("" if lead is None else "#").ljust(len(found[0]))
        tags.append(tag)
        return (lead or "") + chr(_FIRST + (len(tags) - 1) % _COUNT) * len(tag)

    plain = _TAG_AND_LEAD.sub(masked, text)
    if not tags:
        alone = None
    elif len(tags) > _COUNT or _FILLER.search(text):
        raise UnsureError("it has code (<%= … %>) and characters for private use")
    else:
        alone = _ALONE.search(plain)
    broken = re.search("<%(?!%)", plain)
    if alone or broken:
        why = "code (<%= … %>) may yield whole lines here" if alone else "a <% has no %>"
        at = (alone or broken).start()  # type: ignore[union-attr]
        raise UnsureError(why, text.count("\n", 0, at) + 1)

    read = plain
    for start, end in silent_lines:
        # Blanks before the tag stay: right of a text's indent they are a line of that text.
        tag = text[start:end].lstrip(" \t")
        blanks = text[start : end - len(tag)]
        read = read[:start] + blanks + "\n" * len(tag) + read[end:]

    def back(found: re.Match[str]) -> str:
        number = ord(found[1]) - _FIRST
        is_tag = number < len(tags) and len(found[0]) == len(tags[number])
        return tags[number] if is_tag else found[0]

    def unmask(value: str, start: int, end: int) -> str:
        for at, _ in silent_lines:
            if start < at < end and read[at:end].strip():
                why = "code stands amid a text of several lines"
                raise UnsureError(why, text.count("\n", 0, at) + 1)
        return _FILLER.sub(back, value) if tags else value

    return plain, read, unmask

"""Fills in what generators leave to be filled in, in a file that is its owner's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from kamalstream import facts
from kamalstream.edit.edited import UnsureError
from kamalstream.edit.yaml_text import YamlText


def filled_in(text: str, answers: Mapping[str, Any]) -> str:
    """Return `text` with answers in the place of what generators write where they belong.

    Where that is not sure to change those values alone, `text` comes back as it is.
    """
    new = {
        placeholder: name
        for name, placeholders in facts.PLACEHOLDERS.items()
        for placeholder in placeholders
        if answers.get(name)
    }
    found = (
        re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, new))})(?![\w.-])") if new else None
    )
    if found is None or not found.search(text):
        return text

    def filled(value: str, section: str) -> str:
        # Of a server too people write a name.
        server = "server_ip" if section == "servers" else None
        return found.sub(lambda one: str(answers[server or new[one[0]]]), value)

    lines, section = [], ""
    for line in text.splitlines(keepends=True):
        top = re.match(r"([a-z_]+):", line)
        section = top[1] if top else section
        lines.append(line if line.lstrip().startswith("#") else filled(line, section))

    def expected(value: Any, section: str) -> Any:
        if isinstance(value, dict):
            return {expected(k, section): expected(x, section or k) for k, x in value.items()}
        if isinstance(value, list):
            return [expected(one, section) for one in value]
        return filled(value, section) if isinstance(value, str) else value

    try:
        whole = YamlText("".join(lines))
        return whole.text if whole.data == expected(YamlText(text).data, "") else text
    except UnsureError:
        return text

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
        placeholder: str(answers[name])
        for name, placeholders in facts.PLACEHOLDERS.items()
        for placeholder in placeholders
        if answers.get(name)
    }
    found = (
        re.compile(rf"(?<![\w.-])(?:{'|'.join(map(re.escape, new))})(?![\w.-])") if new else None
    )
    if found is None or not found.search(text):
        return text
    lines = [
        line if line.lstrip().startswith("#") else found.sub(lambda one: new[one[0]], line)
        for line in text.splitlines(keepends=True)
    ]

    def expected(value: Any) -> Any:
        if isinstance(value, dict):
            return {expected(key): expected(one) for key, one in value.items()}
        if isinstance(value, list):
            return [expected(one) for one in value]
        return found.sub(lambda one: new[one[0]], value) if isinstance(value, str) else value

    try:
        filled = YamlText("".join(lines))
        return filled.text if filled.data == expected(YamlText(text).data) else text
    except UnsureError:
        return text

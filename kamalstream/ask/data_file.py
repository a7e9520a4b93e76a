"""Answers from a file, for scripts: what `--data-file` names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kamalstream import yaml_input
from kamalstream.errors import BadInput
from kamalstream.printable import shown
from kamalstream.regular_file import read_text


def read(file: Path, known: Iterable[str]) -> dict[str, Any]:
    """Return the answers in the YAML file `file`: key → value.

    `known` are the keys there are. Raises BadInput where the file cannot be read, is no mapping, or
    has another key: Copier would pass over that one in silence.
    """
    try:
        loaded = yaml_input.load(read_text(file), str(file))
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not text in UTF-8.") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise BadInput(f"{file} holds no answers: write one `key: value` a line.")
    # An answers file of Copier has these two beside the answers.
    given = {k: v for k, v in loaded.items() if k not in ("_commit", "_src_path")}
    keys = list(known)
    for key in given:
        if key not in keys:
            near = get_close_matches(key, keys, n=1, cutoff=0.5)
            meant = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(keys)}."
            raise BadInput(f"{file}: there is no question {shown(key)}: {meant}")
    return given

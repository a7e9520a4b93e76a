"""Answers from a file, for scripts: what `--data-file` names."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from kamalstream.errors import BadInput


def read(file: Path, known: Iterable[str]) -> dict[str, Any]:
    """Return the answers in the YAML file `file`: key → value.

    `known` are the keys there are. Raises BadInput where the file cannot be read, is no mapping, or
    has another key: Copier would pass over that one in silence.
    """
    try:
        loaded = yaml.safe_load(file.read_text("utf-8"))
    except OSError as error:
        raise BadInput(f"{file} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{file} is not text in UTF-8.") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise BadInput(f"{file}{place} is not valid YAML: {problem}.") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise BadInput(f"{file} holds no answers: write one `key: value` a line.")
    # An answers file of Copier has these two beside the answers.
    given = {str(k): v for k, v in loaded.items() if k not in ("_commit", "_src_path")}
    keys = list(known)
    for key in given:
        if key not in keys:
            near = get_close_matches(key, keys, n=1, cutoff=0.5)
            meant = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(keys)}."
            raise BadInput(f"{file}: there is no question {key}: {meant}")
    return given

"""Answers given with the command: what `--data-file` names, and each `--data KEY=VALUE`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from kamalstream import yaml_input
from kamalstream.errors import BadInput
from kamalstream.printable import shown
from kamalstream.regular_file import read_text


def answers(file: Path | None, pairs: Iterable[str], known: Iterable[str]) -> dict[str, Any]:
    """Return the answers in the YAML file `file` and, on top, those of `pairs` (KEY=VALUE).

    `known` are the keys there are. Raises BadInput, as `read` does, and for what is no such pair.
    """
    keys = tuple(known)
    found = read(file, keys) if file else {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise BadInput(f"--data {shown(pair)}: write KEY=VALUE, as in server_ip=203.0.113.10.")
        _refuse_unknown(key, keys, "--data: ")
        found[key] = _value(key, value)
    return found


def read(file: Path, known: Sequence[str]) -> dict[str, Any]:
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
    found = {k: v for k, v in loaded.items() if k not in ("_commit", "_src_path")}
    for key in found:
        _refuse_unknown(key, known, f"{file}: ")
    return found


def _refuse_unknown(key: str, known: Sequence[str], where: str) -> None:
    if key not in known:
        near = get_close_matches(key, known, n=1, cutoff=0.5)
        meant = f"did you mean {near[0]}?" if near else f"the keys are {', '.join(known)}."
        raise BadInput(f"{where}there is no question {shown(key)}: {meant}")


def _value(key: str, text: str) -> Any:
    """Read a value as Copier does its own --data: lists and mappings as YAML, all else as it is."""
    loaded = yaml_input.load(text, f"--data {key}")
    return loaded if isinstance(loaded, (dict, list, bool)) else text

"""Writes docs/checks.md from the code of the checks: `python docs/checks.py`."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from kamalstream import facts

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "checks.md"
CHECKS = ROOT / "kamalstream" / "check"
Row = tuple[str, str, str, str]


def checks() -> str:
    """Return the text of docs/checks.md."""
    rows = sorted({row for file in sorted(CHECKS.glob("*.py")) for row in _rows(file)})
    parts = [
        "<!-- Written by docs/checks.py from kamalstream/check. -->",
        "# Every check",
        "",
        "What `kamalstream check` may say, by the id that stands behind it in brackets; … is what",
        "depends on the app, and below it stands what to do. An error makes the exit code 1. Those",
        "that begin with `live` need `--live`.",
    ]
    for number, (name, level, means, todo) in enumerate(rows):
        if number == 0 or rows[number - 1][0] != name:
            parts += ["", f"## {name}"]
        parts += ["", f"**{level}**: {means}"]
        if todo:
            parts += ["", "```text", *todo.splitlines(), "```"]
    return "\n".join([*parts, ""])


def _rows(file: Path) -> Iterator[Row]:
    tree = ast.parse(file.read_text("utf-8"))
    for function in (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef)):
        for call in (one for one in ast.walk(function) if isinstance(one, ast.Call)):
            if getattr(call.func, "id", "") == "Finding":
                yield from _row(call, [tree, function])


def _row(call: ast.Call, around: list[ast.AST]) -> Iterator[Row]:
    """Yield the id, the level, what it means and what to do; two where the id is one of two."""
    before, after = call.args[:2], call.args[2:]
    # The file and the line are one argument where both are known together.
    said = after[1 if isinstance(after[0], ast.Starred) else 2 :]
    means, todo = (_text(said[at], around, call) if len(said) > at else "" for at in (0, 1))
    for branch in ("body", "orelse") if isinstance(before[0], ast.IfExp) else ("",):
        name, level = (
            _text(getattr(one, branch, one) if branch else one, around, call) for one in before
        )
        level = level if re.fullmatch(r"\w+(, or: \w+)*", level) else "error or warning"
        words = means if means.strip("… .") else "what the program says"
        said = (level.replace(", or: ", " or "), _safe(words).replace("<", "&lt;"))
        yield name.replace("…", "NAME"), *said, _safe(todo) if todo.strip("…\n ") else ""


def _text(node: ast.AST, around: list[ast.AST], call: ast.Call) -> str:
    """Return the text that an expression comes to, with … for what depends on the app."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(one, around, call) for one in node.values)
    if isinstance(node, ast.FormattedValue):
        value = node.value
        name = getattr(value, "attr", getattr(value, "id", ""))
        if isinstance(named := getattr(facts, name, None), str):
            return named
        return _assigned(name, around, call) if isinstance(value, ast.Name) else "…"
    if isinstance(node, ast.BinOp):
        return _text(node.left, around, call) + _text(node.right, around, call)
    if isinstance(node, (ast.IfExp, ast.BoolOp)):
        parts = [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.values
        texts = [_text(one, around, call) for one in parts]
        return ", or: ".join(dict.fromkeys(one for one in texts if one.strip("… ")))
    if isinstance(node, ast.Name):
        return _assigned(node.id, around, call)
    return "…"


def _assigned(name: str, around: list[ast.AST], call: ast.Call) -> str:
    found = [
        one
        for scope in around
        for one in ast.walk(scope)
        if isinstance(one, ast.Assign)
        and one.lineno < call.lineno
        and isinstance(one.targets[0], ast.Name)
        and one.targets[0].id == name
    ]
    inner = [one for one in found if one in list(ast.walk(around[-1]))] or [
        one for one in found if one.col_offset == 0
    ]
    return _text(inner[-1].value, around, inner[-1]) if inner else "…"  # type: ignore[arg-type]


def _safe(text: str) -> str:
    return re.sub(r"(…\s?)+…", "…", text).strip()


if __name__ == "__main__":
    TARGET.write_text(checks(), "utf-8")

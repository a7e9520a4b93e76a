"""A line for each app: what came of it, and why."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from corpus.trial import Verdict, judge
from tests.kamal_oracle import Oracle

_COLUMNS = ("app", "destinations", "verdict", "lines in its owner's files", "why")


def table_of(apps: Sequence[Path]) -> int:
    """Judge every app, printing a Markdown table as it grows; return 1 where one came out wrong."""
    print(f"| {' | '.join(_COLUMNS)} |\n|{'---|' * len(_COLUMNS)}", flush=True)
    counted: Counter[str] = Counter()
    with kamal() as oracle:
        for app in apps:
            with tempfile.TemporaryDirectory(prefix="kamalstream-corpus-") as scratch:
                verdict = judge(app, Path(scratch), oracle)
            counted[verdict.word] += 1
            print(row(verdict), flush=True)
    total = sum(counted.values())
    fine = total - counted["WRONG"]
    said = ", ".join(f"{count} {word}" for word, count in counted.most_common())
    print(f"\n{total} apps: {said}; {fine / max(total, 1):.0%} not wrong")
    return 1 if counted["WRONG"] else 0


@contextmanager
def kamal() -> Iterator[Oracle]:
    """Yield the real Kamal, which answers for one app after the other."""
    with tempfile.TemporaryDirectory(prefix="kamalstream-corpus-") as scratch:
        oracle = Oracle(Path(scratch, "kamal"))
        try:
            yield oracle
        finally:
            oracle.close()


def row(verdict: Verdict) -> str:
    """Return the line of the table."""
    lines = ", ".join(f"{file} {count}" for file, count in verdict.lines.items())
    why = "; ".join(verdict.why).replace("|", "\\|").replace("\n", " ")
    cells = (verdict.app, " ".join(verdict.destinations), verdict.word, lines, why)
    return f"| {' | '.join(cells)} |"

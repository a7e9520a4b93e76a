"""`kamalstream drill`: the proof that the backups restore, with its figures."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from kamalstream.inspect.adopted import App
from kamalstream.prove.drill import DrillReport, drill


def run(folder: Path, seconds: float, console: Console) -> bool:
    """Drill the app in `folder`, writing for about `seconds`; return whether all came back.

    Raises BadInput where there is nothing to drill or a program is missing.
    """
    app = App(folder)
    console.print(
        f"Proving that the backups of {folder.name} restore: Litestream {app.series}, the app's "
        "own config/litestream.yml, and an S3 server on this machine in place of the bucket."
    )
    with console.status("getting ready") as status:

        def step(words: str) -> None:
            status.update(words)
            console.print(f"  {words}")

        reports = drill(
            folder,
            app.backed_up,
            app.series,
            seconds=seconds,
            rails_root=app.rails_root,
            on_progress=step,
        )
    console.print(_table(reports))
    for report in reports:
        for problem in report.problems:
            console.print(f"{report.database}: {problem}", style="red")
    proven = all(report.ok for report in reports)
    console.print(_verdict(reports) if proven else "NOT proven: this would lose data.")
    return proven


def _table(reports: tuple[DrillReport, ...]) -> Table:
    table = Table()
    table.add_column("database")
    for heading in ("rows written", "rows back", "seconds lost", "seconds to restore"):
        table.add_column(heading, justify="right")
    table.add_column("integrity")
    for report in reports:
        table.add_row(
            report.database,
            f"{report.rows_written:,}",
            f"{report.rows_back:,}",
            f"{report.seconds_lost:.2f}",
            f"{report.seconds_to_restore:.2f}",
            report.integrity,
        )
    return table


def _verdict(reports: tuple[DrillReport, ...]) -> str:
    written = sum(report.rows_written for report in reports)
    back = sum(report.rows_back for report in reports)
    lost = max(report.seconds_lost for report in reports)
    bound = max(report.loss_bound for report in reports)
    return (
        f"Proven: everything older than {lost:.2f} s when all was killed came back, each row as it "
        f"was\n({back:,} of {written:,} rows; promised: {bound:g} s)."
    )

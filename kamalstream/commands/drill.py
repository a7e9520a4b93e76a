"""`kamalstream drill`: the proof that the backups restore, with its figures."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from rich.console import Console
from rich.table import Table

from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import App
from kamalstream.prove.drill import DrillReport, drill
from kamalstream.prove.files import drill_files
from kamalstream.prove.s3 import ScratchS3


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

        files, untried = None, ""
        with ScratchS3() if app.copies_uploads else nullcontext() as server:
            reports = drill(
                folder,
                app.backed_up,
                app.series,
                seconds=seconds,
                server=server,
                rails_root=app.rails_root,
                on_progress=step,
            )
            if server:
                step("copying uploaded files, losing the disk, and waiting for them to come back")
                try:
                    files = drill_files(folder, server)
                except BadInput as error:
                    untried = str(error)
    console.print(_table(reports))
    problems = [(report.database, problem) for report in reports for problem in report.problems]
    problems += [("uploaded files", problem) for problem in (files.problems if files else ())]
    for of, problem in problems:
        console.print(f"{of}: {problem}", style="red")
    console.print("NOT proven: this would lose data." if problems else _verdict(reports))
    if files and not files.problems:
        console.print(
            f"Uploaded files: all {files.back} came back as they were, in "
            f"{files.seconds_to_return:.1f} s (bin/copy-uploads)."
        )
    if untried:
        console.print(f"Uploaded files were not tried: {untried}", style="yellow")
    return not problems


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

"""`make bench`: what our part costs, as ratios against a baseline measured in the same run.

Prints a table and writes it with a plot to build/bench.md and build/bench.svg. Fails where the
estimate of the bill (docs/bill.md) is more than a fifth off what is measured.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import request_count
import yaml

from kamalstream import programs
from kamalstream.ask.bill import bill
from kamalstream.check import check_files
from kamalstream.facts import DEFAULT_DATABASES, REPLICATION, in_container
from kamalstream.inspect.adopted import App
from kamalstream.prove.s3 import ScratchS3

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = Path(sys.executable).parent
ROUNDS = 5
WRITTEN = REPLICATION["load"]["busy"]
# What recipes for Rails 8 have, with the defaults of Litestream.
USUAL = yaml.safe_dump(
    {
        "dbs": [
            {
                "path": in_container(path),
                "replicas": [
                    {
                        "type": "s3",
                        "bucket": "your-backups-bucket",
                        "path": f"myapp/{Path(path).name}",
                        "endpoint": "https://nyc3.digitaloceanspaces.com",
                    }
                ],
            }
            for path in DEFAULT_DATABASES.values()
        ]
    }
)
ANSWERS = ("server_ip=203.0.113.10", "domain=app.example.com", "bucket=app-backups")


@dataclass(frozen=True)
class Ratio:
    """How long `what` takes, as a multiple of `against`."""

    what: str
    against: str
    value: float


def measure(what: Callable[[], object], against: Callable[[], object]) -> float:
    """Return the median of the ratios of ROUNDS alternating runs."""
    ratios = []
    for _ in range(ROUNDS):
        times = []
        for run in (what, against):
            began = time.perf_counter()
            run()
            times.append(time.perf_counter() - began)
        ratios.append(times[0] / times[1])
    return statistics.median(ratios)


def run(*command: str | Path, cwd: Path) -> None:
    """Run a command that has to succeed, in silence."""
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)


def copy(template: Path, app: Path, *answers: str) -> None:
    """Run `copier copy` on a fresh copy of the sample app."""
    shutil.rmtree(app, ignore_errors=True)
    shutil.copytree(ROOT / "tests/apps/rails_8_1", app)
    data = [f"--data={answer}" for answer in answers]
    options = ["--trust", "--defaults", "--overwrite", "--quiet", "--vcs-ref=HEAD"]
    run(SCRIPTS / "copier", "copy", *options, *data, template, app, cwd=app)


def ratios(folder: Path) -> list[Ratio]:
    """Measure everything in a scratch folder."""
    empty, app, other = folder / "empty", folder / "app", folder / "other"
    (empty / "template").mkdir(parents=True)
    (empty / "copier.yml").write_text("_subdirectory: template\n")
    (empty / "template" / "hello.txt").write_text("hello\n")
    identity = ["-c", "user.name=Bench", "-c", "user.email=bench@example.com"]
    run("git", "init", "--quiet", cwd=empty)
    run("git", "add", "--all", cwd=empty)
    run("git", *identity, "commit", "--quiet", "--message", "empty", cwd=empty)
    copy(ROOT, app, *ANSWERS)
    checked = App(app)
    return [
        Ratio(
            "copier copy of this template, hooks and checks included",
            "copier copy of a template with one file",
            measure(lambda: copy(ROOT, app, *ANSWERS), lambda: copy(empty, other)),
        ),
        Ratio(
            "all checks of the hook, in its process",
            "starting Python",
            measure(
                lambda: check_files(App(checked.root)),
                lambda: run(sys.executable, "-c", "", cwd=app),
            ),
        ),
        Ratio(
            "kamalstream check, with every real program",
            "kamal config alone",
            measure(
                lambda: run(SCRIPTS / "kamalstream", "check", cwd=app),
                lambda: run(SCRIPTS / "kamal", "config", "--version", "x", cwd=app),
            ),
        ),
    ]


def requests(folder: Path) -> list[Ratio]:
    """Measure the requests of the file that is rendered, in use for as long as backups are kept."""
    litestream = programs.litestream("0.5")
    if litestream is None:
        raise SystemExit("Litestream 0.5 is not on this machine: no request can be counted.")
    load = {in_container(DEFAULT_DATABASES[k]): v for k, v in WRITTEN.items() if k != "other"}
    app = App(folder / "app")
    ours = (app.root / "config/litestream.yml").read_text("utf-8")
    with ScratchS3() as s3:
        theirs = request_count.a_minute(litestream, USUAL, load, s3, folder / "usual", seconds=120)
        seen = request_count.a_minute(
            litestream, ours, load, s3, folder / "ours", seconds=240, faster=30
        )
    estimate = sum(bill(app.answers).requests["busy"].values())
    # Nobody charges for deleting.
    measured = sum(rate for (kind, _), rate in seen.items() if kind != "DELETE")
    print({" ".join(what): round(rate, 2) for what, rate in sorted(seen.items())})
    return [
        Ratio(
            f"requests of the rendered litestream.yml ({measured:.0f} a minute)",
            f"those of the usual one, four databases ({sum(theirs.values()):.0f})",
            measured / sum(theirs.values()),
        ),
        Ratio(f"requests estimated ({estimate:.0f} a minute)", "measured", estimate / measured),
    ]


def table(measured: list[Ratio]) -> str:
    """Return the ratios as a Markdown table."""
    rows = [f"| {ratio.what} | {ratio.against} | {ratio.value:.2f} |\n" for ratio in measured]
    return "".join(["| what | against | ratio |\n|---|---|--:|\n", *rows])


def plot(measured: list[Ratio]) -> str:
    """Return the ratios as bars in an SVG."""
    scale = 400 / max(ratio.value for ratio in measured)
    bars = [
        f'<text x="10" y="{y}">{ratio.what}: {ratio.value:.2f} × {ratio.against}</text>'
        f'<rect x="10" y="{y + 8}" width="{ratio.value * scale:.0f}" height="16" fill="#888"/>'
        for y, ratio in zip(range(24, 1000, 60), measured, strict=False)
    ]
    size = f'width="720" height="{60 * len(measured) + 10}"'
    style = 'font-family="sans-serif" font-size="14"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>{"".join(bars)}</svg>\n'


def main() -> None:
    """Measure, print and write."""
    with tempfile.TemporaryDirectory(prefix="kamalstream-bench-") as folder:
        measured = ratios(Path(folder))
        measured += requests(Path(folder))
    print(table(measured))
    build = ROOT / "build"
    build.mkdir(exist_ok=True)
    (build / "bench.md").write_text(table(measured), "utf-8")
    (build / "bench.svg").write_text(plot(measured), "utf-8")
    if not 0.8 <= measured[-1].value <= 1.2:
        raise SystemExit("The estimate of the bill is more than a fifth off what was measured.")


if __name__ == "__main__":
    main()

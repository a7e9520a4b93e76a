"""Writes docs/images from the wizard itself: `python docs/captures.py`, with tmux on the machine.

The terminal is tmux, 80 columns wide, and the app is one of the tests'.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
COLUMNS, LINES = 80, 34
COMMAND = Path(sys.executable).with_name("kamalstream")
#: Which text is waited for, what is typed then, and the picture that is taken before that.
STEPS: tuple[tuple[str, tuple[str, ...], str], ...] = (
    ("Does the bucket exist?", ("Enter",), ""),
    ("Which S3-compatible storage", ("Enter",), "wizard-questions"),
    ("Region of the bucket, as", ("Enter",), ""),
    ("Name of the bucket", ("atelier-backups", "Enter"), ""),
    ("Is all of this right?", ("Enter",), "wizard-review"),
    ("+++ b/", ("/b/config/deploy.yml", "Enter"), ""),
    ("+deploy_timeout:", ("q",), "wizard-diff"),
    ("Write these changes?", ("y",), "wizard-plan"),
    ("What comes next:", (), "wizard-checked"),
)


def main() -> None:
    """Take all the pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch:
        app = Path(scratch) / "atelier"
        shutil.copytree(ROOT / "tests" / "apps" / "changed_by_hand", app)
        for arguments in (("init", "-q"), ("add", "--all"), ("commit", "-qm", "The app as it was")):
            subprocess.run(["git", *arguments], cwd=app, check=True)

        def tmux(*arguments: str) -> str:
            return subprocess.run(
                ["tmux", "-u", "-S", f"{scratch}/socket", "-f", "/dev/null", *arguments],
                check=True,
                capture_output=True,
                text=True,
            ).stdout

        shell = f"{COMMAND} init; sleep 600"
        size = ("-x", str(COLUMNS), "-y", str(LINES))
        tmux("new-session", "-d", *size, "-c", str(app), "env", "LESS=-R", "sh", "-c", shell)
        try:
            for text, keys, picture in STEPS:
                _wait_for(text, lambda: tmux("capture-pane", "-p"))
                if picture:
                    _write(IMAGES / f"{picture}.svg", tmux("capture-pane", "-p", "-e"))
                for key in keys:
                    tmux("send-keys", key)
        finally:
            tmux("kill-server")


def _wait_for(text: str, screen: Callable[[], str]) -> None:
    for _ in range(300):
        if text in screen():
            # The rest of what is being drawn.
            time.sleep(0.5)
            return
        time.sleep(0.1)
    sys.exit(f"{text!r} does not come up:\n{screen()}")


def _write(file: Path, screen: str) -> None:
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(screen.rstrip()), no_wrap=True, overflow="crop")
    svg = console.export_svg(title="kamalstream init", theme=MONOKAI, unique_id=file.stem)
    file.write_text(svg.replace("&#160;", "\u00a0"), "utf-8")
    print(file.relative_to(ROOT))


if __name__ == "__main__":
    main()

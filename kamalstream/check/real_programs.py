"""The checks of the real programs: Kamal, Litestream, hadolint, bash, shellcheck, Ruby."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from kamalstream import programs
from kamalstream.check.finding import Finding, Level
from kamalstream.facts import DEPLOY, DOCKERFILE, ENTRYPOINT, LITESTREAM, PRODUCTION_RB
from kamalstream.inspect.adopted import App
from kamalstream.inspect.deploy_yml import destinations

_SCRIPTS = (ENTRYPOINT, "bin/restore")
_RUBY = (PRODUCTION_RB, ".kamal/read_secrets.rb")

# hadolint's and shellcheck's levels; what they call info or style is a matter of taste.
_LEVELS: dict[str, Level] = {"error": "error", "warning": "warning"}

_INSTALL = {
    "kamal": "gem install kamal",
    "litestream": "https://litestream.io/install/",
    "hadolint": "https://github.com/hadolint/hadolint#install",
    "shellcheck": "https://github.com/koalaman/shellcheck#installing",
    "bash": "your system's bash",
    "ruby": "the Ruby of the app",
}


def check_with_programs(
    app: App, on_step: Callable[[str], None] = lambda step: None
) -> list[Finding]:
    """Return what the real programs say of the files, each where it is found on this machine.

    `on_step` is told the program that runs next. A program that is missing is a note.
    """
    findings: list[Finding] = []
    for name, check in (
        ("kamal", _kamal),
        ("litestream", _litestream),
        ("hadolint", _hadolint),
        ("bash", _bash),
        ("shellcheck", _shellcheck),
        ("ruby", _ruby),
    ):
        program = programs.litestream(app.series) if name == "litestream" else programs.find(name)
        if program is None:
            label = f"litestream {app.series}" if name == "litestream" else name
            message = f"{label} is not on this machine: what it would check is not checked"
            findings.append(Finding(f"{name}.absent", "note", "", 0, message, _INSTALL[name]))
            continue
        on_step(name)
        findings.extend(check(app, program))
    return findings


def _run(
    command: list[str | Path], cwd: Path, **extra_env: str
) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "NO_COLOR": "1", **extra_env}
    # Nothing here uploads, and with this set Litestream 0.5 refuses before it reads its file.
    env.pop("AWS_CA_BUNDLE", None)
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, errors="replace", check=False
    )


def _last_words(result: subprocess.CompletedProcess[str]) -> str:
    text = re.sub(r"\x1b\[[0-9;]*m", "", (result.stderr.strip() or result.stdout.strip()))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else f"exit code {result.returncode}"


def _present(app: App, files: tuple[str, ...]) -> list[str]:
    return [file for file in files if (app.root / file).is_file()]


def _kamal(app: App, program: Path) -> Iterator[Finding]:
    if app.text(DEPLOY) is None:
        return
    names = destinations(app.root)
    runs = [(DEPLOY, []), *((f"config/deploy.{name}.yml", ["-d", name]) for name in names)]
    if names and (app.deploy or {}).get("require_destination"):
        runs = runs[1:]
    for file, destination in runs:
        # Kamal names the version after the git commit, which an app without one does not have.
        result = _run([program, "config", "--version", "check", *destination], app.root)
        if result.returncode:
            fix = "See: kamal docs configuration"
            yield Finding("kamal.config", "error", file, 0, _last_words(result), fix)


def _litestream(app: App, program: Path) -> Iterator[Finding]:
    if app.text(LITESTREAM) is None:
        return
    result = _run([program, "databases", "-config", app.root / LITESTREAM], app.root)
    listed = [line.split()[0] for line in result.stdout.splitlines()[1:] if line.strip()]
    if result.returncode:
        message = _last_words(result)
        at = re.search(r"line ([0-9]+)", message)
        yield Finding(
            "litestream.databases",
            "error",
            LITESTREAM,
            int(at[1]) if at else 0,
            message.removeprefix("Error: "),
            f"litestream databases -config {LITESTREAM}",
        )
        return
    for path in sorted({place.value for place in app.replicated} - set(listed)):
        message = f"Litestream does not list {path}"
        yield Finding("litestream.databases", "error", LITESTREAM, 0, message, "Mend its entry.")


def _hadolint(app: App, program: Path) -> Iterator[Finding]:
    if app.text(DOCKERFILE) is None:
        return
    result = _run([program, "--no-fail", "--format", "json", DOCKERFILE], app.root)
    if result.returncode:
        message = _last_words(result)
        yield Finding("hadolint", "error", DOCKERFILE, 0, message, "Mend the Dockerfile.")
        return
    for said in json.loads(result.stdout):
        if said["level"] in _LEVELS:
            fix = f"https://github.com/hadolint/hadolint/wiki/{said['code']}"
            message = f"{said['message']} ({said['code']})"
            level = _LEVELS[said["level"]]
            yield Finding("hadolint", level, DOCKERFILE, said["line"], message, fix)


def _bash(app: App, program: Path) -> Iterator[Finding]:
    for file in _present(app, _SCRIPTS):
        result = _run([program, "-n", file], app.root)
        if result.returncode:
            message = _last_words(result)
            yield Finding("bash.syntax", "error", file, 0, message, "Mend the script.")


def _shellcheck(app: App, program: Path) -> Iterator[Finding]:
    for file in _present(app, _SCRIPTS):
        result = _run([program, "--format", "json", file], app.root)
        for said in json.loads(result.stdout or "[]"):
            if said["level"] in _LEVELS:
                fix = f"https://www.shellcheck.net/wiki/SC{said['code']}"
                message = f"{said['message']} (SC{said['code']})"
                level = _LEVELS[said["level"]]
                yield Finding("shellcheck", level, file, said["line"], message, fix)


def _ruby(app: App, program: Path) -> Iterator[Finding]:
    for file in _present(app, _RUBY):
        result = _run([program, "-c", file], app.root)
        if result.returncode:
            first = (result.stderr.strip().splitlines() or ["syntax error"])[0]
            at = re.match(r"[^:]*:([0-9]+):\s*(.*)", first)
            yield Finding(
                "ruby.syntax",
                "error",
                file,
                int(at[1]) if at else 0,
                at[2] if at else first,
                f"ruby -c {file}",
            )

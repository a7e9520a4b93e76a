"""The checks of the real programs: Kamal, Litestream, hadolint, bash, shellcheck, Ruby."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from kamalstream import programs
from kamalstream.check import conflicts
from kamalstream.check.deployed import built
from kamalstream.check.finding import Finding, Level
from kamalstream.facts import (
    COPY_UPLOADS,
    DOCKERFILE,
    EXECUTABLES,
    LITESTREAM,
    PRODUCTION_RB,
    PROGRAMS,
    READ_SECRETS,
    litestream_of,
)
from kamalstream.inspect.adopted import App
from kamalstream.inspect.kamal.deployment import Deployment

_RUBY = (PRODUCTION_RB, READ_SECRETS)

# hadolint's and shellcheck's levels; what they call info or style is a matter of taste.
_LEVELS: dict[str, Level] = {"error": "error", "warning": "warning"}


def _level(app: App, file: str, said: str) -> Level | None:
    """Return what a linter's level means for `file`; of the owner's own files, errors alone."""
    ours = file in (*EXECUTABLES, DOCKERFILE) and not app.is_own(file)
    return _LEVELS.get(said) if said == "error" or ours else None


# Keys of Kamal 1 that Kamal 2 refuses, and what has taken their place.
_KAMAL_1 = {
    "healthcheck": "Kamal 2 has it under proxy:, where the port is app_port:\n"
    "proxy:\n  app_port: 3000\n  healthcheck:\n    path: /up",
    "traefik": "Kamal 2 has a proxy of its own instead: take this out, and say under proxy: which "
    "host: it serves, and whether with ssl:",
}

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

    `on_step` is told the program that runs next. A program that is missing is a note. None runs
    while a conflict is left in a file, of which each would have its own words.
    """
    findings: list[Finding] = []
    if any(conflicts.check(app)):
        return findings
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
    lines = _lines(result.stderr) or _lines(result.stdout)
    return lines[-1] if lines else f"exit code {result.returncode}"


def _lines(text: str) -> list[str]:
    plain = re.sub(r"\x1b\[[0-9;]*m", "", text)
    return [line.strip() for line in plain.splitlines() if line.strip()]


def _present(app: App, files: tuple[str, ...]) -> list[str]:
    return [file for file in files if (app.root / file).is_file()]


def _scripts(app: App) -> list[str]:
    started = (script for one in built(app) for script in one.scripts)
    return _present(app, tuple(dict.fromkeys((*started, *PROGRAMS, COPY_UPLOADS))))


def _kamal(app: App, program: Path) -> Iterator[Finding]:
    version = ""
    files = app.kamal.files if app.kamal else ()
    # Kamal would wait for ever at a pipe; that it is none is said by another check.
    if app.kamal is None or len(_present(app, files)) < len(files):
        return
    for one in app.kamal.deployments:
        destination = ["-d", one.name] if one.name else []
        # Kamal names the version after the git commit, which an app without one does not have.
        result = _run([program, "config", "--version", "check", *destination], app.root)
        if result.returncode:
            version = version or _last_words(_run([program, "version"], app.root))
            # Its own error is on standard output, that of programs in the ERB beside it.
            own = [line for line in _lines(result.stdout) if line.startswith("ERROR (")]
            said = own[-1] if own else _last_words(result)
            file, line, fix = _remedy(one, said)
            yield Finding("kamal.config", "error", file, line, f"{said} (Kamal {version})", fix)


def _remedy(one: Deployment, said: str) -> tuple[str, int, str]:
    """Return file, line and what to do about what Kamal says."""
    variable = re.search(r"KeyError\): key not found: \"([^\"]+)\"", said)
    if variable:
        fix = f"Set {variable[1]} where you run kamal, or give it a default there: "
        return one.file, 0, f'{fix}ENV.fetch("{variable[1]}", "…")'
    if re.search(r"\((?:NameError|NoMethodError|SyntaxError|LoadError|Errno::\w+)\)", said):
        return one.file, 0, "That comes from the ERB in the file: run it where Kamal can."
    unknown = re.search(r"(?:([\w/-]+): )?unknown key: ([\w-]+)", said)
    if unknown and not unknown[1] and unknown[2] in _KAMAL_1:
        return *one.line(unknown[2]), _KAMAL_1[unknown[2]]
    if unknown:
        path = (*(unknown[1] or "").split("/"), unknown[2]) if unknown[1] else (unknown[2],)
        fix = "Mend its spelling or take it out; a key that is newer needs a newer Kamal."
        return *one.line(*path), f"{fix} kamal docs has all of them."
    places = [place for place in one.unreadable if "<%" in place.text]
    names = re.findall(r'ENV\["(\w+)"\]', " ".join(place.why for place in places))
    unset = [name for name in dict.fromkeys(names) if name not in os.environ]
    if unset:
        fix = f"Set {', '.join(unset)} where you run kamal: no default stands here."
        return places[0].file, places[0].line, fix
    if places:
        fix = "Run it where the code in the file (<% … %>) gives its values: Kamal had none here."
        return places[0].file, places[0].line, fix
    return one.file, 0, "See: kamal docs configuration"


def _litestream(app: App, program: Path) -> Iterator[Finding]:
    for file in _present(app, (LITESTREAM, *map(litestream_of, app.destinations))):
        result = _run([program, "databases", "-config", app.root / file], app.root)
        listed = [line.split()[0] for line in result.stdout.splitlines()[1:] if line.strip()]
        if result.returncode:
            message = _last_words(result)
            at = re.search(r"line ([0-9]+)", message)
            yield Finding(
                "litestream.databases",
                "error",
                file,
                int(at[1]) if at else 0,
                message.removeprefix("Error: "),
                f"litestream databases -config {file}",
            )
            continue
        for path in sorted({place.value for place in app.replicated_by(file)} - set(listed)):
            message = f"Litestream does not list {path}"
            yield Finding("litestream.databases", "error", file, 0, message, "Mend its entry.")


def _hadolint(app: App, program: Path) -> Iterator[Finding]:
    for file in _present(app, tuple(dict.fromkeys(one.dockerfile for one in built(app)))):
        result = _run([program, "--no-fail", "--format", "json", file], app.root)
        if result.returncode:
            message = _last_words(result)
            yield Finding("hadolint", "error", file, 0, message, "Mend the Dockerfile.")
            continue
        for said in json.loads(result.stdout):
            if level := _level(app, file, said["level"]):
                fix = f"https://github.com/hadolint/hadolint/wiki/{said['code']}"
                message = f"{said['message']} ({said['code']})"
                yield Finding("hadolint", level, file, said["line"], message, fix)


def _bash(app: App, program: Path) -> Iterator[Finding]:
    for file in _scripts(app):
        result = _run([program, "-n", file], app.root)
        if result.returncode:
            message = _last_words(result)
            yield Finding("bash.syntax", "error", file, 0, message, "Mend the script.")


def _shellcheck(app: App, program: Path) -> Iterator[Finding]:
    for file in _scripts(app):
        result = _run([program, "--format", "json", file], app.root)
        for said in json.loads(result.stdout or "[]"):
            if level := _level(app, file, said["level"]):
                fix = f"https://www.shellcheck.net/wiki/SC{said['code']}"
                message = f"{said['message']} (SC{said['code']})"
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

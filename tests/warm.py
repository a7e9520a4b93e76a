"""Programs that are loaded already: what is started is a fork of one that waits.

Copier, kamalstream and Kamal each take about a second to load, and tests start them hundreds of
times. What is started is a process of its own as ever, with the arguments, folder, variables and
files that it was given. Where the loading itself, a terminal or signals matter, tests start the
program itself.
"""

from __future__ import annotations

import atexit
import gc
import os
import runpy
import select
import shutil
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kamalstream import programs

ROOT = Path(__file__).resolve().parent.parent
#: A program of Python's → what `python -m` runs for it.
MODULES = {"copier": "copier", "kamalstream": "kamalstream.cli"}

# Standard library alone, and little of it, for it is started each time.
_CLIENT = """\
#!{python} -IS
import os, socket, sys, time
server = socket.socket(socket.AF_UNIX)
variables = os.environ
locale = variables.get("LC_ALL") or variables.get("LC_CTYPE") or variables.get("LANG") or ""
address = {addresses}.get(locale, {addresses}.get("any"))
if not address:
    os.execv({program!r}, [{program!r}, *sys.argv[1:]])
for _ in range(600):
    try:
        server.connect(address)
        break
    except (FileNotFoundError, ConnectionRefusedError):
        time.sleep(0.05)
mask = os.umask(0)
variables = [name + b"=" + value for name, value in os.environb.items()]
arguments = [os.fsencode(one) for one in {first} + sys.argv[1:]]
said = [os.getcwdb(), b"%d" % mask, b"%d" % len(arguments), *arguments, *variables]
for file in range(3):
    socket.send_fds(server, [b"."], [file])
said = b"\\0".join(said)
server.sendall(len(said).to_bytes(4, "big") + said)
status = int(server.makefile().readline() or 1)
if status < 0:
    os.kill(os.getpid(), -status)
os._exit(status)
"""


def _client(
    file: Path, addresses: dict[str, str], *first: str, program: Path | str = sys.executable
) -> Path:
    """Write a program that hands over what it is given, `first` before its arguments.

    It hands it to the server of its locale, or of "any"; where there is none it is `program`.
    """
    text = _CLIENT.format(
        python=sys.executable, addresses=addresses, first=list(first), program=str(program)
    )
    file.write_text(text, "utf-8")
    file.chmod(0o755)
    return file


def _server(folder: Path, *command: str | Path, cwd: Path, **variables: str) -> None:
    """Start a server that ends with this process, which then removes `folder`."""
    server = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def end() -> None:
        server.communicate()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)


@cache
def kamal() -> Path | None:
    """Return a folder with `kamal`; None where this machine has no Kamal."""
    program = programs.find("kamal")
    if program is None:
        return None
    made = Path(tempfile.mkdtemp(prefix="kamalstream-kamal-"))
    (made / "app/config").mkdir(parents=True)
    script = ROOT / "tests/ruby/warm_kamal.rb"
    (made / "app/config/deploy.yml").write_text(f'<% load "{script}" %>\n')
    # Ruby has its encoding from the locale when it starts.
    own = [os.environ.get(name) for name in ("LC_ALL", "LC_CTYPE", "LANG")]
    addresses = {}
    for locale in {next(filter(None, own), ""), "C.UTF-8"}:
        addresses[locale] = str(made / f"socket.{locale}")
        command = (program, "config", "--version", "1")
        _server(made, *command, cwd=made / "app", KAMAL_SOCKET=addresses[locale], LC_ALL=locale)
    return _client(made / "kamal", addresses, program=program).parent


@cache
def folder() -> Path:
    """Return a folder with `copier` and `kamalstream`."""
    made = Path(tempfile.mkdtemp(prefix="kamalstream-python-"))
    for name, module in MODULES.items():
        _client(made / name, {"any": str(made / "socket")}, module)
    _server(made, sys.executable, "-m", "tests.warm", made, cwd=ROOT)
    return made


def copier(*arguments: str | Path) -> list[str | Path]:
    """Return the command `copier ARGUMENTS`."""
    return [folder() / "copier", *arguments]


def kamalstream(*arguments: str | Path) -> list[str | Path]:
    """Return the command `kamalstream ARGUMENTS`."""
    return [folder() / "kamalstream", *arguments]


def _serve(made: Path) -> None:
    _load(_client(made / "python", {"any": str(made / "socket")}))
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(made / "socket"))
    listening.listen()
    gc.freeze()
    # Nothing can be read from whoever started this once that has ended.
    while listening in select.select([listening, sys.stdin], [], [])[0]:
        asked, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _answer(asked)
        asked.close()
        while _ended():
            pass


def _ended() -> bool:
    try:
        return os.waitpid(-1, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return False


def _load(python: Path) -> None:
    """Load the programs, and have the template as it is now compiled."""
    from copier import _cli  # noqa: F401

    import kamalstream.cli
    from kamalstream.update import copier_process
    from tests.conftest import once
    from tests.fixtures_template import render

    assert once
    with tempfile.TemporaryDirectory() as scratch:
        render(ROOT, Path(scratch, "app"), skip_tasks=True)
    # It is run as a program, and starts `python -m copier` in its turn.
    del sys.modules[kamalstream.cli.__name__]
    copier_process.sys = SimpleNamespace(executable=str(python))  # type: ignore[assignment]


def _answer(asked: socket.socket) -> None:
    """Start what is asked for, tell its exit code (or signal, negative), and end."""
    files = [socket.recv_fds(asked, 1, 1)[1][0] for _ in range(3)]
    with asked.makefile("rb") as reader:
        said = reader.read(int.from_bytes(reader.read(4), "big"))
    started = os.fork()
    if started == 0:
        asked.close()
        _become(files, said)
    for file in files:
        os.close(file)
    _, status = os.waitpid(started, 0)
    asked.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(files: list[int], said: bytes) -> None:
    here, mask, count, *rest = map(os.fsdecode, said.split(b"\0"))
    arguments, variables = rest[: int(count)], rest[int(count) :]
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.umask(int(mask))
    os.chdir(here)
    os.environ.clear()
    os.environ.update(one.split("=", 1) for one in variables)
    _plumbum(here)
    sys.stdin, sys.stdout, sys.stderr = _streams()
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    sys.argv = arguments[1:] if arguments[0] == "-m" else arguments
    sys.path[0] = here
    code: Any = 0
    try:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    except SystemExit as leaving:
        code = leaving.code
        if isinstance(code, str):
            print(code, file=sys.stderr)
            code = 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(int(code or 0))


def _streams() -> list[Any]:
    return [
        open(0, encoding="utf-8", closefd=False),
        open(1, "w", encoding="utf-8", closefd=False),
        open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False),
    ]


def _plumbum(here: str) -> None:
    """Copier runs git through plumbum, which keeps variables and folder of its own."""
    from plumbum import local

    local.env.clear()
    local.env.update(os.environ)
    local.cwd.chdir(here)


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))

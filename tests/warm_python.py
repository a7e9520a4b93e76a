"""A Python that has loaded Copier and kamalstream already: `python -m` either is a fork of it.

Loading them takes a second, and tests start them hundreds of times. What is started is a process
of its own as ever, with the arguments, folder, variables and files that it was given. Where the
loading itself, a terminal or signals matter, tests start `sys.executable`.
"""

from __future__ import annotations

import atexit
import gc
import marshal
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

ROOT = Path(__file__).resolve().parent.parent
#: What is loaded: the name of a program, and what `python -m` runs for it.
PROGRAMS = {"copier": "copier", "kamalstream": "kamalstream.cli"}

_CLIENT = """\
#!{python} -IS
import marshal, os, sys
started = {programs}.get(os.path.basename(sys.argv[0]))
if not started:
    started = sys.argv[2] if sys.argv[1:2] == ["-m"] else ""
    sys.argv[1:3] = []
if started not in {programs}.values():
    sys.exit("only what is loaded can be started")
import socket
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
said = marshal.dumps(([started, *sys.argv[1:]], os.getcwd(), dict(os.environ), os.umask(0)))
socket.send_fds(server, [len(said).to_bytes(4, "big")], [0, 1, 2])
server.sendall(said)
status = int(server.makefile().readline() or 1)
if status < 0:
    os.kill(os.getpid(), -status)
os._exit(status)
"""


@cache
def folder() -> Path:
    """Return a folder with `copier`, `kamalstream` and a `python` for them, for this process."""
    made = Path(tempfile.mkdtemp(prefix="kamalstream-python-"))
    address, python = str(made / "socket"), made / "python"
    client = _CLIENT.format(python=sys.executable, programs=PROGRAMS, address=address)
    for program in (python, *map(made.joinpath, PROGRAMS)):
        program.write_text(client, "utf-8")
        program.chmod(0o755)
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.warm_python", address, str(python)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert server.stdout
    assert server.stdout.readline() == b"ready\n"

    def end() -> None:
        server.communicate()
        shutil.rmtree(made)

    atexit.register(end)
    return made


def copier(*arguments: str | Path) -> list[str | Path]:
    """Return the command `copier ARGUMENTS`."""
    return [folder() / "copier", *arguments]


def kamalstream(*arguments: str | Path) -> list[str | Path]:
    """Return the command `kamalstream ARGUMENTS`."""
    return [folder() / "kamalstream", *arguments]


def _serve(address: str, program: str) -> None:
    _load(program)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen()
    gc.freeze()
    print("ready", flush=True)
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


def _load(program: str) -> None:
    """Load what they load, and have the template as it is now compiled."""
    from copier import _cli  # noqa: F401

    import kamalstream.cli
    from kamalstream.update import copier_process
    from tests.conftest import once
    from tests.fixtures_template import render

    assert once
    with tempfile.TemporaryDirectory() as scratch:
        render(ROOT, Path(scratch, "app"), skip_tasks=True)
    # It is run as a program, and starts Copier in its turn.
    del sys.modules[kamalstream.cli.__name__]
    copier_process.sys = SimpleNamespace(executable=program)  # type: ignore[assignment]


def _answer(asked: socket.socket) -> None:
    """Start what is asked for, tell its exit code (or signal, negative), and end."""
    length, files, _, _ = socket.recv_fds(asked, 4, 3)
    said = b""
    while len(said) < int.from_bytes(length, "big"):
        said += asked.recv(1 << 20)
    started = os.fork()
    if started == 0:
        asked.close()
        _become(files, *marshal.loads(said))
    for file in files:
        os.close(file)
    _, status = os.waitpid(started, 0)
    asked.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(
    files: list[int], argv: list[str], folder: str, variables: dict[str, str], mask: int
) -> None:
    for number, file in enumerate(files):
        os.dup2(file, number)
        os.close(file)
    os.umask(mask)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    _plumbum(folder, variables)
    sys.stdin, sys.stdout, sys.stderr = _streams()
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    sys.argv = argv
    sys.path[0] = folder
    code: Any = 0
    try:
        runpy.run_module(argv[0], run_name="__main__", alter_sys=True)
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


def _plumbum(folder: str, variables: dict[str, str]) -> None:
    """Copier runs git through plumbum, which keeps variables and folder of its own."""
    from plumbum import local

    local.env.clear()
    local.env.update(variables)
    local.cwd.chdir(folder)


if __name__ == "__main__":
    _serve(*sys.argv[1:])

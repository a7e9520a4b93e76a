"""Known keys, put wherever a key can come in, then looked for wherever one could get out.

`KAMALSTREAM_KILLS` and `KAMALSTREAM_SECRETS` say how many kills and how many random values are
tried: 300 and 1000 for the figures of docs/reliability.md.
"""

from __future__ import annotations

import base64
import io
import math
import os
import random
import re
import secrets
import shutil
import signal
import stat
import string
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest
import yaml

from kamalstream import cli, programs
from kamalstream.commands import destination, remove
from kamalstream.edit import encrypted_file
from kamalstream.edit.credentials import NAMES, keys
from kamalstream.inspect.image.dockerignore import excluded
from kamalstream.render.source import Source

from .conftest import ROOT, requires
from .fixtures_init import Ran, _answers, _kamalstream, files_of  # noqa: F401
from .fixtures_template import RELEASE, commit, git

KILLS = max(2, int(os.environ.get("KAMALSTREAM_KILLS", "6")) // 3)
VALUES = int(os.environ.get("KAMALSTREAM_SECRETS", "6"))


def _random(alphabet: str, length: int) -> str:
    """Return a key that stands nowhere yet, this file included."""
    return "".join(secrets.choice(alphabet) for _ in range(length))


def _secret() -> str:
    # gitleaks takes none for a key that begins with + or /.
    return _random(string.ascii_letters, 1) + _random(
        string.ascii_letters + string.digits + "+/", 39
    )


_HEX = "0123456789abcdef"
MASTER = _random(_HEX, 32)
IN_CREDENTIALS = {
    "litestream": {
        "access_key_id": "AKIA" + _random(string.ascii_uppercase, 16),
        "secret_access_key": _secret(),
    },
    "smtp": {"password": _random(string.ascii_letters, 24)},
}
IN_ENVIRONMENT = {
    "LITESTREAM_ACCESS_KEY_ID": "AKIA" + _random(string.ascii_uppercase, 16),
    "LITESTREAM_SECRET_ACCESS_KEY": _secret(),
    "AWS_SECRET_ACCESS_KEY": _secret(),
    "KAMAL_REGISTRY_PASSWORD": "dckr_pat_" + _random(_HEX, 27),
    "SECRET_KEY_BASE": _random(_HEX, 128),
}
IN_FILES = {
    ".env": _random(string.ascii_letters, 24),
    ".kamal/secrets": _random(string.ascii_letters, 24),
    "config/deploy.yml": _random(string.ascii_letters, 24),
    "config/credentials/staging.key": _random(_HEX, 32),
    "config/master.key": MASTER,
}
WRITTEN_OUT = {IN_FILES[".kamal/secrets"], IN_FILES["config/deploy.yml"]}
TYPED = ("AKIA" + _random(string.ascii_uppercase, 16), _secret())
SEEDS = {
    *(one for section in IN_CREDENTIALS.values() for one in section.values()),
    *IN_ENVIRONMENT.values(),
    *IN_FILES.values(),
    *TYPED,
}


def _forms(seed: str) -> set[bytes]:
    """Return the seed, its halves, and what Base64 makes of it wherever it begins."""
    text = seed.encode()
    half = len(text) // 2
    encoded = {base64.b64encode(b"x" * at + text)[4:-4] for at in (0, 1, 2)}
    return {text, text[:half], text[half:], text.hex().encode()} | encoded


FORMS = {form: seed for seed in SEEDS for form in _forms(seed)}
_ANY = re.compile(b"|".join(map(re.escape, sorted(FORMS, key=len, reverse=True))))


def leaked(content: bytes | str) -> set[str]:
    """Return which of the seeds are in `content`, whole, by half or encoded."""
    content = content.encode() if isinstance(content, str) else content
    return {FORMS[found] for found in _ANY.findall(content)}


class Watched:
    """What the process list and the temporary folder show while something runs."""

    def __init__(self, temporary: Path) -> None:
        self.temporary, self.commands, self.looks = temporary, set[bytes](), 0
        self.kept: dict[str, set[str]] = {}
        self._seen: dict[Path, tuple[int, int]] = {}
        self._ended = threading.Event()

    def look(self) -> None:
        self.looks += 1
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                self.commands.add((process / "cmdline").read_bytes())
        for folder, _, names in os.walk(self.temporary):
            for file in (Path(folder, name) for name in names):
                with suppress(OSError):
                    status = file.lstat()
                    seen = (status.st_mtime_ns, status.st_size)
                    if stat.S_ISREG(status.st_mode) and self._seen.get(file) != seen:
                        self._seen[file] = seen
                        self.kept[str(file)] = leaked(file.read_bytes())

    def __enter__(self) -> Watched:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self.look()

    def _watch(self) -> None:
        while not self._ended.wait(0.02):
            self.look()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    return folder


@pytest.fixture
def app(
    sample_app: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch, temporary: Path
) -> Path:
    """Return an app with a key in every place where its owner could have one."""
    folder = sample_app("changed_by_hand")
    for name, value in IN_ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RAILS_MASTER_KEY", raising=False)
    (folder / ".gitignore").write_text(
        (folder / ".gitignore").read_text() + "\n/.env*\n/config/*.key\n/config/credentials/*.key\n"
    )
    deploy = folder / "config/deploy.yml"
    written = f"  clear:\n    SMTP_PASSWORD: {IN_FILES['config/deploy.yml']}\n"
    # A server that refuses at once.
    text = re.sub(r"\b\d+\.\d+\.\d+\.\d+\b", "127.0.0.1", deploy.read_text())
    deploy.write_text(text.replace("  clear:\n", written, 1))
    file = folder / ".kamal/secrets"
    file.write_text(f"{file.read_text()}\nSMTP_PASSWORD={IN_FILES['.kamal/secrets']}\n")
    file.chmod(0o600)
    (folder / "config/credentials").mkdir(exist_ok=True)
    (folder / ".env").write_text(f"SMTP_PASSWORD={IN_FILES['.env']}\n")
    for key in ("config/master.key", "config/credentials/staging.key"):
        (folder / key).write_text(IN_FILES[key])
        (folder / key).chmod(0o600)
    key_bytes = encrypted_file.parse_key(MASTER)
    assert key_bytes
    text = yaml.safe_dump(IN_CREDENTIALS).encode()
    (folder / "config/credentials.yml.enc").write_bytes(encrypted_file.encrypt(text, key_bytes))
    commit(folder, "Mine")
    assert all(leaked((folder / file).read_bytes()) for file in IN_FILES)
    return folder


def objects(app: Path) -> dict[str, set[str]]:
    """Return which seeds are in which object of git's, whatever reaches it."""
    listed = git(app, "cat-file", "--batch-all-objects", "--batch-check=%(objectname)").split()
    found = {
        name: leaked(
            subprocess.run(
                ["git", "cat-file", "-p", name], cwd=app, check=True, capture_output=True
            ).stdout
        )
        for name in listed
    }
    return {name: seeds for name, seeds in found.items() if seeds}


def is_tight(app: Path) -> None:
    """Each seed is only in the file its owner put it in, or in what is kept of that below tmp/."""
    ignore = (app / ".dockerignore").read_text()
    for name, (mode, content) in files_of(app).items():
        if not (found := leaked(content)):
            continue
        owners = {file for file, seed in IN_FILES.items() if seed in found}
        kept = re.sub(r"^tmp/[^/]*/", "", name)
        assert {kept} == owners, (name, found)
        # What its owner wrote into deploy.yml is in the repository anyway; `check` says so.
        assert name == "config/deploy.yml" or excluded(ignore, name), f"{name} is in the image"
        if kept in (".kamal/secrets", "config/master.key", "config/credentials/staging.key"):
            assert mode & 0o777 == 0o600, (name, oct(mode))
        if name.startswith("tmp/"):
            ignored = subprocess.run(["git", "check-ignore", "-q", name], cwd=app)
            assert ignored.returncode == 0, f"{name} would be committed"


def test_no_key_gets_out_of_init_check_status_and_destination(
    kamalstream: Callable[..., Ran],
    answers: Callable[..., Path],
    app: Path,
    temporary: Path,
    template: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for command in (destination, remove):
        monkeypatch.setattr(command, "template_source", lambda: Source(str(template), RELEASE))
    staging = ("--data", "server_ip=203.0.113.9", "--data", "domain=s.example.com")
    with Watched(temporary) as watched:
        for arguments in (
            ("init", app, "--defaults", "--dry-run", "--data-file", answers()),
            ("init", app, "--defaults", "--data-file", answers()),
            ("check", app, "--format", "json"),
            ("destination", "staging", app, "--yes", *staging),
            ("status", app),
            ("verify", app),
            ("remove", app, "--yes"),
        ):
            ran = kamalstream(*arguments)
            assert ran.out + ran.err
            assert not leaked(ran.out + ran.err), (arguments, leaked(ran.out + ran.err))
            if "--dry-run" not in arguments:
                is_tight(app)
    is_clean(watched)
    commit(app, "Ours")
    git(app, "gc", "-q", "--prune=now")
    # A file of theirs that got lines of ours is a new object, with what stood in it.
    assert set().union(*objects(app).values()) == WRITTEN_OUT


def is_clean(watched: Watched) -> None:
    """No command line had a key, and no temporary folder but what its owner wrote out in files."""
    assert watched.looks > 3
    assert any(b"kamal" in command for command in watched.commands)
    assert not leaked(b" ".join(watched.commands))
    for file, seeds in watched.kept.items():
        assert seeds <= WRITTEN_OUT, (file, seeds)
    assert not [*watched.temporary.iterdir()]


def test_what_is_typed_is_nowhere_but_in_the_encrypted_file(app: Path, temporary: Path) -> None:
    with Watched(temporary) as watched:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "kamalstream.cli", "credentials", str(app)],
            env={**os.environ, "PROMPT_TOOLKIT_NO_CPR": "1", "PYTHONPATH": str(ROOT)},
            dimensions=(24, 80),
            encoding="utf-8",
            timeout=60,
        )
        shown = ""
        for prompt, typed in zip(("Access key id", "Secret access key"), TYPED, strict=True):
            child.expect(prompt)
            shown += child.before
            child.send(typed + "\r")
        child.expect(pexpect.EOF)
        shown += child.before
        child.close()
    assert child.exitstatus == 0
    assert not leaked(shown)
    # The terminal puts its own between two characters.
    assert not leaked(re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))
    is_clean(watched)
    assert keys(app) == dict(zip(NAMES, TYPED, strict=True))
    for name, (_, content) in files_of(app).items():
        assert not leaked(content) & {*TYPED}, name


@pytest.mark.parametrize(
    "arguments", [("credentials", "--stdin"), ("init", "--defaults"), ("check",)]
)
def test_killed_at_any_moment_it_leaves_no_key(
    app: Path, temporary: Path, answers: Callable[..., Path], arguments: tuple[str, ...]
) -> None:
    command = [sys.executable, "-m", "kamalstream.cli", *arguments, app]
    if arguments[0] == "init":
        command += ["--data-file", answers()]
    longest = 6.0
    for turn in range(KILLS):
        running = subprocess.Popen(
            command,
            cwd=app,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            start_new_session=True,
        )
        assert running.stdin
        running.stdin.write("\n".join(TYPED).encode())
        running.stdin.close()
        running.stdin = None
        started = time.monotonic()
        with suppress(subprocess.TimeoutExpired):
            running.wait(random.uniform(0, longest))
            longest = time.monotonic() - started
        with suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        assert not leaked(running.communicate()[0])
        for file in (one for one in temporary.rglob("*") if one.is_file()):
            assert leaked(file.read_bytes()) <= WRITTEN_OUT, (turn, file)
        for left in temporary.iterdir():
            assert left.stat().st_mode & 0o077 == 0, f"{left} is open to others"
        for name, (_, content) in files_of(app).items():
            assert leaked(content) <= set(IN_FILES.values()), (turn, name)


@pytest.mark.parametrize("broken", ["encrypt", "decrypt"])
def test_a_crash_says_no_key(
    kamalstream: Callable[..., Ran],
    app: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    broken: str,
) -> None:
    def crash(text: bytes, key: bytes) -> bytes:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(encrypted_file, broken, crash)
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(TYPED)))
    monkeypatch.setattr(sys, "argv", ["kamalstream", "credentials", "--stdin", str(app)])
    with pytest.raises(RuntimeError) as crashed:
        cli.main()
    # As Python prints what nobody catches.
    sys.__excepthook__(crashed.type, crashed.value, crashed.tb)
    said = "".join(capfd.readouterr())
    assert "a fault of ours" in said
    assert not leaked(said)


# Those of gitleaks that its documentation and issues name most, and what this project has keys of:
# https://github.com/gitleaks/gitleaks/blob/master/config/gitleaks.toml (MIT).
GITLEAKS = {
    "aws-access-token": r"\b((?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16})\b",
    "private-key": r"(?i)-----BEGIN[ A-Z0-9_-]{0,100}PRIVATE KEY(?: BLOCK)?-----",
    "github-pat": r"ghp_[0-9a-zA-Z]{36}",
    "github-fine-grained-pat": r"github_pat_\w{82}",
    "gitlab-pat": r"glpat-[\w-]{20}",
    "slack-bot-token": r"xoxb-[0-9]{10,13}-[0-9]{10,13}[a-zA-Z0-9-]*",
    "stripe-access-token": r"(?i)\b((?:sk|rk)_(?:test|live|prod)_[a-zA-Z0-9]{10,99})\b",
    "gcp-api-key": r"\b(AIza[\w-]{35})\b",
    "digitalocean-pat": r"\b(dop_v1_[a-f0-9]{64})\b",
    "docker-pat": r"\bdckr_pat_[\w-]{27}\b",
    "jwt": r"\b(ey[a-zA-Z0-9]{17,}\.ey[a-zA-Z0-9\/\\_-]{17,}\.[a-zA-Z0-9\/\\_-]{10,})",
    "generic-api-key": (
        r"""(?i)[\w.-]{0,50}?(?:access|auth|(?-i:[Aa]pi|API)|credential|creds|key|passw(?:or)?d"""
        r"""|secret|token)(?:[ \t\w.-]{0,20})[\s'"]{0,3}(?:=|>|:{1,3}=|\|\||:|=>|\?=|,)"""
        r"""[\x60'"\s=]{0,5}([\w.=-]{10,150}|[a-z0-9][a-z0-9+/]{11,}={0,3})(?:[\x60'"\s;]|$)"""
    ),
}


def entropy(text: str) -> float:
    """Shannon's, in bits a character, as gitleaks weighs what a rule found."""
    return -sum(n / len(text) * math.log2(n / len(text)) for n in Counter(text).values())


def test_gitleaks_rules_find_nothing_in_what_is_rendered(rendered: Callable[..., Path]) -> None:
    more = {"registry_server": "ghcr.io", "registry_username": "jane", "verify_schedule": "weekly"}
    for app in (rendered(), rendered(litestream_version="0.3", **more)):
        for name, (_, content) in files_of(app).items():
            for rule, pattern in GITLEAKS.items():
                for found in re.finditer(pattern, content.decode(), re.MULTILINE):
                    secret = found.groups()[-1] if found.groups() else found[0]
                    real = rule != "generic-api-key" or (
                        entropy(secret) >= 3.5 and re.search(r"\d", secret)
                    )
                    assert not real, (name, rule, found[0])
    assert all(
        any(re.search(pattern, f"secret_key: {one}\n") for pattern in GITLEAKS.values())
        for one in (*TYPED, *IN_ENVIRONMENT.values())
    )


@requires("ruby", "kamal")
def test_random_values_come_back_through_kamal_as_they_were(
    rendered: Callable[..., Path], tmp_path: Path
) -> None:
    app = tmp_path / "app"
    shutil.copytree(rendered(registry_server="ghcr.io", registry_username="jane"), app)
    (app / "config/master.key").write_text(MASTER)
    key = encrypted_file.parse_key(MASTER)
    assert key
    kamal = programs.find("kamal")
    assert kamal
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LITESTREAM", "KAMAL"))}
    sent: list[str] = []
    with Watched(tmp_path / "none") as watched:
        for _ in range(math.ceil(VALUES / 3)):
            values = [random_value() for _ in range(3)]
            sections = {
                "litestream": dict(zip(NAMES, values, strict=False)),
                "kamal": {"registry_password": values[2]},
            }
            text = yaml.safe_dump(sections, allow_unicode=True).encode()
            sealed = encrypted_file.encrypt(text, key)
            (app / "config/credentials.yml.enc").write_bytes(sealed)
            done = subprocess.run(
                [kamal, "secrets", "print"], cwd=app, capture_output=True, env=environment
            )
            # The first is what .kamal/secrets read all of them with.
            printed = [line.partition(b"=")[2].decode() for line in done.stdout.splitlines()]
            assert printed[1:] == [MASTER, *values], (values, done.stdout, done.stderr)
            sent += values
    listed = b"\n".join(watched.commands)
    assert not [one for one in sent if one.encode() in listed]


def random_value() -> str:
    """Return what could be a key: printable, without blanks at its ends, of any alphabet."""
    alphabet = random.choice(
        (string.printable[:94], string.ascii_letters + "+/=", "$(){}`\\'\"#%!")
    )
    return "k" + "".join(random.choices(alphabet + "äß日🔑", k=random.randint(8, 60)))

"""`check --live`: a real sshd on loopback, a real S3 server, the real Litestream."""

from __future__ import annotations

import getpass
import io
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import Request

import pytest

from kamalstream import cli
from kamalstream.check import live
from kamalstream.check.bucket_requests import Bucket
from kamalstream.check.finding import Finding
from kamalstream.check.live_bucket import check_bucket
from kamalstream.edit.credentials import store
from kamalstream.inspect.adopted import App
from kamalstream.prove.s3 import ScratchS3

from .conftest import requires
from .test_scratch_s3 import put

DEPLOY = "config/deploy.yml"
KEY = "00112233445566778899aabbccddeeff"


@pytest.fixture
def adopted(
    deployable: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    for name in ("RAILS_MASTER_KEY", "LITESTREAM_ACCESS_KEY_ID", "LITESTREAM_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)

    def make(**answers: object) -> Path:
        app = deployable(tmp_path / "notes", **answers)
        (app / "config/credentials.yml.enc").unlink()
        (app / "config/master.key").write_text(KEY)
        return app

    return make


# --- The bucket ----------------------------------------------------------------------------------


@pytest.fixture
def at_s3(adopted: Callable[..., Path], s3: ScratchS3) -> Callable[..., Path]:
    def make(series: str = "0.5", bucket: str = "live-backups") -> Path:
        s3.create_bucket("live-backups")
        app = adopted(
            storage_provider="custom",
            endpoint=s3.endpoint,
            bucket=bucket,
            litestream_version=series,
        )
        store(app, s3.access_key, s3.secret_key)
        return app

    return make


@requires("weed", "litestream-0.5", "litestream-0.3")
@pytest.mark.parametrize("series", ["0.5", "0.3"])
def test_a_bucket_that_works_is_tried_and_left_as_it_was(
    at_s3: Callable[..., Path], s3: ScratchS3, series: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Neither stops the probe, as neither is on the server.
    monkeypatch.setenv("AWS_CA_BUNDLE", "/etc/ssl/nowhere.pem")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "somebody else's")
    assert list(check_bucket(App(at_s3(series)))) == []
    bucket = Bucket(s3.endpoint, "us-east-1", "live-backups", s3.access_key, s3.secret_key)
    assert not list(bucket._keys("notes/"))
    assert s3.secret_key not in repr(bucket)


@requires("weed", "litestream-0.5")
def test_removing_takes_what_is_below_the_prefix_and_nothing_else(s3: ScratchS3) -> None:
    s3.create_bucket("live-backups")
    bucket = Bucket(s3.endpoint, "us-east-1", "live-backups", s3.access_key, s3.secret_key)
    names = ["probe/a b+c", "probe/deep/er/ü", "probe-not", "other"]
    for name in names:
        put(f"{s3.filer}/buckets/live-backups/{quote(name)}", b"x")
    assert sorted(bucket._keys("probe/")) == names[:2]
    bucket.remove("probe/")
    assert sorted(bucket._keys("")) == ["other", "probe-not"]
    bucket.remove("")


@requires("weed")
def test_what_the_storage_only_says_it_deleted_is_noticed(
    s3: ScratchS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3.create_bucket("live-backups")
    bucket = Bucket(s3.endpoint, "us-east-1", "live-backups", s3.access_key, s3.secret_key)
    put(f"{s3.filer}/buckets/live-backups/kept/one", b"x")
    real = Bucket._request

    def deaf(self: Bucket, method: str, *arguments: Any) -> bytes:
        # As R2 was seen to: litestream issue 976.
        return b"<DeleteResult/>" if method == "POST" else real(self, method, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(Bucket, "_request", deaf)
        with pytest.raises(OSError, match="1 of 1 objects are still there: it said that they were"):
            bucket.remove("kept/")
    bucket.remove("kept/")
    assert not list(bucket._keys("kept/"))


@pytest.mark.parametrize(
    ("endpoint", "name", "path_style", "url"),
    [
        ("https://t3.storage.dev", "app", False, "https://app.t3.storage.dev/a/b?delete="),
        ("https://nyc3.example.com", "app", None, "https://nyc3.example.com/app/a/b?delete="),
        ("", "app", None, "https://app.s3.eu-west-1.amazonaws.com/a/b?delete="),
        ("", "my.app", None, "https://s3.eu-west-1.amazonaws.com/my.app/a/b?delete="),
        (
            "https://ref.supabase.co/storage/v1/s3",
            "app",
            True,
            "https://ref.supabase.co/storage/v1/s3/app/a/b?delete=",
        ),
    ],
)
def test_the_bucket_is_addressed_as_litestream_addresses_it(
    monkeypatch: pytest.MonkeyPatch, endpoint: str, name: str, path_style: bool | None, url: str
) -> None:
    # A fake: no provider can be asked from a test.
    asked: list[Request] = []

    def answer(request: Request, timeout: float) -> io.BytesIO:
        asked.append(request)
        return io.BytesIO(b"")

    monkeypatch.setattr("urllib.request.urlopen", answer)
    for content_md5 in (True, False):
        bucket = Bucket(endpoint, "eu-west-1", name, "KEY", "SECRET", path_style, content_md5)
        bucket._request("POST", "a/b", {"delete": ""}, b"<Delete/>")
    assert [request.full_url for request in asked] == [url, url]
    assert asked[0].get_header("Host") == url.split("/")[2]
    assert [request.has_header("Content-md5") for request in asked] == [True, False]


@requires("weed", "litestream-0.5")
@pytest.mark.parametrize(
    ("break_it", "said", "fix"),
    [
        ("keys", "SignatureDoesNotMatch", "kamalstream credentials"),
        ("bucket", "NoSuchBucket", "create it"),
        (
            "endpoint",
            "nothing answers at http://127.0.0.1:9: Connection refused",
            "Mend the endpoint",
        ),
        ("none", "the credentials have no litestream", "kamalstream credentials"),
    ],
)
def test_a_bucket_that_does_not_work_is_said_with_the_reason(
    at_s3: Callable[..., Path], s3: ScratchS3, break_it: str, said: str, fix: str
) -> None:
    app = at_s3(bucket="never-made" if break_it == "bucket" else "live-backups")
    config = app / "config/litestream.yml"
    if break_it == "keys":
        store(app, s3.access_key, "wrong")
    if break_it == "endpoint":
        config.write_text(config.read_text().replace(s3.endpoint, "http://127.0.0.1:9"))
    if break_it == "none":
        (app / "config/credentials.yml.enc").unlink()
    [finding] = [one for one in check_bucket(App(app)) if one.level == "error"]
    assert (finding.id, finding.file) == ("live.bucket", "config/litestream.yml")
    assert said in finding.message
    assert fix in finding.fix
    assert s3.secret_key not in str(finding)


def test_without_litestream_it_is_said_that_nothing_was_tried(
    adopted: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kamalstream.programs.litestream", lambda series: None)
    [finding] = check_bucket(App(adopted()))
    assert (finding.level, "not tried" in finding.message) == ("warning", True)


# --- The server ----------------------------------------------------------------------------------


@dataclass
class Server:
    """A real sshd on loopback. Docker, df and uname there are stand-ins that say what is set."""

    port: int
    programs: Path

    def says(self, program: str, script: str) -> None:
        (self.programs / program).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / program).chmod(0o755)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / name], check=True
        )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    Path("/run/sshd").mkdir(exist_ok=True)
    (tmp_path / "sshd_config").write_text(
        f"ListenAddress 127.0.0.1:{port}\nHostKey {tmp_path}/host\nStrictModes no\n"
        f"AuthorizedKeysFile {tmp_path}/user.pub\nPidFile none\nPermitRootLogin yes\n"
        f"SetEnv PATH={there}:/usr/bin:/bin\n"
    )
    # ssh takes no other home than the user's own, so its configuration comes by the command.
    (tmp_path / "ssh_config").write_text(
        f"Host *\n  IdentityFile {tmp_path}/user\n  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {tmp_path}/known_hosts\n"
    )
    ssh = here / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {tmp_path}/ssh_config "$@"\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{here}:{os.environ['PATH']}")
    sshd = subprocess.Popen(
        [str(shutil.which("sshd")), "-D", "-f", tmp_path / "sshd_config", "-E", tmp_path / "log"]
    )
    for _ in range(100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                break
        time.sleep(0.05)
    made = Server(port, there)
    made.says("docker", 'case "$1" in version) echo 28.0.1;; info) echo /;; esac')
    made.says("df", 'echo "Filesystem"; echo "/dev/vda 99999999 1 50000000 1% /"')
    made.says("uname", "echo x86_64")
    yield made
    sshd.terminate()
    sshd.wait()


@pytest.fixture
def on(
    adopted: Callable[..., Path], server: Server, request: pytest.FixtureRequest
) -> Callable[..., list[Finding]]:
    more = getattr(request, "param", {})
    app = adopted(server_ip="127.0.0.1", ssh_user=getpass.getuser(), **more)

    def ask() -> list[Finding]:
        deploy = app / DEPLOY
        if "port:" not in deploy.read_text():
            text = deploy.read_text()
            ssh = f"ssh:\n  user: {getpass.getuser()}\n" if "ssh:\n" not in text else ""
            at = text.index("ssh:\n") if not ssh else len(text)
            user = text[at:].split("\n")[1] + "\n" if not ssh else ""
            deploy.write_text(
                f"{text}{ssh}  port: {server.port}\n"
                if ssh
                else text.replace("ssh:\n" + user, f"ssh:\n{user}  port: {server.port}\n")
            )
        return list(live._ssh(App(app)))

    return ask


@requires("sshd")
def test_a_server_that_is_ready_leaves_nothing_to_say(on: Callable[..., list[Finding]]) -> None:
    assert on() == []


@requires("sshd")
@pytest.mark.parametrize(
    ("program", "script", "wanted", "level", "said"),
    [
        (
            "docker",
            "echo 'permission denied on docker.sock' >&2; exit 1",
            "live.docker",
            "error",
            "permission denied",
        ),
        (
            "docker",
            "echo 'sh: docker: not found' >&2; exit 127",
            "live.docker",
            "warning",
            "not found",
        ),
        (
            "df",
            "echo h; echo '/dev/vda 99999999 1 3000000 1% /'",
            "live.disk",
            "warning",
            "2.9 GiB",
        ),
        ("df", "echo h; echo '/dev/vda 99999999 1 500000 1% /'", "live.disk", "error", "0.5 GiB"),
        ("uname", "echo aarch64", "live.arch", "error", "built for amd64, the server is arm64"),
    ],
)
def test_a_server_that_is_not_ready_is_said(
    on: Callable[..., list[Finding]],
    server: Server,
    program: str,
    script: str,
    wanted: str,
    level: str,
    said: str,
) -> None:
    server.says(program, script)
    [finding] = on()
    assert finding.id == wanted
    assert said in finding.message
    if getpass.getuser() == "root" or wanted != "live.docker":
        assert finding.level == level


@requires("sshd")
@pytest.mark.parametrize("on", [{"uploads": True}], indirect=True)
def test_uploaded_files_that_have_no_room_are_said(
    on: Callable[..., list[Finding]], server: Server
) -> None:
    full = "No room for the next 8 files (90 bytes): 1 kB are free. They wait."
    fine = 'case "$*" in version*) echo 28.0.1;; info*) echo /;;'
    copies = f"ps*) echo abc;; *copy-uploads*) echo 1 of 9 files; echo {full!r} >&2; exit 1;; esac"
    server.says("docker", f"{fine} {copies}")
    [finding] = on()
    assert (finding.id, finding.level) == ("live.uploads", "warning")
    assert finding.message.endswith(f"1 of 9 files {full}")
    server.says("docker", f"{fine} ps*) echo abc;; esac")
    assert on() == []


@requires("sshd")
def test_a_sidecar_that_refuses_since_another_server_writes_is_said(
    on: Callable[..., list[Finding]], server: Server
) -> None:
    said = "Not replicating: another server has written to the backup of /rails/storage/x since"
    server.says(
        "docker",
        'case "$*" in version*) echo 28.0.1;; info*) echo /;; "logs --tail 7 notes-litestream") '
        f'echo "level=INFO"; echo "{said}" >&2;; esac',
    )
    [finding] = on()
    assert (finding.id, finding.level) == ("live.one-writer", "error")
    assert finding.message == said.removeprefix("Not replicating: ")
    assert "bin/restore --take-over" in finding.fix


@requires("sshd")
def test_a_server_that_does_not_let_in_is_said(
    on: Callable[..., list[Finding]], tmp_path: Path
) -> None:
    (tmp_path / "user.pub").unlink()
    [finding] = on()
    assert (finding.id, finding.level) == ("live.ssh", "error")
    assert "Permission denied" in finding.message
    assert "ssh-copy-id" in finding.fix


# --- The domain ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("points_to", "expected"),
    [
        ({"203.0.113.7"}, []),
        ({"203.0.113.7", "2001:db8::1"}, []),
        (set(), [("error", "has no address")]),
        ({"198.51.100.1"}, [("warning", "points to 198.51.100.1, not to the server 203.0.113.7")]),
    ],
)
def test_the_domain_must_point_to_the_server(
    adopted: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    points_to: set[str],
    expected: list[tuple[str, str]],
) -> None:
    # A fake: no name server of ours can be asked from a test.
    monkeypatch.setattr(
        live, "_addresses", lambda host: points_to if host == "notes.example.com" else {host}
    )
    found = list(live._dns(App(adopted())))
    assert [finding.level for finding in found] == [level for level, _ in expected]
    for finding, (_, said) in zip(found, expected, strict=True):
        assert said in finding.message
        assert "notes.example.com" in finding.message


def test_the_command_reports_what_is_found_beyond_the_machine(
    adopted: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = Finding("live.dns", "error", DEPLOY, 1, "has no address")
    monkeypatch.setattr(cli, "check_live", lambda app, on_step: [found])
    app = adopted()
    for arguments, code in ((["--live"], 1), ([], 0)):
        monkeypatch.setattr("sys.argv", ["kamalstream", "check", str(app), *arguments])
        with pytest.raises(SystemExit) as leaving:
            cli.main()
        out = capsys.readouterr().out
        assert ("[live.dns]" in out) == bool(code)
        if code:
            assert leaving.value.code == 1

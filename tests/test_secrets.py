"""The real `kamal secrets print` on the rendered .kamal/secrets: right values, or a loud stop."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from kamalstream import programs

from .conftest import requires
from .fixtures_template import render

pytestmark = requires("ruby", "kamal")

KEY = "0123456789abcdef0123456789abcdef"
NASTY = {
    "shell": "$HOME ${HOME} $(id) `id` $$ \\$x \\$(id) $ && ; | > *",
    "quotes": "it's \"quoted\" 'twice' \\ \\\\ \\n",
    "comment": "before # after #",
    "ruby and ERB": "#{1 + 1} <%= 2 %> %{x} %s {{ x }}",
    "YAML and JSON": "a: [b, {c}], & * ! | > @ `",
    "unicode": "ünï çødé 日本 🔑 e\u0301",
    "base64": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY+==",
    "number": "0012345678",
}

# As `bin/rails credentials:edit` saves: ActiveSupport's own encrypted file.
ENCRYPT = """
require "logger"
require "active_support"
require "active_support/encrypted_file"
ActiveSupport::EncryptedFile.new(
  content_path: ARGV[0], key_path: "none", env_key: "THE_KEY", raise_if_missing_key: true
).write($stdin.read)
"""


def encrypt(
    app: Path, content: str, file: str = "config/credentials.yml.enc", key: str = KEY
) -> None:
    (app / file).parent.mkdir(parents=True, exist_ok=True)
    ruby = programs.find("ruby")
    assert ruby
    subprocess.run(
        [ruby, "-e", ENCRYPT, str(app / file)],
        env={**os.environ, "THE_KEY": key, "LANG": "C.UTF-8"},
        input=content,
        text=True,
        check=True,
        capture_output=True,
    )


def credentials(access: str = "AKIA", secret: str = "s3cret") -> str:
    return yaml.safe_dump(
        {"litestream": {"access_key_id": access, "secret_access_key": secret}}, allow_unicode=True
    )


@pytest.fixture
def app(template: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    render(template, folder, skip_tasks=True)
    return folder


def kamal_command() -> list[str | Path]:
    kamal = programs.find("kamal")
    assert kamal
    return [kamal, "secrets", "print"]


def clean_env(env: dict[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("LITESTREAM")}
    return {**kept, "NO_COLOR": "1", "LANG": "C.UTF-8", **env}


def secrets(app: Path, **env: str) -> tuple[dict[str, str], str]:
    """Return what `kamal secrets print` prints, by name, and what it says where it stops."""
    result = subprocess.run(
        kamal_command(), cwd=app, env=clean_env(env), capture_output=True, text=True, check=False
    )
    said = re.sub(r"\x1b\[[0-9;]*m", "", result.stderr + result.stdout)
    if result.returncode:
        return {}, said
    return dict(re.findall(r"^([A-Z_]+)=(.*)$", result.stdout, re.M)), ""


def master_key(app: Path, key: str = KEY, file: str = "config/master.key") -> None:
    (app / file).parent.mkdir(parents=True, exist_ok=True)
    (app / file).write_text(key + "\n")


@pytest.mark.parametrize("nasty", NASTY.values(), ids=NASTY)
def test_a_secret_comes_out_of_the_credentials_as_it_went_in(app: Path, nasty: str) -> None:
    master_key(app)
    encrypt(app, credentials("AKIA", nasty))
    found, said = secrets(app)
    assert said == ""
    assert found["LITESTREAM_SECRET_ACCESS_KEY"] == nasty
    assert found["LITESTREAM_ACCESS_KEY_ID"] == "AKIA"
    assert found["RAILS_MASTER_KEY"] == KEY


def test_the_environment_goes_before_the_credentials(app: Path) -> None:
    nasty = "".join(NASTY.values())
    found, said = secrets(
        app,
        RAILS_MASTER_KEY=KEY,
        LITESTREAM_ACCESS_KEY_ID="FROM_ENV",
        LITESTREAM_SECRET_ACCESS_KEY=nasty,
    )
    assert said == ""
    assert found["LITESTREAM_ACCESS_KEY_ID"] == "FROM_ENV"
    assert found["LITESTREAM_SECRET_ACCESS_KEY"] == nasty


def test_the_environment_is_utf_8_whatever_the_locale_is(app: Path) -> None:
    name = "LITESTREAM_SECRET_ACCESS_KEY"
    for locale in ("C", "POSIX"):
        done = read_secrets(app, name, LC_ALL=locale, **{name: "schlüssel→"})
        assert done == (0, {name: "schlüssel→"}, "")
    code, _, said = read_secrets(app, name, LC_ALL="C", **{name: os.fsdecode(b"\xff")})
    assert (code, said) == (1, f"{name} in the environment is not UTF-8.\n")


def test_the_credentials_of_production_go_before_the_common_ones(app: Path) -> None:
    own = "fedcba9876543210fedcba9876543210"
    master_key(app)
    encrypt(app, credentials("COMMON"))
    master_key(app, own, "config/credentials/production.key")
    encrypt(app, credentials("PRODUCTION"), "config/credentials/production.yml.enc", own)
    found, said = secrets(app)
    assert said == ""
    assert (found["LITESTREAM_ACCESS_KEY_ID"], found["RAILS_MASTER_KEY"]) == ("PRODUCTION", own)


def read_secrets(app: Path, *names: str, **env: str) -> tuple[int, dict[str, str], str]:
    """Run the program alone, as `kamal secrets extract` and bin/restore do."""
    ruby = programs.find("ruby")
    assert ruby
    done = subprocess.run(
        [ruby, ".kamal/read_secrets.rb", *names],
        cwd=app,
        env=clean_env(env),
        capture_output=True,
        text=True,
        check=False,
    )
    words = shlex.split(done.stdout)
    return done.returncode, json.loads(words[0]) if words else {}, done.stderr


def test_names_are_looked_for_alone(app: Path) -> None:
    encrypt(app, credentials())
    # No key at all: what the environment has needs none.
    keys = {"LITESTREAM_ACCESS_KEY_ID": "A", "LITESTREAM_SECRET_ACCESS_KEY": "B"}
    assert read_secrets(app, *keys, **keys) == (0, keys, "")
    code, found, said = read_secrets(app, "RAILS_MASTER_KEY", **keys)
    assert (code, found) == (1, {})
    assert "config/master.key is missing" in said
    code, found, said = read_secrets(app, "OTHER", **keys)
    assert (code, found) == (1, {})
    assert "OTHER is not known here" in said


def test_a_destination_has_credentials_of_its_own(app: Path) -> None:
    own = "fedcba9876543210fedcba9876543210"
    master_key(app)
    encrypt(app, credentials("COMMON"))
    master_key(app, own, "config/credentials/staging.key")
    encrypt(app, credentials("STAGING"), "config/credentials/staging.yml.enc", own)
    for environment, expected in (("staging", "STAGING"), ("production", "COMMON"), ("", "COMMON")):
        code, found, said = read_secrets(app, RAILS_ENV=environment)
        assert (code, said) == (0, "")
        assert found["LITESTREAM_ACCESS_KEY_ID"] == expected
        assert found["RAILS_MASTER_KEY"] == (own if environment == "staging" else KEY)


def test_the_password_of_the_registry(template: Path, tmp_path: Path) -> None:
    render(
        template,
        tmp_path,
        {"registry_server": "ghcr.io", "registry_username": "jane"},
        skip_tasks=True,
    )
    master_key(tmp_path)
    encrypt(tmp_path, credentials() + "kamal:\n  registry_password: ghp_$x\n")
    found, said = secrets(tmp_path)
    assert said == ""
    assert found["KAMAL_REGISTRY_PASSWORD"] == "ghp_$x"


def rails_new(app: Path) -> None:
    encrypt(app, "secret_key_base: abc\n")
    master_key(app)


def no_key(app: Path) -> None:
    encrypt(app, credentials())


def no_file(app: Path) -> None:
    master_key(app)


def empty_entry(app: Path) -> None:
    master_key(app)
    encrypt(app, credentials(secret=" "))


def another_key(app: Path) -> None:
    master_key(app, "f" * 32)
    encrypt(app, credentials())


def not_a_key(app: Path) -> None:
    master_key(app, "what is this")
    encrypt(app, credentials())


def damaged(app: Path) -> None:
    master_key(app)
    (app / "config/credentials.yml.enc").write_text("bm90IGl0")


def tampered(app: Path) -> None:
    master_key(app)
    encrypt(app, credentials())
    path = app / "config/credentials.yml.enc"
    text = path.read_text()
    path.write_text(("B" if text[0] != "B" else "C") + text[1:])


def no_yaml(app: Path) -> None:
    master_key(app)
    encrypt(app, "litestream:\n  secret: [s3cret\n")


def text_only(app: Path) -> None:
    master_key(app)
    encrypt(app, "s3cret\n")


def no_mapping(app: Path) -> None:
    master_key(app)
    encrypt(app, "litestream: AKIA:s3cret\n")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (rails_new, ["has no litestream: access_key_id", "bin/rails credentials:edit"]),
        (no_key, ["config/master.key is missing", "RAILS_MASTER_KEY"]),
        (no_file, ["config/credentials.yml.enc is missing", "bin/rails credentials:edit"]),
        (empty_entry, ["has no litestream: secret_access_key"]),
        (another_key, ["cannot be decrypted", "config/master.key"]),
        (not_a_key, ["cannot be decrypted", "config/master.key"]),
        (damaged, ["cannot be decrypted"]),
        (tampered, ["cannot be decrypted"]),
        (no_yaml, ["config/credentials.yml.enc is not YAML", "bin/rails credentials:edit"]),
        (text_only, ["has no litestream: access_key_id"]),
        (no_mapping, ["has no litestream: access_key_id"]),
    ],
)
def test_kamal_stops_and_says_what_to_do(app: Path, spoil: Any, words: list[str]) -> None:
    spoil(app)
    found, said = secrets(app)
    assert found == {}
    assert all(word in said for word in words), said
    assert "s3cret" not in said
    assert "read_secrets.rb:" not in said, "a Ruby backtrace"


def test_a_key_in_the_environment_that_is_wrong_is_named(app: Path) -> None:
    no_key(app)
    assert "RAILS_MASTER_KEY is not its key" in secrets(app, RAILS_MASTER_KEY="0" * 32)[1]


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="needs /proc")
def test_no_secret_stands_in_an_argument_of_a_process(app: Path) -> None:
    # Longer than a moment, so that the sampling sees every process that is started.
    slow = app / "slow"
    slow.mkdir()
    (slow / "ruby").write_text(
        textwrap.dedent(
            f"""\
            #!/bin/sh
            {programs.find("ruby")} "$@"
            code=$?
            sleep 0.3
            exit $code
            """
        )
    )
    (slow / "ruby").chmod(0o755)
    secret = "NEVERINARGV"
    encoded = "".join(f"u{ord(letter):04x}" for letter in secret)
    master_key(app)
    encrypt(app, credentials("AKIA", secret))
    seen: set[str] = set()
    path = f"{slow}{os.pathsep}{os.environ['PATH']}"
    process = subprocess.Popen(
        kamal_command(), cwd=app, env=clean_env({"PATH": path}), stdout=subprocess.PIPE, text=True
    )
    while process.poll() is None:
        for entry in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(entry.read_bytes().decode(errors="replace"))
            except OSError:
                continue  # it has ended
        time.sleep(0.01)
    assert process.stdout
    assert secret in process.stdout.read()
    assert any("read_secrets.rb" in command for command in seen)
    assert not any(secret in command or encoded in command.replace("\\", "") for command in seen)

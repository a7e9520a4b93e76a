"""Puts the S3 keys into the Rails encrypted credentials, as `bin/rails credentials:edit` would.

Which file and which key: railties 6.1 to 8.1, Rails::Application::Configuration (credentials) and
ActiveSupport::EncryptedFile#key. No message, value or exception made here holds a key, a value or
anything else of the decrypted text.
"""

from __future__ import annotations

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from kamalstream import atomic
from kamalstream.edit import credentials_yaml, encrypted_file
from kamalstream.errors import BadInput
from kamalstream.regular_file import read_bytes

NAMES = ("access_key_id", "secret_access_key")
ENV_KEY = "RAILS_MASTER_KEY"
SHARED, SHARED_KEY = Path("config/credentials.yml.enc"), Path("config/master.key")
PRODUCTION_ENV = "production"
PRODUCTION = Path("config/credentials/production.yml.enc")
PRODUCTION_KEY = Path("config/credentials/production.key")
SETTINGS = (Path("config/application.rb"), Path("config/environments/production.rb"))
MOVED = re.compile(r"^[^#\n]*\bcredentials\.(content|key)_path\s*=", re.MULTILINE)

# What the generator of Rails starts a file with (railties: credentials.yml.tt).
NEW_FILE = """\
# Used as the base secret for all MessageVerifiers in Rails, including the one protecting cookies.
secret_key_base: {secret_key_base}

"""


class NoKeyError(BadInput):
    """There is no key; `has_file` tells whether there is a file that it would open."""

    def __init__(self, said: str, has_file: bool) -> None:
        """Say how to get one."""
        super().__init__(said)
        self.has_file = has_file


@dataclass(frozen=True)
class Stored:
    """Where the keys are now (`path`, relative to the app) and whether the file was written."""

    path: Path
    changed: bool


@dataclass(frozen=True)
class Presence:
    """Which of NAMES have a value under `litestream:`; `reason` says why that cannot be told."""

    found: frozenset[str]
    reason: str | None = None


def store(app: Path, access_key_id: str, secret_access_key: str) -> Stored:
    """Put both keys under `litestream:` in the credentials that Rails reads in production.

    Everything else in the decrypted text stays as it is, byte for byte. Keys that are already
    there leave the file alone. Where no credentials exist yet and a key does, the file is made
    with a fresh `secret_key_base`, as Rails makes it.

    Raises BadInput, with nothing written: a key or file that is missing, wrong or damaged, values
    with blanks in them, and YAML that cannot be changed with certainty.
    """
    keys = dict(zip(NAMES, (access_key_id, secret_access_key), strict=True))
    for name, value in keys.items():
        if not value or not value.isprintable() or " " in value:
            raise BadInput(f"{name} is empty or has blanks or control characters in it.")
    path = _path(app)
    key_name, key = _key(app, path)
    exists = (app / path).exists()
    text = (
        _read(app, path, key_name, key)
        if exists
        else NEW_FILE.format(secret_key_base=secrets.token_hex(64))
    )
    why = ""
    try:
        edited = credentials_yaml.put(text, keys)
    except credentials_yaml.UnsureError as unsure:
        why = str(unsure)
    if why:
        lines = "\n".join(["litestream:", *(f"  {name}: ..." for name in NAMES)])
        raise BadInput(f"{path}: {why}. Run `{_command(path)}` and put there:\n{lines}")
    if exists and edited == text:
        return Stored(path, changed=False)
    _write(app, path, encrypted_file.encrypt(edited.encode(), key))
    return Stored(path, changed=True)


def refuse_without_key(app: Path) -> None:
    """Raise BadInput where `store` would for the key alone; NoKeyError where there is none."""
    path = _path(app)
    key_name, key = _key(app, path)
    if (app / path).exists():
        _read(app, path, key_name, key)


def presence(app: Path) -> Presence:
    """Say which of the two keys the credentials hold, without their values; raises nothing."""
    try:
        path = _path(app)
        if not (app / path).exists():
            return Presence(frozenset())
        text = _read(app, path, *_key(app, path))
        return Presence(credentials_yaml.present(text, NAMES))
    except BadInput as error:
        return Presence(frozenset(), str(error))
    except credentials_yaml.UnsureError as unsure:
        return Presence(frozenset(), f"{path}: {unsure}.")


def keys(app: Path, environment: str = PRODUCTION_ENV) -> dict[str, str]:
    """Return those of the two keys that the credentials hold: name of NAMES → value.

    `environment` is the one whose own credentials are looked for first. For handing them to a
    program's environment, and nothing else. Raises BadInput, as `store`.
    """
    own = Path(f"config/credentials/{environment}.yml.enc")
    path = own if (app / own).exists() else _path(app)
    if not (app / path).exists():
        return {}
    why = ""
    try:
        text = _read(app, path, *_key(app, path, environment))
        return credentials_yaml.values(text, NAMES)
    except credentials_yaml.UnsureError as unsure:
        why = str(unsure)
    raise BadInput(f"{path}: {why}.")


def _path(app: Path) -> Path:
    """Return the credentials file of production, which need not exist."""
    for settings in SETTINGS:
        if (app / settings).is_file() and MOVED.search(
            _bytes(app, settings).decode("utf-8", errors="replace")
        ):
            raise BadInput(
                f"{settings} puts the credentials or their key somewhere else; "
                f"add the keys under `litestream:` with `bin/rails credentials:edit`."
            )
    if (app / PRODUCTION).exists():
        return PRODUCTION
    # Rails would make the shared file here, with a key that development does not read it by.
    if (app / PRODUCTION_KEY).exists() and not (app / SHARED).exists():
        return PRODUCTION
    return SHARED


def _key(app: Path, path: Path, environment: str = PRODUCTION_ENV) -> tuple[str, bytes]:
    """Return where the key was found and the key, in the order Rails looks."""
    own = Path(f"config/credentials/{environment}.key")
    key_path = own if (app / own).exists() else SHARED_KEY
    written = os.environ.get(ENV_KEY, "")
    # ActiveSupport's `presence`: a blank variable counts as none.
    from_env = bool(written.strip())
    name = ENV_KEY if from_env else str(key_path)
    if not from_env:
        if not (app / key_path).exists():
            raise NoKeyError(_without_key(app, path, key_path), (app / path).exists())
        written = _bytes(app, key_path).decode("latin-1").strip(" \t\r\n\f\v\0")
    key = encrypted_file.parse_key(written)
    if key is None:
        raise BadInput(f"{name} is not a Rails key: it must be 32 hexadecimal digits.")
    return name, key


def _without_key(app: Path, path: Path, key_path: Path) -> str:
    if not (app / path).exists():
        return (
            f"{path} and its key {key_path} are both missing in {app}. "
            f"Run `{_command(path)}`, which makes them, then try again."
        )
    return (
        f"No key for {path}: {key_path} is missing and {ENV_KEY} is not set.\n"
        f"Whoever runs `{_command(path)}` for this app has that key."
    )


def _command(path: Path) -> str:
    command = "bin/rails credentials:edit"
    return f"{command} --environment production" if path == PRODUCTION else command


def _read(app: Path, path: Path, key_name: str, key: bytes) -> str:
    content = _bytes(app, path)
    why = ""
    try:
        return encrypted_file.decrypt(content, key).decode("utf-8")
    except encrypted_file.UnreadableError as unreadable:
        why = str(unreadable)
    except UnicodeDecodeError:
        why = "holds text that is not UTF-8"
    # Raised here, so that the decoding error and the text in it do not hang on this one.
    raise BadInput(f"{path} {why} (key from {key_name}).")


def _bytes(app: Path, path: Path) -> bytes:
    try:
        return read_bytes(app / path)
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror}.") from error


def _write(app: Path, path: Path, content: bytes) -> None:
    target = atomic.place(app, str(path))
    try:
        with atomic.alone(app):
            atomic.sweep(target)
            atomic.replace(target, content)
    except OSError as error:
        raise BadInput(f"{path} cannot be written: {error.strerror}.") from error

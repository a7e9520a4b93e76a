"""Credentials: what we write Rails reads, what Rails writes we read, and nothing else changes."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kamalstream.edit import encrypted_file
from kamalstream.edit.credentials import Presence, Stored, presence, store
from kamalstream.errors import BadInput
from tests.conftest import requires

KEY = "00112233445566778899aabbccddeeff"
OTHER_KEY = "ffeeddccbbaa99887766554433221100"
ID, SECRET = "AKIAEXAMPLEID", "wJalr/XUtnFEMI+K7MDENG=="
HIDDEN = "hidden-in-the-file"
SHARED, PRODUCTION = "config/credentials.yml.enc", "config/credentials/production.yml.enc"

# YAML.unsafe_load: what ActiveSupport 7.0 and later do; 6.1 on Ruby 3.1 refuses aliases.
ORACLE = r"""
require "json"
require "base64"
require "active_support"
require "active_support/core_ext/hash/keys"
require "active_support/encrypted_configuration"
class ActiveSupport::EncryptedConfiguration
  private def deserialize(text) = YAML.unsafe_load(text).presence || {}
end
STDOUT.sync = true
STDIN.each_line do |line|
  ask = JSON.parse(line)
  file = ActiveSupport::EncryptedConfiguration.new(config_path: ask["path"],
    key_path: ask["key_path"], env_key: "NOT_SET", raise_if_missing_key: true)
  answer = begin
    if ask["text"]
      text = Base64.decode64(ask["text"]).force_encoding(ask["encoding"])
      file.send(:write, text)
      {}
    elsif ask["dump"]
      encryptor = ActiveSupport::MessageEncryptor.new([file.key].pack("H*"), cipher: "aes-128-gcm")
      IO.binwrite(ask["path"], encryptor.encrypt_and_sign(ask["dump"]))
      {}
    else
      {text: Base64.strict_encode64(file.read), encoding: file.read.encoding.to_s,
       config: ask["raw"] ? nil : file.config}
    end
  rescue => error
    {error: error.class.to_s}
  end
  puts JSON.generate(answer)
end
"""


class Rails:
    """ActiveSupport's own EncryptedConfiguration, in one Ruby process for all questions."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            ["ruby", "-e", ORACLE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, app: Path, path: str, key_path: str, **ask: object) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        ask |= {"path": str(app / path), "key_path": str(app / key_path)}
        self.process.stdin.write(json.dumps(ask) + "\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        assert "error" not in answer, answer
        return answer

    def write(self, app: Path, text: bytes, encoding: str = "BINARY", path: str = SHARED) -> None:
        encoded = base64.b64encode(text).decode()
        self.ask(app, path, "config/master.key", text=encoded, encoding=encoding)

    def read(self, app: Path, path: str = SHARED, key_path: str = "config/master.key") -> Any:
        """Return what an app sees: nested hashes with the symbols as strings."""
        return self.ask(app, path, key_path)["config"]

    def text(self, app: Path) -> bytes:
        answer = self.ask(app, SHARED, "config/master.key", raw=True)
        assert answer["encoding"] == "UTF-8"
        return base64.b64decode(answer["text"])


@pytest.fixture(scope="module")
def rails() -> Iterator[Rails]:
    oracle = Rails()
    yield oracle
    oracle.process.communicate()


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAILS_MASTER_KEY", raising=False)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    (tmp_path / "config" / "credentials").mkdir(parents=True)
    (tmp_path / "config/master.key").write_text(KEY)
    return tmp_path


@pytest.fixture(scope="module")
def shared_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("app")
    (path / "config").mkdir()
    (path / "config/master.key").write_text(KEY)
    return path


def encrypt(app: Path, text: str, path: str = SHARED, key: str = KEY) -> None:
    (app / path).write_bytes(encrypted_file.encrypt(text.encode(), bytes.fromhex(key)))


def decrypt(app: Path, path: str = SHARED, key: str = KEY) -> str:
    return encrypted_file.decrypt((app / path).read_bytes(), bytes.fromhex(key)).decode()


def refusal(app: Path) -> str:
    """Return the message `store` refuses with; nothing is written and nothing secret is said."""
    before = contents(app)
    with pytest.raises(BadInput) as caught:
        store(app, ID, SECRET)
    assert contents(app) == before
    key_in_use = os.environ.get("RAILS_MASTER_KEY", "").strip() or HIDDEN
    said = "".join(traceback.format_exception(caught.value)) + str(caught.value)
    error: BaseException | None = caught.value
    while error:
        said += repr(error) + repr(vars(error)) + repr(error.args)
        error = error.__cause__ or error.__context__
    for secret in (
        ID,
        SECRET,
        HIDDEN,
        KEY,
        OTHER_KEY,
        key_in_use,
    ):
        assert secret not in said
    return str(caught.value)


def contents(app: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in app.rglob("*") if path.is_file()}


# The text


BOTH = f'access_key_id: "{ID}"', f'secret_access_key: "{SECRET}"'
FLOW = "{" + ", ".join(BOTH) + "}"
INDENTED = f"  {BOTH[0]}\n  {BOTH[1]}\n"
BLOCK = f"litestream:\n{INDENTED}"
CRLF_BLOCK = BLOCK.replace("\n", "\r\n")

EDITS = {
    "an empty text": ("", BLOCK),
    "only comments": ("# smtp:\n#   user_name: x\n", f"# smtp:\n#   user_name: x\n{BLOCK}"),
    "an empty document": ("---\n", f"---\n{BLOCK}"),
    "other keys and comments": (
        "b: 1 # one\n\n# two\na: é😀\n# end\n",
        f"b: 1 # one\n\n# two\na: é😀\n# end\n{BLOCK}",
    ),
    "no final newline": ("a: 1", f"a: 1\n{BLOCK}"[:-1]),
    "CRLF": ("a: 1\r\nb: 2\r\n", f"a: 1\r\nb: 2\r\n{CRLF_BLOCK}"),
    "CRLF without a final newline": ("a: 1\r\nb: 2", f"a: 1\r\nb: 2\r\n{CRLF_BLOCK}"[:-2]),
    "document markers": ("---\na: 1\n...\n", f"---\na: 1\n{BLOCK}...\n"),
    "an indented document": (
        "  a: 1\n  b: 2\n",
        "  a: 1\n  b: 2\n" + "".join(f"  {line}\n" for line in BLOCK.splitlines()),
    ),
    "anchors, aliases, merges and Ruby tags elsewhere": (
        "d: &d\n  k: 1\np:\n  <<: *d\ns: !ruby/sym x\n",
        f"d: &d\n  k: 1\np:\n  <<: *d\ns: !ruby/sym x\n{BLOCK}",
    ),
    "a block scalar at the end": ("pem: |\n  AB\n  CD\n", f"pem: |\n  AB\n  CD\n{BLOCK}"),
    "the same names deeper": (
        "x:\n  litestream:\n    access_key_id: no\naccess_key_id: no\n",
        f"x:\n  litestream:\n    access_key_id: no\naccess_key_id: no\n{BLOCK}",
    ),
    "the same names in a text and a comment": (
        "x: |\n  litestream:\n    access_key_id: no\n# litestream:\n",
        f"x: |\n  litestream:\n    access_key_id: no\n# litestream:\n{BLOCK}",
    ),
    "other keys under litestream": (
        "litestream: # S3\n    # on\n    bucket: b\n\n# next\n",
        f"litestream: # S3\n    {BOTH[0]}\n    {BOTH[1]}\n    # on\n    bucket: b\n\n# next\n",
    ),
    "litestream last, without a final newline": (
        "litestream:\n  bucket: b",
        f"litestream:\n{INDENTED}  bucket: b",
    ),
    "an anchor on litestream": (
        "litestream: &l\n   bucket: b\n",
        f"litestream: &l\n   {BOTH[0]}\n   {BOTH[1]}\n   bucket: b\n",
    ),
    "old values": (
        "litestream:\n  secret_access_key: 'old' # s\n  bucket: b\n  access_key_id: OLD   # k\n",
        f'litestream:\n  secret_access_key: "{SECRET}" # s\n  bucket: b\n'
        f'  access_key_id: "{ID}"   # k\n',
    ),
    "one old value, one missing": (
        "litestream:\r\n  access_key_id: 123\r\n",
        f'litestream:\r\n  {BOTH[1]}\r\n  access_key_id: "{ID}"\r\n',
    ),
    "keys without values": (
        "litestream:\n  access_key_id:   # to do\n  secret_access_key:\n",
        f'litestream:\n  access_key_id: "{ID}"   # to do\n  secret_access_key: "{SECRET}"\n',
    ),
    "litestream without a value": (
        "litestream:\n  # bucket: b\nz: 1\n",
        f"{BLOCK}  # bucket: b\nz: 1\n",
    ),
    "litestream without a value and final newline": ("litestream:", BLOCK[:-1]),
    "litestream null": ("litestream: ~ # none\n", f"litestream: {FLOW} # none\n"),
    "quoted keys": (
        "'litestream':\n  \"access_key_id\": old\n",
        f'\'litestream\':\n  {BOTH[1]}\n  "access_key_id": "{ID}"\n',
    ),
    "a flow mapping": (
        "litestream: { bucket: b } # c\n",
        f"litestream: {{ {BOTH[0]}, {BOTH[1]}, bucket: b }} # c\n",
    ),
    "a flow mapping over lines": (
        "litestream: {\n  bucket: b,\n  access_key_id: old\n}\n",
        f'litestream: {{\n  {BOTH[1]}, bucket: b,\n  access_key_id: "{ID}"\n}}\n',
    ),
    "an empty flow mapping": ("litestream: {}\n", f"litestream: {FLOW}\n"),
    "a JSON document": ('{"a": 1}', f'{{litestream: {FLOW}, "a": 1}}'),
    "an empty JSON document": ("{}\n", f"{{litestream: {FLOW}}}\n"),
    "a value only Ruby takes for a number": (
        "litestream:\n  access_key_id: 12e5\n",
        f'litestream:\n  {BOTH[1]}\n  access_key_id: "{ID}"\n',
    ),
}


@requires("activesupport")
@pytest.mark.parametrize("name", EDITS)
def test_the_keys_are_added_and_every_other_byte_stays(app: Path, rails: Rails, name: str) -> None:
    before, after = EDITS[name]
    rails.write(app, before.encode())
    assert store(app, ID, SECRET) == Stored(Path(SHARED), changed=True)
    assert rails.text(app).decode() == after
    old = yaml.compose(before, yaml.SafeLoader)
    if old and old.value:
        assert set(rails.read(app)) >= {key.value for key, _ in old.value}
    below = rails.read(app)["litestream"]
    assert (below["access_key_id"], below["secret_access_key"]) == (ID, SECRET)
    assert presence(app) == Presence(frozenset({"access_key_id", "secret_access_key"}))

    written = contents(app)
    assert store(app, ID, SECRET) == Stored(Path(SHARED), changed=False)
    assert contents(app) == written


@pytest.mark.parametrize(
    "text",
    [
        f"litestream:\n  access_key_id: {ID}\n  secret_access_key: '{SECRET}'\n",
        f"litestream:\n  access_key_id: {ID}\n  secret_access_key: {SECRET}",
        f"litestream: {FLOW}\r\n",
        f"k: &k {ID}\nlitestream:\n  access_key_id: *k\n  secret_access_key: {SECRET}\n",
    ],
)
def test_keys_that_are_there_leave_the_file_alone(app: Path, text: str) -> None:
    encrypt(app, text)
    before = contents(app)
    assert store(app, ID, SECRET) == Stored(Path(SHARED), changed=False)
    assert contents(app) == before


@pytest.mark.parametrize(
    "plain", ["12e5", "12345e6", "1,234,567", "123456", "0x1F", "2024-01-01", ":abcdefgh", "yEs"]
)
def test_a_value_that_ruby_reads_as_no_string_is_quoted(app: Path, plain: str) -> None:
    encrypt(app, f"litestream:\n  access_key_id: {plain}\n  secret_access_key: {SECRET}\n")
    assert store(app, plain, SECRET).changed
    assert f'access_key_id: "{plain}"\n' in decrypt(app)


REFUSED = {
    "litestream as a symbol": ":litestream:\n  bucket: b\n",
    "a key as a symbol": "litestream:\n  :access_key_id: old\n",
    "litestream twice": "litestream:\n  a: 1\nlitestream:\n  b: 2\n",
    "a merge beside litestream": "d: &d\n  litestream: {a: 1}\n<<: *d\n",
    "a merge under litestream": "d: &d {access_key_id: a}\nlitestream:\n  <<: *d\n",
    "an alias as litestream": "d: &d\n  a: 1\nlitestream: *d\n",
    "an alias to litestream": "litestream: &l\n  a: 1\nother: *l\n",
    "an alias as a value": "d: &d old\nlitestream:\n  access_key_id: *d\n",
    "an alias to a value": "litestream:\n  access_key_id: &k old\nother: *k\n",
    "a text as litestream": "litestream: text\n",
    "a list as litestream": "litestream:\n  - a\n",
    "a block scalar as a value": "litestream:\n  access_key_id: |\n    old\n",
    "a mapping as a value": "litestream:\n  access_key_id:\n    a: b\n",
    "explicit keys": "? litestream\n: a: 1\n",
    "a flow key without a value": "litestream: {access_key_id}\n",
    "a kept block scalar without a final newline": "pem: |\n  AB",
    "a byte order mark": "\ufeffa: 1\n",
    "two documents": "a: 1\n---\nb: 2\n",
    "a list": "- a\n",
    "a text": "just a text\n",
    "broken YAML": f"a: [{HIDDEN}\nb: 1\n",
    "a tab": f"a:\n\t{HIDDEN}: 1\n",
    "a character YAML does not have": f"a: {HIDDEN}\x07\n",
    "an impossible escape": f'a: "{HIDDEN}\\U00110000"\n',
    "a mapping in itself": "a: &a\n  b: *a\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_edited_with_certainty_is_refused_with_the_lines_to_paste(
    app: Path, name: str
) -> None:
    encrypt(app, REFUSED[name].replace("old", HIDDEN))
    said = refusal(app)
    assert said.startswith("config/credentials.yml.enc: ")
    assert "Run `bin/rails credentials:edit` and put there:\nlitestream:\n  access_key_id:" in said


# Values and documents, by Rails


@requires("activesupport")
@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_value_comes_back_as_it_was(
    shared_app: Path, rails: Rails, data: st.DataObject
) -> None:
    odd = ["yes", "null", "~", "0123", "1_0", "1e3", ":a", "'", '"', "\\", "#{x}", "<%=x%>", "{a}"]
    character = st.characters(exclude_categories=("C", "Z"))
    value = st.sampled_from(odd) | st.text(character, min_size=1)
    keys = {"access_key_id": data.draw(value), "secret_access_key": data.draw(value)}
    encrypt(shared_app, data.draw(st.sampled_from(["", "litestream:\n  access_key_id: x\n", "{}"])))
    store(shared_app, keys["access_key_id"], keys["secret_access_key"])
    assert rails.read(shared_app) == {"litestream": keys}
    assert yaml.safe_load(rails.text(shared_app)) == {"litestream": keys}


NAME = st.text("abcdefg_", min_size=1, max_size=6) | st.sampled_from(
    ["litestream", "access_key_id"]
)
LEAF = st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["C"]))
TREE = st.recursive(LEAF, lambda t: st.lists(t, max_size=3) | st.dictionaries(NAME, t, max_size=3))
DOCUMENT = st.dictionaries(NAME.filter(lambda name: name != "litestream"), TREE, max_size=5)
BELOW = st.none() | st.dictionaries(NAME.filter(lambda n: n != "access_key_id"), TREE, max_size=3)


@requires("activesupport")
@settings(max_examples=120, suppress_health_check=list(HealthCheck))
@given(
    document=DOCUMENT,
    below=BELOW,
    flow=st.sampled_from([False, None, True]),
    quotes=st.sampled_from([None, "'", '"']),
    indent=st.integers(2, 6),
    line_break=st.sampled_from(["\n", "\r\n"]),
    comment=st.sampled_from(["", "# first\n", "\n\n---\n"]),
    ends=st.booleans(),
)
def test_every_document_keeps_its_bytes_and_its_meaning(
    shared_app: Path,
    rails: Rails,
    document: dict[str, Any],
    below: dict[str, Any] | None,
    flow: bool | None,
    quotes: str | None,
    indent: int,
    line_break: str,
    comment: str,
    ends: bool,
) -> None:
    whole = document if below is None else document | {"litestream": below}
    text = comment + yaml.dump(
        whole, default_flow_style=flow, default_style=quotes, indent=indent, allow_unicode=True
    )
    before = (text if ends else text.removesuffix("\n")).replace("\n", line_break).encode()
    rails.write(shared_app, before)
    meant = rails.read(shared_app)
    assert store(shared_app, ID, SECRET).changed
    after = rails.text(shared_app)
    assert is_insertion(before, after)
    keys = {"access_key_id": ID, "secret_access_key": SECRET}
    assert rails.read(shared_app) == meant | {"litestream": meant.get("litestream", {}) | keys}


def is_insertion(before: bytes, after: bytes) -> bool:
    """Whether `after` is `before` with one piece put in."""
    size = len(after) - len(before)
    return any(after[:at] + after[at + size :] == before for at in range(len(before) + 1))


@requires("activesupport")
@pytest.mark.parametrize("encoding", ["BINARY", "UTF-8", "US-ASCII"])
def test_texts_of_every_length_pass_between_rails_and_us(
    app: Path, rails: Rails, encoding: str
) -> None:
    for length in (0, 1, 116, 117, 121, 122, 123, 124, 254, 255, 256, 257, 65535, 65536, 1 << 24):
        text = b"#" * length
        rails.write(app, text, encoding)
        assert decrypt(app).encode() == text
        encrypt(app, text.decode())
        assert rails.text(app) == text


@requires("activesupport")
@pytest.mark.parametrize("dump", [{"a": HIDDEN}, [HIDDEN], 12])
def test_something_else_than_a_text_is_refused(app: Path, rails: Rails, dump: object) -> None:
    rails.ask(app, SHARED, "config/master.key", dump=dump)
    assert "holds something else than a text that Rails wrote" in refusal(app)


@requires("activesupport")
@pytest.mark.parametrize(("text", "encoding"), [("a: é\n", "ISO-8859-1"), ("a: あ\n", "Shift_JIS")])
def test_a_text_in_another_encoding_is_refused(
    app: Path, rails: Rails, text: str, encoding: str
) -> None:
    rails.write(app, f"{HIDDEN}: 1\n{text}".encode(encoding), encoding)
    assert "config/credentials.yml.enc holds something else" in refusal(app)
    encoded = f"{HIDDEN}: 1\n{text}".encode(encoding)
    (app / SHARED).write_bytes(encrypted_file.encrypt(encoded, bytes.fromhex(KEY)))
    assert "holds text that is not UTF-8" in refusal(app)


# Which file, which key


@requires("activesupport")
def test_the_credentials_of_production_come_first(app: Path, rails: Rails) -> None:
    (app / "config/credentials/production.key").write_text(f"{OTHER_KEY}\n")
    encrypt(app, "a: 1\n")
    encrypt(app, "a: 2\n", PRODUCTION, OTHER_KEY)
    assert store(app, ID, SECRET) == Stored(Path(PRODUCTION), changed=True)
    assert decrypt(app) == "a: 1\n"
    read = rails.read(app, PRODUCTION, "config/credentials/production.key")
    assert read == {"a": 2, "litestream": {"access_key_id": ID, "secret_access_key": SECRET}}


def test_the_master_key_opens_the_credentials_of_production_without_a_key_of_their_own(
    app: Path,
) -> None:
    encrypt(app, "a: 2\n", PRODUCTION)
    assert store(app, ID, SECRET).path == Path(PRODUCTION)


def test_the_key_in_the_environment_wins(app: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encrypt(app, "a: 1\n", key=OTHER_KEY)
    monkeypatch.setenv("RAILS_MASTER_KEY", OTHER_KEY)
    assert store(app, ID, SECRET).changed
    monkeypatch.setenv("RAILS_MASTER_KEY", " \n")
    assert "(key from config/master.key)" in refusal(app)


@pytest.mark.parametrize("broken", ["", KEY[:-1], KEY + "0", KEY[:-1] + "g", KEY + " 00", "é" * 32])
def test_a_malformed_key_is_named_and_not_shown(
    app: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    encrypt(app, "a: 1\n")
    (app / "config/master.key").write_text(broken)
    assert refusal(app).startswith("config/master.key is not a Rails key")
    (app / "config/master.key").write_text(KEY)
    if broken:
        monkeypatch.setenv("RAILS_MASTER_KEY", broken)
        assert refusal(app).startswith("RAILS_MASTER_KEY is not a Rails key")


def test_a_wrong_key_is_named(app: Path) -> None:
    encrypt(app, f"a: {HIDDEN}\n", key=OTHER_KEY)
    assert refusal(app) == (
        "config/credentials.yml.enc cannot be decrypted: the key is another one or the file is "
        "damaged (key from config/master.key)."
    )


def test_a_missing_key_is_said(app: Path) -> None:
    encrypt(app, "a: 1\n")
    (app / "config/master.key").unlink()
    said = refusal(app)
    assert "config/master.key is missing and RAILS_MASTER_KEY is not set" in said
    assert presence(app) == Presence(frozenset(), said)


def test_a_damaged_file_is_said(app: Path) -> None:
    encrypt(app, f"a: {HIDDEN}\n")
    good = (app / SHARED).read_bytes()
    data, iv, tag = good.split(b"--")
    short = base64.b64encode(base64.b64decode(tag)[:12])
    (app / SHARED).write_bytes(b"--".join((data, iv, short)))
    assert "is not the three Base64 parts" in refusal(app)
    for damaged in (
        b"",
        good[:-9],
        good[5:],
        b"<<<<<<< HEAD\n" + good,
        data,
        b"--".join((data, iv)),
        b"--".join((data, iv, tag, tag)),
        b"--".join((b"AAAA", iv, tag)),
        b"--".join((b"", iv, tag)),
    ):
        (app / SHARED).write_bytes(damaged)
        assert "damaged" in refusal(app)


def test_a_final_newline_after_the_encrypted_text_does_no_harm(app: Path) -> None:
    encrypt(app, "a: 1\n")
    (app / SHARED).write_bytes((app / SHARED).read_bytes() + b"\n")
    assert store(app, ID, SECRET).changed


@requires("activesupport")
def test_a_master_key_without_credentials_gets_them(app: Path, rails: Rails) -> None:
    assert presence(app) == Presence(frozenset())
    assert store(app, ID, SECRET) == Stored(Path(SHARED), changed=True)
    read = rails.read(app)
    assert read["litestream"] == {"access_key_id": ID, "secret_access_key": SECRET}
    assert len(read["secret_key_base"]) == 128
    assert stat.S_IMODE((app / SHARED).stat().st_mode) == 0o644


def test_a_production_key_without_credentials_gets_those_of_production(app: Path) -> None:
    (app / "config/credentials/production.key").write_text(OTHER_KEY)
    assert store(app, ID, SECRET) == Stored(Path(PRODUCTION), changed=True)
    assert "secret_key_base: " in decrypt(app, PRODUCTION, OTHER_KEY)


def test_neither_credentials_nor_key_is_a_refusal_with_the_command(app: Path) -> None:
    (app / "config/master.key").unlink()
    said = refusal(app)
    assert "config/credentials.yml.enc and its key config/master.key are both missing" in said
    assert "`bin/rails credentials:edit`" in said


def test_a_folder_that_is_no_app_gets_no_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAILS_MASTER_KEY", KEY)
    assert "cannot be written: No such file or directory" in refusal(tmp_path)


def test_a_folder_in_place_of_the_file_is_said(app: Path) -> None:
    (app / SHARED).mkdir()
    assert refusal(app) == "config/credentials.yml.enc cannot be read: Is a directory."


def test_credentials_that_the_app_keeps_elsewhere_are_not_guessed(app: Path) -> None:
    encrypt(app, "a: 1\n")
    settings = app / "config/application.rb"
    settings.write_text('# config.credentials.content_path = "x"\n')
    assert store(app, ID, SECRET).changed
    settings.write_text('    config.credentials.content_path = Rails.root.join("x.yml.enc")\n')
    assert refusal(app).startswith("config/application.rb puts the credentials")


@pytest.mark.parametrize("bad", ["", " ", "a b", "ab\n", "a\tb", "a\0", "\ud800"])
def test_a_value_that_no_provider_gives_out_is_refused(app: Path, bad: str) -> None:
    encrypt(app, "a: 1\n")
    before = contents(app)
    with pytest.raises(BadInput, match=r"^secret_access_key is empty or has blanks"):
        store(app, ID, bad)
    with pytest.raises(BadInput, match=r"^access_key_id is empty or has blanks"):
        store(app, bad, SECRET)
    assert contents(app) == before


# Presence and writing


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", set()),
        ("litestream:\n", set()),
        ("litestream: text\n", set()),
        ("litestream:\n  access_key_id:\n  secret_access_key: ''\n", set()),
        ("x:\n  litestream:\n    access_key_id: a\n", set()),
        ("litestream:\n  access_key_id: a\n", {"access_key_id"}),
        (":litestream:\n  :secret_access_key: a\n", {"secret_access_key"}),
        ("d: &d {access_key_id: 12}\nlitestream: *d\n", {"access_key_id"}),
        ("litestream: {}\nlitestream: {access_key_id: a}\n", {"access_key_id"}),
    ],
)
def test_presence_says_which_keys_have_a_value(app: Path, text: str, found: set[str]) -> None:
    encrypt(app, text)
    assert presence(app) == Presence(frozenset(found))


@pytest.mark.parametrize("text", ["- a\n", "a: [\n", "d: &d {}\nlitestream:\n  <<: *d\n"])
def test_presence_says_why_it_cannot_tell(app: Path, text: str) -> None:
    encrypt(app, text)
    told = presence(app)
    assert not told.found
    assert told.reason
    assert told.reason.startswith("config/credentials.yml.enc: ")


def test_the_file_is_replaced_whole_with_its_mode_and_its_link(app: Path) -> None:
    encrypt(app, "a: 1\n")
    (app / SHARED).chmod(0o640)
    (app / SHARED).rename(app / "kept.enc")
    (app / SHARED).symlink_to(app / "kept.enc")
    inode = (app / "kept.enc").stat().st_ino
    files = set(contents(app))
    assert store(app, ID, SECRET).changed
    assert (app / SHARED).is_symlink()
    assert (app / "kept.enc").stat().st_ino != inode
    assert stat.S_IMODE((app / "kept.enc").stat().st_mode) == 0o640
    assert set(contents(app)) == files

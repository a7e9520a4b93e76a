"""An owner's secrets stay as they are, and the bucket's keys come as the others do."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kamalstream import programs
from kamalstream.edit.edited import Edited
from kamalstream.edit.secrets_file import COMMENT, edit, names
from kamalstream.inspect.kamal.secrets_file import assignments

from .conftest import requires

FILE = ".kamal/secrets"
ID, SECRET = KEYS = ("LITESTREAM_ACCESS_KEY_ID", "LITESTREAM_SECRET_ACCESS_KEY")
SCRIPT = f"""\
LITESTREAM_KEYS=$(ruby .kamal/read_secrets.rb {ID} {SECRET})
{ID}=$(kamal secrets extract {ID} $LITESTREAM_KEYS)
{SECRET}=$(kamal secrets extract {SECRET} $LITESTREAM_KEYS)
"""
STAGING = SCRIPT.replace("$(ruby", "$(RAILS_ENV=staging ruby")
EXTRACTS = f"{ID}=$(kamal secrets extract {ID} $S)\n{SECRET}=$(kamal secrets extract {SECRET} $S)\n"


def edited(text: str | None, environment: str | None = None) -> Edited:
    result = edit(FILE, text, KEYS, environment)
    if not result.by_hand:
        assert edit(FILE, result.text, KEYS, environment) == result
    return result


# Where the keys come from


@pytest.mark.parametrize(
    "text",
    [
        "RAILS_MASTER_KEY=$(cat config/master.key)\n",
        "# KAMAL_REGISTRY_PASSWORD=$KAMAL_REGISTRY_PASSWORD\nA=$A\n",
        "A=$(bin/rails credentials:fetch x.y)\n",
        "S=$(kamal secrets fetch --adapter test --account a A)\nA=$(echo $S | jq -r .A)\n",
        "S='$(kamal secrets fetch A)'\nA=$(kamal secrets extract A $S)\n",
        "S=$(kamal secrets fetch -a test A)\nS=1\nA=$(kamal secrets extract A $S)\n",
        "RAILS_MASTER_KEY=$(cat config/credentials/production.key)\n",
    ],
)
def test_without_a_vault_they_come_from_the_environment_or_the_credentials(text: str) -> None:
    assert edited(text) == Edited(f"{text}\n{COMMENT}\n{SCRIPT}")


def test_a_file_that_is_not_there_is_written() -> None:
    result = edited(None)
    assert result.text.endswith(f"\n{COMMENT}\n{SCRIPT}")
    assert result.text.startswith("# ")
    assert edited("") == Edited(f"{COMMENT}\n{SCRIPT}")


def test_an_environment_with_credentials_of_its_own_is_named() -> None:
    text = "RAILS_MASTER_KEY=$(cat config/credentials/staging.key)\n"
    assert edited(text).text.endswith(STAGING)
    assert edited(text, "another").text.endswith(STAGING)
    assert edited("A=1\n", "staging").text.endswith(STAGING)
    assert edited("A=1\n", "production").text.endswith(f"\n{SCRIPT}")


@pytest.mark.parametrize(
    "line",
    [
        "RAILS_MASTER_KEY=$(cat config/credentials/$KAMAL_DESTINATION.key)",
        "A=$(bin/rails credentials:fetch a.b -e $KAMAL_DESTINATION)",
        "A=$(bin/rails credentials:show --environment ${KAMAL_DESTINATION} | head -1)",
    ],
)
def test_credentials_of_the_destination_are_named(line: str) -> None:
    said = edited(f"{line}\n").text
    assert re.search(r"\$\(RAILS_ENV=\$\{?KAMAL_DESTINATION\}? ruby \.kamal/", said)


def test_half_of_the_pair_is_fetched_like_the_other() -> None:
    vault = "S=$(kamal secrets fetch -a test A)\nA=$(kamal secrets extract A $S)\n"
    text = f"{vault}{SECRET}=$(op read op://backups/{SECRET})\n"
    assert edited(text).text == f"{text}\n{COMMENT}\n{ID}=$(op read op://backups/{ID})\n"


def test_half_of_a_pair_from_elsewhere_is_by_hand() -> None:
    text = f"{SECRET}=$(cat backups.key)\n"
    result = edited(text)
    assert result.text == text
    assert result.by_hand[0].lines == f"{ID}=…"


def test_names_that_are_set_stay_as_they_are() -> None:
    text = f'{ID}="x"\n export {SECRET} = $(op read x)\n'
    assert edited(text) == Edited(text)
    assert names(text) == {*KEYS}


def test_a_name_of_ours_that_is_taken_is_by_hand() -> None:
    result = edited("LITESTREAM_KEYS=s3cret\n")
    assert result.text == "LITESTREAM_KEYS=s3cret\n"
    assert result.by_hand[0].lines == SCRIPT.rstrip()
    assert "s3cret" not in str(result.by_hand[0])


@pytest.mark.parametrize(
    ("fetch", "extract", "named", "extracted"),
    [
        ("--adapter test --account a A B", "A $S", f" {ID} {SECRET}", "{} $S"),
        ("-a test --account=a --from X A", "A ${S}", f" {ID} {SECRET}", "{} ${{S}}"),
        ("A -a test", "A $S", f" {ID} {SECRET}", "{} $S"),
        ("-a test V/I/A V/I/B", "V/I/A $S", f" V/I/{ID} V/I/{SECRET}", "V/I/{} $S"),
        ("-a test V/I/A", "I/A $S", f" V/I/{ID} V/I/{SECRET}", "I/{} $S"),
        ("-a test V/I/A", "A $S", f" V/I/{ID} V/I/{SECRET}", "{} $S"),
        ("-a test 'My V/I/A'", 'A "$S"', f" 'My V/I/{ID}' 'My V/I/{SECRET}'", '{} "$S"'),
        ("-a test --from My/Item", "A $S", "", "{} $S"),
        ("--adapter aws_secrets_manager prod/app", "A $S", "", "{} $S"),
    ],
)
def test_a_vault_gives_them_with_the_others(
    fetch: str, extract: str, named: str, extracted: str
) -> None:
    last = fetch if not fetch.startswith("A ") else "A"
    rest = fetch[len(last) :]
    text = (
        f"# Vault\nS=$(kamal secrets fetch {fetch}) # why\n\n"
        f"A=$(kamal secrets extract {extract}) # one\nOTHER=$OTHER\n"
    )
    lines = "".join(f"{one}=$(kamal secrets extract {extracted.format(one)})\n" for one in KEYS)
    assert edited(text) == Edited(
        f"# Vault\nS=$(kamal secrets fetch {last}{named}{rest}) # why\n\n"
        f"A=$(kamal secrets extract {extract}) # one\n{lines}OTHER=$OTHER\n"
    )


def test_a_fetch_over_several_lines_and_an_export_are_followed() -> None:
    text = (
        '\ufeffS="$(kamal secrets fetch -a test --account a \\\r\n  A \\\r\n  B)"\r\n'
        'export A="$(kamal secrets extract A $S)"\r\nexport B="$(kamal secrets extract B $S)"'
    )
    lines = "".join(f'\r\nexport {one}="$(kamal secrets extract {one} $S)"' for one in KEYS)
    assert edited(text) == Edited(text.replace("  B)", f"  B {ID} {SECRET})") + lines)


def test_of_several_vaults_the_one_with_the_apps_own_key_is_taken() -> None:
    text = (
        "R=$(kamal secrets fetch -a test A B)\nA=$(kamal secrets extract A $R)\n"
        "B=$(kamal secrets extract B $R)\n"
        "S=$(kamal secrets fetch -a test RAILS_MASTER_KEY)\n"
        "RAILS_MASTER_KEY=$(kamal secrets extract RAILS_MASTER_KEY $S)\n"
    )
    assert edited(text) == Edited(
        text.replace("RAILS_MASTER_KEY)\nR", f"RAILS_MASTER_KEY {ID} {SECRET})\nR") + EXTRACTS
    )


@pytest.mark.parametrize(
    ("fetch", "extract"),
    [
        ("-a test $NAMES", "A $S"),
        ("-a test A/password B/password", "A/password $S"),
        ("-a test --unknown A", "A $S"),
        ("-a gcp p/RAILS_KEY/latest", "A $S"),
        ("-a test A || true", "A $S"),
        ('-a test "$(cat names)"', "A $S"),
    ],
)
def test_a_vault_that_is_not_understood_is_by_hand(fetch: str, extract: str) -> None:
    text = f"S=$(kamal secrets fetch {fetch})\nA=$(kamal secrets extract {extract})\n"
    result = edited(text)
    assert result.text == text
    assert result.by_hand[0].lines == EXTRACTS.rstrip()


# Reading

DOTENV = r"""# first
A=1
  export B = two words  # why
C: yaml
E='#=3' # single
F="it\"s
over # lines
G=no" # end
H=$(echo "a # b")
H2=$(echo "$(echo x)")
I="q" trailing
J=
K='it
is'

L=x=y
export M
M.N=dotted
lower=1
 # X=1
no assignment
O="a" # "b"
P =
"on the next line"
"""


def test_what_dotenv_reads() -> None:
    found = [(one.name, one.value, one.line, one.end_line) for one in assignments(DOTENV)]
    assert found == [
        ("A", "1", 2, 2),
        ("B", "two words", 3, 3),
        ("C", "yaml", 4, 4),
        ("E", "'#=3'", 5, 5),
        ("F", '"it\\"s\nover # lines\nG=no"', 6, 8),
        ("H", '$(echo "a', 9, 9),
        ("H2", '$(echo "$(echo x)")', 10, 10),
        ("I", '"q" trailing', 11, 11),
        ("J", "", 12, 12),
        ("K", "'it\nis'", 13, 14),
        ("L", "x=y", 16, 16),
        ("M.N", "dotted", 18, 18),
        ("lower", "1", 19, 19),
        ("O", '"a"', 22, 22),
        ("P", '"on the next line"', 23, 24),
    ]
    crlf = assignments("\ufeff" + DOTENV.replace("\n", "\r\n"))
    assert [(one.name, one.value, one.line, one.end_line) for one in crlf] == found


def test_what_is_written_out_is_told_from_what_is_fetched() -> None:
    text = 'A=x\nB=$x\nC=\'$x\'\nD=\nE=""\nF="$(x)"\n'
    literal = [one.name for one in assignments(text) if one.is_literal]
    assert literal == ["A", "C"]


# What Kamal makes of it

PLAIN = st.sampled_from(
    [
        *("# A comment", "", "A=one", "B='two # $A' # why", 'C="$A-x"', "export D=four"),
        *("E=$(echo five)", "F: six", "G=", "H='over\nlines'", 'I="more\n# lines\n"', "J=a b # c"),
        "K=$(echo $(echo nested))",
        "RAILS_MASTER_KEY=$(cat config/credentials/staging.key)",
        'L=$(kamal secrets extract x \'{"x":"y"}\')',
    ]
)
VAULTS = st.sampled_from(
    [
        "",
        "V=$(kamal secrets fetch --adapter test --account me --from X RAILS_KEY PASS) # why\n"
        "RAILS_KEY=$(kamal secrets extract RAILS_KEY $V)\nPASS=$(kamal secrets extract PASS ${V})",
        'V="$(kamal secrets fetch -a test --account me \\\n  one/PASS \\\n  one/RAILS_KEY)"\n'
        "export PASS=$(kamal secrets extract PASS $V)",
        "V=$(kamal secrets fetch PASS -a test --account me)\n# x\n"
        "PASS=$(kamal secrets extract PASS $V)",
    ]
)


@st.composite
def secrets_files(draw: st.DrawFn) -> str:
    lines = [*draw(st.lists(PLAIN)), draw(VAULTS), *draw(st.lists(PLAIN))]
    text = "\n".join(lines) + draw(st.sampled_from(["\n", "", "\n\n"]))
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return "\ufeff" * draw(st.booleans()) + text


@settings(max_examples=150)
@given(secrets_files())
def test_what_was_there_is_there_and_the_keys_are_added(text: str) -> None:
    result = edited(text)
    assert result.by_hand == ()
    before = [(one.name, one.value) for one in assignments(text)]
    after = [(one.name, one.value) for one in assignments(result.text)]
    ours = {*KEYS, "LITESTREAM_KEYS"}
    assert [name for name, _ in after if name not in ours] == [name for name, _ in before]
    assert {name for name, _ in after} >= {*KEYS}
    theirs = [one for one in after if one[0] not in ours]
    changed = [one[0] for one, two in zip(before, theirs, strict=True) if one != two]
    assert changed in ([], ["V"])
    rest = text.replace("\r", "").split("\n")
    for line in result.text.replace("\r", "").split("\n"):
        was = line.replace(f" {ID} {SECRET}", "").replace(f" one/{ID} one/{SECRET}", "")
        if rest and was == rest[0]:
            rest.pop(0)
    assert not rest
    assert ("\r\n" in text) == ("\r\n" in result.text) or "\n" not in text
    if "\r\n" in text:
        assert result.text.count("\n") == result.text.count("\r\n")


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an app whose ruby prints what .kamal/read_secrets.rb would."""
    folder = tmp_path_factory.mktemp("app")
    for name in ("bin", "config/credentials", ".kamal"):
        (folder / name).mkdir(parents=True)
    (folder / "config/credentials/staging.key").write_text("0123")
    (folder / "config/deploy.yml").write_text(
        "service: a\nimage: a\nservers: [192.0.2.1]\nregistry: {server: 'localhost:5555'}\n"
        "builder: {arch: amd64}\n"
    )
    # As Ruby's shellescape does.
    printed = re.sub(r"([^\w.,:/@-])", r"\\\1", json.dumps({ID: "AKIA", SECRET: "s3cret"}))
    ruby = folder / "bin/ruby"
    ruby.write_text(f"#!/bin/sh\ncat <<'EOF'\n{printed}\nEOF\n")
    ruby.chmod(0o755)
    return folder


def printed(app: Path, text: str) -> str:
    """Return what the real Kamal prints for this file of secrets."""
    (app / FILE).write_bytes(text.encode())
    kamal = programs.find("kamal")
    assert kamal
    path = f"{app / 'bin'}{os.pathsep}{os.environ['PATH']}"
    result = subprocess.run(
        [kamal, "secrets", "print"],
        cwd=app,
        env={**os.environ, "PATH": path, "LANG": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


FULL = """\
# All of it
A=one
B='two # $A' # why
C="$A-x"
export D=four
H='over
lines'
{}
K=$(echo $(echo nested))
RAILS_MASTER_KEY=$(cat config/credentials/staging.key)
J=a b # c
"""


@requires("kamal")
@pytest.mark.parametrize(
    ("vault", "end"),
    [
        ("", "\n"),
        (
            "V=$(kamal secrets fetch --adapter test --account me --from X PASS)\n"
            "PASS=$(kamal secrets extract PASS $V)",
            "\r\n",
        ),
        (
            'V="$(kamal secrets fetch -a test --account me \\\n  one/PASS)"\n'
            "export PASS=$(kamal secrets extract PASS $V)",
            "\n",
        ),
    ],
    ids=["script", "vault", "several lines"],
)
def test_kamal_gives_the_owners_values_as_before_and_the_keys(
    app: Path, vault: str, end: str
) -> None:
    text = FULL.format(vault).replace("\n", end)
    before = printed(app, text).splitlines()
    after = printed(app, edited(text).text).splitlines()
    assert [line for line in before if not line.startswith("V=")] == [
        line for line in after if not line.startswith(("V=", "LITESTREAM_"))
    ]
    keys = [line for line in after if line.startswith(KEYS)]
    wanted = [f"{ID}=AKIA", f"{SECRET}=s3cret"]
    if vault:
        path = "X/" if "--from" in vault else "one/"
        wanted = [f"{one}={(path + one)[::-1]}" for one in KEYS]
    assert keys == wanted


@requires("kamal")
def test_kamal_reads_the_assignments_that_we_read(app: Path) -> None:
    text = DOTENV.replace("export M\n", "").replace('H=$(echo "a # b")\n', "")
    lines = printed(app, text).splitlines()
    found = {one.name: one for one in assignments(text)}
    assert [name for name in found if any(line.startswith(f"{name}=") for line in lines)] == [
        *found
    ]
    assert sum(value.value.count("\n") + 1 for value in found.values()) == len(lines)

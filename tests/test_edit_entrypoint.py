"""An owner's entrypoint calls our program first, and is otherwise as it was."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kamalstream.edit.edited import Edited
from kamalstream.edit.entrypoint import COMMENT, edit, second_litestream

from .conftest import APPS

FILE = "bin/docker-entrypoint"
CALL = '/rails/bin/boot-restore "$@" || exit 1'
RAILS_8 = (APPS / "rails_8_1" / FILE).read_text()


def edited(text: str, call: str = CALL, last: str | None = None) -> Edited:
    return edit(FILE, text, call, last)


def run(script: str) -> list[str]:
    """Return what a script says, and its exit code unless that is 0."""
    shell = script.split("\n", 1)[0].removeprefix("#!").split()
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        command = [*shell, file.name, "bin/boot"]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=20)
    return [*result.stdout.splitlines(), *([str(result.returncode)] if result.returncode else [])]


def test_the_entrypoint_of_rails_calls_first() -> None:
    assert edited(RAILS_8) == Edited(
        RAILS_8.replace("#!/bin/bash -e\n", f"#!/bin/bash -e\n\n{COMMENT}\n{CALL}\n")
    )


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("#!/bin/sh\nset -e\nexec", "#!/bin/sh\nset -e\n\n{}\n\nexec"),
        (
            "#!/bin/sh\n\n# One\n# two\n\nset -e\n\nexec",
            "#!/bin/sh\n\n# One\n# two\n\nset -e\n\n{}\n\nexec",
        ),
        ("#!/bin/sh\n# License\n\n# Next\nexec", "#!/bin/sh\n# License\n\n{}\n\n# Next\nexec"),
        ("#!/bin/sh\n# Next\nexec", "#!/bin/sh\n\n{}\n\n# Next\nexec"),
        (
            "#!/usr/bin/env bash\nset -euo pipefail # why\nshopt -s nullglob\nif a; then",
            "#!/usr/bin/env bash\nset -euo pipefail # why\nshopt -s nullglob\n\n{}\n\nif a; then",
        ),
        ("#!/bin/bash\nset -- a b\nexec", "#!/bin/bash\n\n{}\n\nset -- a b\nexec"),
        ("#!/bin/bash\nset -e; cd /rails\nexec", "#!/bin/bash\n\n{}\n\nset -e; cd /rails\nexec"),
        (
            "#!/bin/bash\nexec > >(tee x)\nset -e\n",
            "#!/bin/bash\n\n{}\n\nexec > >(tee x)\nset -e\n",
        ),
        ("#!/bin/bash\nset -e \\\n  -u\n", "#!/bin/bash\n\n{}\n\nset -e \\\n  -u\n"),
        ("#!/bin/sh", "#!/bin/sh\n\n{}"),
        ("#!/bin/sh\r\nexec\r\n", "#!/bin/sh\r\n\r\n{}\r\n\r\nexec\r\n"),
    ],
)
def test_the_call_comes_after_the_options_of_the_shell_and_before_all_else(
    before: str, after: str
) -> None:
    end = "\r\n" if "\r\n" in before else "\n"
    assert edited(before) == Edited(after.format(f"{COMMENT}{end}{CALL}"))


@pytest.mark.parametrize(
    "shebang",
    [
        *("#!/bin/sh", "#!/bin/bash -e", "#! /bin/dash", "#!/usr/bin/env bash", "#!/bin/ash -eu"),
        *("#!/usr/bin/env -S bash -eo pipefail", "#!/bin/ksh", "#!/usr/bin/zsh"),
    ],
)
def test_every_shell_of_this_kind_will_do(shebang: str) -> None:
    assert edited(f"{shebang}\nexec\n").by_hand == ()


@pytest.mark.parametrize(
    "text",
    [
        *("", "exec\n", "#!/usr/bin/env ruby\nexec\n", "#!/usr/bin/fish\n", "\n#!/bin/sh\n"),
        *("\ufeff#!/bin/sh\n", "#!/usr/bin/with-contenv sh\n", "#!/usr/bin/env python3\n"),
    ],
)
def test_what_is_no_shell_script_is_left_alone(text: str) -> None:
    result = edited(text)
    assert result.text == text
    (by_hand,) = result.by_hand
    assert (by_hand.file, by_hand.line, by_hand.lines) == (FILE, 0, CALL)


@pytest.mark.parametrize(
    ("command", "word"),
    [
        ('exec gosu rails "$@"', "gosu"),
        ('exec /sbin/su-exec app "$@"', "su-exec"),
        ('set -- gosu rails "$@"', "gosu"),
        ("if x; then exec su app -c run; fi", "su"),
        ("exec sudo -E -u app run", "sudo"),
        ("setpriv --reuid 1000 run", "setpriv"),
        ("exec 'gosu' x\nrunuser -u app -- run", "runuser"),
    ],
)
def test_a_script_that_changes_the_user_is_left_alone(command: str, word: str) -> None:
    text = f"#!/bin/sh\nset -e\n\n{command}\n"
    result = edited(text)
    assert result.text == text
    (by_hand,) = result.by_hand
    assert word in by_hand.why
    assert by_hand.line in (4, 5)


@pytest.mark.parametrize(
    "command",
    [
        "echo 'run it with gosu or su -'",
        "# exec gosu app",
        "cat <<EOF\nexec gosu app\nlitestream restore x\nEOF",
        "cat <<-'E'\n\tlitestream replicate\n\tE",
        "echo $# ${#x} ${x#su } # su app",
        "cp config/litestream.yml /etc; ./bin/restore",
        "sudo chown -R rails storage",
        "echo results | su_count",
    ],
)
def test_what_only_looks_like_it_is_none(command: str) -> None:
    assert edited(f"#!/bin/bash\n{command}\n").by_hand == ()


@pytest.mark.parametrize(
    ("command", "instead"),
    [
        ("litestream restore -if-replica-exists storage/a.sqlite3", "-if-db-not-exists"),
        ('if [ 1 ]; then\n  "/usr/local/bin/litestream" restore x; fi', "-if-db-not-exists"),
        ("bundle exec rails litestream:restore", "-if-db-not-exists"),
        ("litestream \\\n  restore x", "-if-db-not-exists"),
        ("exec litestream replicate -exec 'bin/rails s'", "exec bin/rails s"),
        ('exec litestream replicate -config x -exec "$*"', 'exec "$@"'),
        ('litestream replicate -exec "${@}" -config x', 'exec "$@"'),
        ("exec env -u X litestream replicate \\\n  -exec bin/boot", "exec bin/boot"),
        ("sh -c 'litestream replicate -config x' &", ""),
        ("bin/rails litestream:replicate &", ""),
    ],
)
def test_a_second_litestream_is_named_with_what_takes_its_place(command: str, instead: str) -> None:
    text = edited(f"#!/bin/sh\nset -e\n\n{command}\n").text
    assert CALL in text, "and ours comes before it"
    (by_hand,) = second_litestream(FILE, text)
    assert "litestream" in text.splitlines()[by_hand.line - 1]
    assert by_hand.lines == instead


def test_restoring_what_is_not_there_does_no_harm() -> None:
    text = "#!/bin/sh\nlitestream restore -if-db-not-exists x\n"
    assert [*second_litestream(FILE, edited(text).text)] == []


def test_a_call_in_the_owners_own_way_stays() -> None:
    text = '#!/bin/sh\nif ! ./bin/boot-restore "$@"; then exit 3; fi\n'
    assert edited(text) == Edited(text)
    assert edited(text, last=CALL) == Edited(text)
    result = edited(text, CALL.replace("rails", "app"), CALL)
    assert (result.text, result.by_hand[0].line) == (text, 2)


def test_an_update_moves_its_own_call() -> None:
    text = edited(RAILS_8).text
    call = CALL.replace("/rails", "/app")
    assert edited(text, call, CALL) == Edited(text.replace(CALL, call))
    assert edited(text, call, CALL).text.count("boot-restore") == 1


def test_a_call_that_its_owner_took_out_stays_out() -> None:
    assert edited(RAILS_8, last=CALL) == Edited(RAILS_8)


def test_a_commented_call_is_none() -> None:
    text = f"#!/bin/sh\n# {CALL}\n\nexec\n"
    assert edited(text).text == f"#!/bin/sh\n# {CALL}\n\n{COMMENT}\n{CALL}\n\nexec\n"


SHELLS = ["/bin/sh", *(shell for shell in ("/bin/bash", "/bin/dash") if Path(shell).exists())]
SHEBANGS = st.sampled_from([f"#!{shell}{flag}" for shell in SHELLS for flag in ("", " -e")])
OPTIONS = st.sampled_from(["set -e", "set -eu", "  set +x", "# A comment", "", "set -u # why"])
LINES = st.sampled_from(
    [
        "echo one",
        "# A comment",
        "",
        'if [ "$1" = bin/boot ]; then\n  echo boot\nfi',
        "say() {\n  echo said\n}\nsay",
        "cat <<EOF\n# no comment\n'it is $1\nEOF",
        "cat <<-'END' | cat\n\tset -e\n\tEND",
        "echo a \\\n  b",
        'x="a # b\nset -e"\necho "$x"',
        "echo 'a\n#!/bin/sh\n'",
        "for i in 1 2; do\n  echo $i\ndone",
        "case $1 in\n  bin/*) echo case ;;\nesac",
        "( cd / && pwd )",
        "echo $((1 + 2)) ${1#bin/} $#",
        'y=$(echo "in $(echo it)")\necho "$y"',
        "trap 'echo trapped' EXIT",
        'set -- "$@"',
        'exec echo "$@"',
    ]
)


@st.composite
def scripts(draw: st.DrawFn) -> str:
    lines = [draw(SHEBANGS), *draw(st.lists(OPTIONS, max_size=4)), *draw(st.lists(LINES))]
    return "\n".join(lines) + draw(st.sampled_from(["\n", "", "\n\n"]))


@settings(max_examples=300)
@given(scripts())
def test_what_was_there_is_there_and_nothing_comes_before_the_call(text: str) -> None:
    result = edited(text)
    assert result.by_hand == ()
    assert edited(result.text) == result
    lines, before = result.text.split("\n"), text.split("\n")
    at = lines.index(CALL)
    assert lines[at - 2 : at] == ["", COMMENT]
    kept = [*lines[: at - 2], *lines[at + 1 :]]
    above = [*lines[: at - 1], *lines[at + 1 :]]
    below = [*lines[: at - 2], *lines[at + 2 :]]
    both = [*lines[: at - 1], *lines[at + 2 :]]
    assert before in (kept, above, below, both)
    for line in lines[:at]:
        assert not line or line.strip().startswith(("#", "set -", "set +"))


@settings(max_examples=40)
@given(scripts())
def test_the_shell_takes_it_and_it_says_what_it_said_before(text: str) -> None:
    said = run(text)
    assert run(edited(text, "echo restored").text) == ["restored", *said]
    assert run(edited(text, "false || exit 1").text) == ["1"]


@pytest.mark.parametrize("shell", ["bash", "sh", "dash"])
def test_the_shells_can_read_the_line(shell: str, tmp_path: Path) -> None:
    if not shutil.which(shell):
        pytest.skip(f"needs {shell}, which this machine does not have")
    script = tmp_path / "script"
    script.write_text(edited(f"#!/bin/{shell}\nset -e\nexec x\n").text)
    assert subprocess.run([shell, "-n", script], check=False).returncode == 0

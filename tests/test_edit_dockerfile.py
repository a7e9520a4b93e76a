"""An owner's Dockerfile gets the lines that backups need, and keeps every one of its own."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kamalstream import programs
from kamalstream.edit.dockerfile import (
    COPY_COMMENT,
    ENTRYPOINT_COMMENT,
    edit,
    second_litestream,
)
from kamalstream.edit.edited import Edited
from kamalstream.edit.entrypoint import entrypoint_script
from kamalstream.inspect.image.built import Build, Stages, read_image
from kamalstream.inspect.image.dockerfile_text import parse
from kamalstream.inspect.image.folder_owner import folder_owner

from .conftest import APPS, requires

PIN = "0.5.99"
PROGRAM = "/usr/local/bin/litestream"
COPY = f"COPY --from=docker.io/litestream/litestream:{PIN} {PROGRAM} {PROGRAM}"
LAST = COPY.replace(PIN, "0.5.1")
BOOT = "/rails/bin/boot-restore"
STORAGE = "/rails/storage"
RUN = f"RUN mkdir -p {STORAGE} && chown 1000:1000 {STORAGE}"
ENTRYPOINT = f'ENTRYPOINT ["{BOOT}", "exec"]'
APP = {"app/models", "bin/boot", "bin/docker-entrypoint", "bin/rails", "storage/.keep"}

RAILS_8 = (APPS / "rails_8_1" / "Dockerfile").read_text()
PLAIN = """\
FROM ruby:3.4-slim
WORKDIR /rails
COPY . .
CMD ["bin/rails", "server"]
"""


def app_with(*files: str) -> Callable[[str], bool]:
    return lambda path: any(f"{one}/".startswith(f"{path}/") for one in files)


def edited(text: str, **more: Any) -> Edited:
    said: dict[str, Any] = {
        "copy_line": COPY,
        "last_copy_line": None,
        "targets": (STORAGE,),
        "context_has": app_with(*APP),
        "boot_restore": BOOT,
        **more,
    }
    return edit(text, **said)


def added(before: str, after: str) -> list[str]:
    """Return the instructions that `after` has more, having seen that it has all others."""
    old = [(one.word, one.body) for one in parse(before)]
    new = []
    for one in parse(after):
        if old and (one.word, one.body) == old[0]:
            old.pop(0)
        else:
            new.append(f"{one.word} {one.body}")
    assert not old
    return new


def keeps_lines(before: str, after: str) -> None:
    """See that what was there is there, in order, and that the rest is ours."""
    rest = before.replace("\r", "").split("\n")
    ours = []
    for line in after.replace("\r", "").split("\n"):
        if rest and line in (rest[0], rest[0].replace(LAST, COPY)):
            rest.pop(0)
        else:
            ours.append(line)
    assert not rest
    assert all(
        not one or one in (COPY, ENTRYPOINT) or one.startswith(("# ", "RUN mkdir -p "))
        for one in ours
    ), ours


def test_the_dockerfile_of_rails_gets_litestream_and_nothing_else() -> None:
    result = edited(RAILS_8)
    assert result.by_hand == ()
    assert added(RAILS_8, result.text) == [COPY]
    before, after = result.text.split(COPY)
    assert before.rpartition("FROM base\n\n# ")[2].count("\n") == 1
    assert after.startswith("\n\n")


def test_an_app_whose_storage_is_not_in_the_build_gets_the_folder_for_its_user() -> None:
    result = edited(RAILS_8, context_has=app_with(*APP - {"storage/.keep"}))
    assert result.by_hand == ()
    assert added(RAILS_8, result.text) == [COPY, RUN]
    assert f"{RUN}\n\nUSER 1000:1000\n" in result.text


def test_each_volume_gets_its_folder() -> None:
    result = edited(RAILS_8, targets=(STORAGE, "/rails/storage/db", "/data"))
    assert [one.split(" && ")[0] for one in added(RAILS_8, result.text)[1:]] == [
        "RUN mkdir -p /rails/storage/db",
        "RUN mkdir -p /data",
    ]


@pytest.mark.parametrize(
    ("end", "owner"),
    [
        ("COPY --chown=rails:rails . .", "1000"),
        ("COPY --chown=1000 . /rails", "1000"),
        ("COPY --chown=rails:rails storage ./storage/", "?"),
        ("COPY . .", "0"),
        ("COPY . .\nRUN chown -R rails:rails db log storage tmp", "1000"),
        ("COPY . .\nRUN chown -R rails /rails/*", "1000"),
        ("COPY . .\nRUN chown rails storage", "1000"),
        ("COPY . .\nRUN chown rails .", "0"),
        ("COPY . .\nRUN cd storage && chown -R 1000:1000 .", "1000"),
        ("COPY . .\nRUN chown -R rails:rails log || true", "0"),
        ("COPY . .\nRUN chown -R $SOMEBODY storage", "?"),
        ("RUN mkdir -p storage", "0"),
        ("USER rails\nRUN mkdir -p log storage", "1000"),
        ("USER rails\nCOPY . .\nRUN mkdir -p storage", "0"),
        ("COPY --chown=rails . .\nRUN rm -rf storage", None),
        ("COPY --chown=rails . .\nRUN rm -rf storage/*", "1000"),
        ("WORKDIR /rails/storage/db", "0"),
        ("COPY --from=build --chown=rails:rails /rails /rails", "1000"),
        ("COPY --from=build --chown=rails:rails /other /rails", None),
        ("COPY --from=build /rails /rails", "?"),
        ("COPY --from=docker.io/x/y --chown=rails:rails /rails /rails", None),
        ("COPY --chown=rails app ./app", None),
        ("RUN <<EOF\nset -e\nmkdir -p storage\nchown -R rails storage\nEOF", "1000"),
        ('ENV HOME_OF_APP=/rails\nRUN install -d x && mkdir "${HOME_OF_APP}/storage"', "0"),
        ("", None),
    ],
)
def test_who_owns_the_folder_that_a_volume_is_mounted_on(end: str, owner: str | None) -> None:
    text = (
        "FROM ruby:3 AS base\nWORKDIR /rails\nRUN useradd rails --create-home\n"
        f"FROM base AS build\nCOPY . .\nFROM base\n{end}\n"
    )
    assert folder_owner(Stages(text), STORAGE, app_with(*APP)) == owner


def test_an_image_that_runs_as_root_owns_all_folders() -> None:
    result = edited(PLAIN, context_has=app_with())
    assert added(PLAIN, result.text) == [COPY, ENTRYPOINT]


def test_a_user_that_only_an_earlier_stage_sets_is_by_hand() -> None:
    text = 'FROM ruby:3 AS base\nUSER 1000:1000\nFROM base\nENTRYPOINT ["bin/boot"]\n'
    result = edited(text)
    (by_hand,) = result.by_hand
    assert "none is set in the final stage" in by_hand.why
    assert by_hand.lines == RUN
    assert added(text, result.text) == [COPY]


def test_the_folder_is_made_where_nothing_undoes_it() -> None:
    text = (
        "FROM ruby:3\nUSER root\nWORKDIR /rails\nCOPY . .\nRUN useradd -m app\nUSER app\n"
        'ENTRYPOINT ["bin/boot"]\n'
    )
    result = edited(text)
    assert result.by_hand == ()
    assert added(text, result.text) == [COPY, RUN]
    assert folder_owner(Stages(result.text), STORAGE, app_with(*APP)) == "1000"


@pytest.mark.parametrize(
    ("make", "user", "numbers"),
    [
        ("", "1001", "1001:0"),
        ("", "1000:1000", "1000:1000"),
        ("", "root", "0:0"),
        ("", "rails", None),
        ("RUN useradd rails --create-home --shell /bin/bash", "rails:rails", "1000:1000"),
        ("RUN groupadd -r -g 999 app && useradd -rm -u 998 -g app app", "app", "998:999"),
        ("RUN groupadd -r app && useradd -r -g app app", "app", None),
        ("RUN addgroup -g 1500 -S app && adduser -S -u 1501 -G app app", "app", "1501:1500"),
        ("RUN adduser --disabled-password --gecos '' --uid 1002 app", "app", "1002:1002"),
        ("RUN useradd -ms /bin/bash one; useradd two", "two", "1001:1001"),
        ("ARG UID=1234\nARG GID\nRUN true", "${UID}:${GID:-99}", "1234:99"),
        ("ENV WHO=1005", "$WHO", "1005:0"),
        ("ARG UID=1006\nARG NAME=app\nRUN useradd -u ${UID} $NAME", "${NAME}", "1006:1006"),
        ("RUN useradd -u $(id) app", "app", None),
        ("RUN useradd -ms /bin/bash app && adduser app root", "app", "1000:1000"),
        ("RUN useradd -o -u 0 app", "app", "0:0"),
        (
            "ARG UID=1007 \\\n  GID=1008\nRUN addgroup --system --gid $GID rails && \\\n"
            "  adduser --system rails --uid $UID --ingroup rails --home /home/rails rails",
            "rails:rails",
            "1007:1008",
        ),
    ],
)
def test_the_number_of_the_user(make: str, user: str, numbers: str | None) -> None:
    assert read_image(f"FROM ruby:3\n{make}\nUSER {user}\n").user == numbers


def test_a_user_without_a_number_is_by_hand() -> None:
    text = 'FROM ruby:3\nUSER app\nENTRYPOINT ["bin/boot"]\n'
    assert "number of its user" in edited(text).by_hand[0].why


@pytest.mark.parametrize(
    ("text", "workdir"),
    [
        ("FROM x\nWORKDIR /app", "/app"),
        ("FROM x AS a\nWORKDIR /app\nFROM a\nWORKDIR sub", "/app/sub"),
        ("ARG AT=/srv\nFROM x\nARG AT\nWORKDIR $AT/app/", "/srv/app"),
        ("FROM x\nENV APP_HOME /web\nWORKDIR ${APP_HOME}", "/web"),
        ("FROM x\nWORKDIR $UNKNOWN", None),
        ("FROM x", "/"),
    ],
)
def test_where_rails_lives(text: str, workdir: str | None) -> None:
    assert read_image(text).workdir == workdir


def test_the_stage_that_kamal_builds_need_not_be_the_last() -> None:
    text = 'FROM ruby:3 AS web\nUSER 7\nENTRYPOINT ["bin/boot"]\nFROM web AS tests\nUSER 8\n'
    assert read_image(text, Build("web")).user == "7:0"
    result = edited(text, build=Build("web"), targets=())
    assert result.text.index(COPY) < result.text.index("FROM web")
    assert edited(text, build=Build("nothing")).by_hand[0].why == "it has no stage nothing"


@pytest.mark.parametrize(
    "base", ["ruby:3.3-alpine", "docker.io/library/ruby:$RUBY-alpine3.20", "alpine"]
)
def test_alpine_is_told_by_the_image_it_is_built_on(base: str) -> None:
    text = f"ARG RUBY=3.4\nFROM {base} AS base\nFROM node:22\nFROM base\nCMD bin/boot\n"
    assert read_image(text).alpine
    assert added(text, edited(text).text) == [COPY, ENTRYPOINT]


@pytest.mark.parametrize(
    "end",
    [
        # As of dockerfile-rails, and of Rails 7.1.
        "RUN groupadd --system --gid 1000 rails && \\\n"
        "    useradd rails --uid 1000 --gid 1000 --create-home --shell /bin/bash && \\\n"
        '    sed -i "/net_chdir/d" x && \\\n    chown -R 1000:1000 log storage tmp\nUSER 1000:1000',
        "RUN useradd rails --create-home --shell /bin/bash && \\\n"
        "    mkdir -p db log storage tmp && \\\n    chown -R rails:rails db log storage tmp\n"
        "USER rails:rails",
        "ARG UID=1000 \\\n    GID=1000\n"
        "RUN groupadd -f -g $GID rails && useradd -u $UID -g $GID rails && \\\n"
        '    chown "${UID}" -R /rails\nUSER rails',
    ],
)
def test_what_generators_write_gives_the_folder_to_the_user(end: str) -> None:
    text = (
        "FROM ruby:3 AS base\nWORKDIR /rails\nFROM base AS build\nCOPY --link . .\n"
        f"FROM base\nCOPY --from=build /rails /rails\n{end}\n"
        'ENTRYPOINT ["/rails/bin/docker-entrypoint"]\n'
    )
    result = edited(text)
    assert result.by_hand == ()
    assert added(text, result.text) == [COPY]


# Litestream


def test_arguments_stay_directly_below_from() -> None:
    text = 'FROM ruby:3\nARG A=1\n\n# two\nARG B\nRUN true\nENTRYPOINT ["bin/boot"]\n'
    result = edited(text, targets=())
    assert f"ARG B\n\n{COPY_COMMENT}\n{COPY}\n\nRUN" in result.text


@pytest.mark.parametrize(
    "bring",
    [
        "COPY --from=litestream/litestream:{} /usr/local/bin/litestream /usr/local/bin/litestream",
        f"COPY --link --from=ghcr.io/x/litestream/litestream:{{}} \\\n  {PROGRAM} /usr/bin/",
        'COPY --from=litestream/litestream:{} ["/usr/local/bin/litestream", "/usr/local/bin/"]',
    ],
)
def test_a_litestream_that_is_there_gets_the_pin(bring: str) -> None:
    text = f'FROM ruby:3\n{bring}\nENTRYPOINT ["bin/boot"]\n'
    assert edited(text.format("0.3.13"), targets=()) == Edited(text.format(PIN))
    assert edited(text.format(PIN), targets=()) == Edited(text.format(PIN))


def test_the_pin_of_a_stage_is_moved_at_its_from() -> None:
    text = (
        "FROM litestream/litestream:{} AS ls\nFROM ruby:3\n"
        'COPY --from=ls /usr/local/bin/litestream /usr/local/bin/\nENTRYPOINT ["bin/boot"]\n'
    )
    assert edited(text.format("0.3.13"), targets=()) == Edited(text.format(PIN))
    assert edited(text.replace(":{}", ""), targets=()).text == text.format(PIN)


def test_an_update_moves_its_own_pin_and_leaves_the_owners() -> None:
    ours, theirs = PLAIN + LAST + "\n", PLAIN + LAST.replace("0.5.1", "0.5.2") + "\n"
    more = {"last_copy_line": LAST, "last_boot_restore": BOOT}
    assert edited(ours, **more) == Edited(PLAIN + COPY + "\n")
    result = edited(theirs, **more)
    assert result.text == theirs
    assert "0.5.2" in result.by_hand[0].why
    assert edited(theirs, **{**more, "last_copy_line": COPY}) == Edited(theirs)


def test_what_its_owner_took_out_stays_out() -> None:
    text = RAILS_8.replace("1000:1000", "rails")
    assert edited(
        text, last_copy_line=LAST, last_targets=(STORAGE,), last_boot_restore=BOOT
    ) == Edited(text)
    assert edited(PLAIN, last_copy_line=LAST, last_boot_restore=BOOT) == Edited(PLAIN)


@pytest.mark.parametrize(
    "bring",
    [
        "RUN curl -L https://github.com/benbjohnson/litestream/releases/v0.3/x.deb -o l.deb",
        "RUN apt-get update && \\\n    # a comment\n    apt-get install -y litestream",
        "ADD https://github.com/benbjohnson/litestream/releases/x.tar.gz /tmp/",
        "COPY bin/litestream /usr/local/bin/litestream",
        "COPY --from=build /usr/bin/litestream /usr/bin/",
        "RUN <<EOF\nwget -O - https://x/litestream.tar.gz | tar xz\nEOF",
    ],
)
def test_behind_a_litestream_that_comes_another_way_ours_is_the_one_that_is_found(
    bring: str,
) -> None:
    text = f'FROM ruby:3 AS build\nFROM ruby:3\n{bring}\nWORKDIR /x\nENTRYPOINT ["bin/boot"]\n'
    result = edited(text, targets=())
    assert added(text, result.text) == [COPY]
    assert result.text.index(bring) < result.text.index(COPY) < result.text.index("WORKDIR")
    assert edited(result.text, targets=()) == Edited(result.text)


@pytest.mark.parametrize("bring", ["@sha256:" + "a" * 64, ":$VERSION"])
def test_a_digest_or_a_variable_is_by_hand(bring: str) -> None:
    text = f'FROM ruby:3\n{LAST.replace(":0.5.1", bring)}\nENTRYPOINT ["bin/boot"]\n'
    assert edited(text, targets=()).text == text
    assert edited(text, targets=()).by_hand


def test_its_configuration_is_not_litestream() -> None:
    text = 'FROM ruby:3\nCOPY config/litestream.yml /etc/litestream.yml\nENTRYPOINT ["bin/boot"]\n'
    assert added(text, edited(text, targets=()).text) == [COPY]


@pytest.mark.parametrize(
    ("start", "instead"),
    [
        ('CMD ["litestream", "replicate", "-exec", "bin/rails server"]', "CMD bin/rails server"),
        ("ENTRYPOINT litestream replicate -exec bin/boot", "ENTRYPOINT bin/boot"),
        ('CMD ["litestream", "replicate"]', ""),
    ],
)
def test_a_replicator_of_the_owner_is_named_with_what_takes_its_place(
    start: str, instead: str
) -> None:
    after = edited(f"FROM ruby:3\n{start}\n", targets=()).text
    assert COPY in after
    (by_hand,) = second_litestream("Dockerfile", after)
    assert (after.splitlines()[by_hand.line - 1], by_hand.lines) == (start, instead)


# ENTRYPOINT


@pytest.mark.parametrize(
    ("have", "want"),
    [
        ('["/rails/bin/docker-entrypoint"]', None),
        ('["bin/docker-entrypoint"]', None),
        ('["tini", "--", "./bin/docker-entrypoint"]', None),
        ('["bundle", "exec"]', f'["{BOOT}", "exec", "bundle", "exec"]'),
        ('[ "/usr/bin/tini" , "--" ]', f'[ "{BOOT}", "exec", "/usr/bin/tini" , "--" ]'),
        ('["/usr/bin/start.sh"]', f'["{BOOT}", "exec", "/usr/bin/start.sh"]'),
        ('["bin/rails", "server"]', f'["{BOOT}", "exec", "bin/rails", "server"]'),
        ("[]", f'["{BOOT}", "exec"]'),
        ('\\\n  ["tini", \\\n   "--"]', f'\\\n  ["{BOOT}", "exec", "tini", \\\n   "--"]'),
    ],
)
def test_an_entrypoint_in_exec_form(have: str, want: str | None) -> None:
    text = f'FROM x\nWORKDIR /rails\nentrypoint {have}\nCMD ["bin/boot"]\n'
    result = edited(text, targets=(), last_copy_line=COPY)
    assert result.by_hand == ()
    assert result.text == text.replace(f"entrypoint {have}", f"entrypoint {want or have}")
    assert edited(result.text, targets=(), last_copy_line=COPY) == result


def test_a_script_of_the_app_that_is_copied_elsewhere_is_found() -> None:
    text = (
        "FROM ruby:3\nWORKDIR /app\nCOPY docker/start.sh /usr/bin/\nCOPY . .\n"
        'ENTRYPOINT ["start.sh"]\n'
    )
    has = app_with("docker/start.sh", "bin/start.sh")
    assert entrypoint_script(read_image(text), has) == "docker/start.sh"
    assert added(text, edited(text, targets=(), context_has=has).text) == [COPY]
    elsewhere = text.replace("start.sh /usr/bin/", "start.sh /usr/bin/begin").replace(
        '"start.sh"', '"/usr/bin/begin"'
    )
    assert entrypoint_script(read_image(elsewhere), has) == "docker/start.sh"
    assert entrypoint_script(read_image(PLAIN), has) is None


def test_an_entrypoint_for_the_shell_is_by_hand() -> None:
    text = "FROM ruby:3\nENTRYPOINT bin/boot\n"
    result = edited(text, targets=())
    assert [one.lines for one in result.by_hand] == [ENTRYPOINT]
    assert result.text.splitlines()[result.by_hand[0].line - 1] == "ENTRYPOINT bin/boot"


def test_an_image_without_an_entrypoint_gets_one_before_its_command() -> None:
    text = PLAIN.replace("CMD", "EXPOSE 3000\n\n# What runs\nCMD")
    after = edited(text).text
    assert f"3000\n\n{ENTRYPOINT_COMMENT}\n{ENTRYPOINT}\n\n# What runs\nCMD" in after
    assert edited(PLAIN.split("CMD")[0]).text.endswith(f"{ENTRYPOINT}\n")


def test_an_image_that_may_have_an_entrypoint_of_its_own_is_by_hand() -> None:
    text = 'FROM company/rails-base:1\nCMD ["bin/boot"]\n'
    result = edited(text, targets=())
    assert "company/rails-base:1 may have an ENTRYPOINT" in result.by_hand[0].why
    assert added(text, result.text) == [COPY]


def test_a_command_of_another_stage_is_by_hand_since_an_entrypoint_undoes_it() -> None:
    text = 'FROM ruby:3 AS base\nCMD ["bin/boot"]\nFROM base\n'
    result = edited(text, targets=())
    assert [one.line for one in result.by_hand] == [2]
    assert "ENTRYPOINT" not in result.text


def test_an_update_follows_the_rails_root() -> None:
    text = edited(PLAIN).text
    more = {"last_copy_line": COPY, "last_boot_restore": BOOT, "last_targets": (STORAGE,)}
    after = edited(text, boot_restore="/app/bin/boot-restore", **more).text
    assert after == text.replace(BOOT, "/app/bin/boot-restore").replace("bin/app", "bin/rails")


# How it is written


@pytest.mark.parametrize("text", ["", "# nothing\n", "ARG A=1\nRUN true\n"])
def test_a_text_without_a_stage_is_left_alone(text: str) -> None:
    result = edited(text)
    assert (result.text, [one.why for one in result.by_hand]) == (text, ["it has no FROM"])


def test_what_docker_joins_to_one_instruction_is_one() -> None:
    text = (
        "# escape=`\nFROM ruby:3\nRUN a `\n\n  # FROM no\n  FROM b\nRUN c \\\nCOPY <<-'EOF' /x\n"
        "\tFROM no\n# no\n\tEOF\nRUN cat <<A <<B\nUSER no\nA\nUSER no\nB\nONBUILD USER no\n"
        "RUN echo '<<EOF'\nRUN echo $((1 << 2))\nCMD end"
    )
    assert [(one.line, one.end, one.word) for one in parse(text)] == [
        (2, 2, "FROM"),
        (3, 6, "RUN"),
        (7, 7, "RUN"),
        (8, 11, "COPY"),
        (12, 16, "RUN"),
        (17, 17, "ONBUILD"),
        (18, 18, "RUN"),
        (19, 19, "RUN"),
        (20, 20, "CMD"),
    ]
    assert read_image(text).user == "0:0"


HEADS = st.sampled_from(
    [
        "# syntax=docker/dockerfile:1\n# check=error=true\n\n",
        "# A comment\n",
        "ARG RUBY_VERSION=3.4.1\n",
        "# syntax=docker/dockerfile:1\n# escape=\\\n",
        "",
    ]
)
BASES = st.sampled_from(["ruby:3.4-slim", "docker.io/library/ruby:3.3-alpine", "company/base:1"])
FRAGMENTS = st.sampled_from(
    [
        "RUN apt-get update -qq && \\\n    # why\n    apt-get install -y x && \\\n\n    rm -r /x",
        "RUN --mount=type=cache,target=/usr/local/bundle \\\n    bundle install",
        "RUN <<EOF\nset -e\n# USER no\nUSER=1\nEOF",
        "COPY <<'END' /etc/x.conf\nFROM no\nENTRYPOINT no\nEND",
        'ENV RAILS_ENV="production" \\\n    BUNDLE_PATH="/usr/local/bundle"',
        "ARG BUILD=1",
        "ONBUILD USER 5",
        "WORKDIR /rails",
        "WORKDIR /app",
        "COPY . .",
        "COPY --chown=rails:rails . .",
        "COPY --chown=rails:rails --from=build /rails /rails",
        "RUN mkdir -p log storage tmp",
        "RUN chown -R rails:rails db log storage tmp",
        "RUN groupadd --system --gid 1000 rails && \\\n    useradd rails --uid 1000 --gid 1000",
        "USER 1000:1000",
        "USER rails:rails",
        "USER root",
        "EXPOSE 80",
        "# A comment",
        "",
        'SHELL ["/bin/bash", "-c"]',
        "HEALTHCHECK CMD curl -f http://localhost/up",
        "RUN curl -L https://github.com/benbjohnson/litestream/releases/x | tar xz",
        f"{LAST}",
    ]
)
STARTS = st.sampled_from(
    [
        "",
        'ENTRYPOINT ["/rails/bin/docker-entrypoint"]',
        'ENTRYPOINT ["bundle", "exec"]',
        'ENTRYPOINT ["tini", \\\n  "--"]',
        "ENTRYPOINT bin/boot",
    ]
)
COMMANDS = st.sampled_from(
    [
        "",
        'CMD ["./bin/thrust", "./bin/rails", "server"]',
        "CMD bin/boot",
        'CMD ["foreman", "start"]',
    ]
)


@st.composite
def dockerfiles(draw: st.DrawFn) -> str:
    first = draw(st.lists(FRAGMENTS, max_size=4))
    build = draw(st.lists(FRAGMENTS, max_size=4))
    final = draw(st.lists(FRAGMENTS, max_size=8))
    base = draw(BASES)
    stages = [[f"FROM {base} AS base", *first], ["FROM base AS build", *build], ["FROM base"]]
    if draw(st.booleans()):
        stages = [[f"FROM {base}"]]
    ends = [draw(STARTS), draw(COMMANDS)]
    stages[-1] += [*final, *(ends if draw(st.booleans()) else reversed(ends))]
    text = draw(HEADS) + "\n".join(line for stage in stages for line in stage)
    text += draw(st.sampled_from(["\n", "", "\n\n"]))
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    return "\ufeff" * draw(st.booleans()) + text


@settings(max_examples=400)
@given(dockerfiles(), st.booleans())
def test_what_was_there_is_there_and_the_rest_is_sound_or_said(text: str, tracked: bool) -> None:
    has = app_with(*(APP if tracked else APP - {"storage/.keep"}))
    result = edited(text, context_has=has)
    again = edited(result.text, context_has=has)
    assert again == result
    before = text
    for words in ('"bundle"', '"tini"', '"/rails/bin/docker-entrypoint"'):
        if f'"{BOOT}", "exec", {words}' in result.text:
            before = before.replace(f"[{words}", f'["{BOOT}", "exec", {words}')
    keeps_lines(before, result.text)
    assert ("\r\n" in text) == ("\r\n" in result.text)
    assert re.search("(?<!\r)\n", result.text) is None or "\r\n" not in text
    then, now = read_image(text), read_image(result.text)
    assert (then.user, then.workdir) == (now.user, now.workdir)
    assert (then.cmd and then.cmd.words) == (now.cmd and now.cmd.words)
    said = " ".join(one.why for one in result.by_hand)
    assert (now.litestream and now.litestream.version == PIN) or "Litestream" in said
    owner = folder_owner(Stages(result.text), STORAGE, has)
    assert (
        owner == (now.user or "").partition(":")[0] or now.user == "0:0" or "user" in said.lower()
    )
    assert now.entrypoint or "ENTRYPOINT" in said


@requires("hadolint")
def test_hadolint_reads_what_comes_of_them(tmp_path: Path) -> None:
    made: list[str] = []

    @settings(max_examples=40, database=None)
    @given(dockerfiles())
    def collect(text: str) -> None:
        # It wants an empty line after heredocs.
        if "<<" not in text:
            made.append(text)

    collect()
    hadolint = programs.find("hadolint")
    assert hadolint
    found = []
    for name, texts in (("before", made), ("after", [edited(text).text for text in made])):
        files = []
        for number, text in enumerate(texts):
            files.append(tmp_path / f"{name}.{number}")
            files[-1].write_text(text.replace("\r\n", "\n").removeprefix("\ufeff"))
        said = subprocess.run(
            [hadolint, "--no-fail", *files], capture_output=True, text=True, check=False
        )
        assert not said.stderr
        found.append(
            {*re.findall(rf"{name}\.(\d+):\d+(?::\d+)? (?:DL1000|.*unexpected)", said.stdout)}
        )
    assert found == [set(), set()]


def test_arguments_of_the_build_are_filled_in() -> None:
    text = "FROM ruby:3\nARG APP_UID=1\nARG APP_GID\nUSER ${APP_UID:?}:${APP_GID:?}\n"
    assert read_image(text).user is None
    assert read_image(text, Build(args={"APP_UID": 2233, "APP_GID": "44"})).user == "2233:44"

"""What an app's production.rb becomes; Ruby itself says what each file sets."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kamalstream.edit.production_rb import (
    ACTIVE_STORAGE,
    ASSUME_SSL,
    CACHE_STORE,
    DEFAULT,
    FORCE_SSL,
    QUEUE_ADAPTER,
    Outcome,
    Setting,
    edit,
    edit_file,
)
from kamalstream.errors import BadInput
from tests.conftest import ROOT, requires

SAMPLES = ROOT / "tests" / "production_rb"
RECORDER = ROOT / "tests" / "ruby" / "record_settings.rb"
RIGHT = "".join(f"  {setting.line}\n" for setting in DEFAULT)


@dataclass(frozen=True)
class Recorded:
    """What Ruby says a file does."""

    settings: dict[str, object]
    calls: list[object]
    error: str | None


def record(files: Sequence[bytes], folder: Path, env: dict[str, str]) -> list[Recorded]:
    """Run all `files` in one Ruby process."""
    paths = [folder / f"{index}.rb" for index in range(len(files))]
    for path, content in zip(paths, files, strict=True):
        path.write_bytes(content)
    jobs = [{"path": str(path), "env": env} for path in paths]
    ran = subprocess.run(
        ["ruby", "-W0", str(RECORDER)], input=json.dumps(jobs), capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    return [Recorded(**one) for one in json.loads(ran.stdout)]


def block(body: str) -> bytes:
    return f"Rails.application.configure do\n{body}end\n".encode()


def body(outcome: Outcome) -> str:
    assert outcome.refused is None
    lines = outcome.text.decode().splitlines(keepends=True)
    return "".join(lines[1:-1])


def own_lines_undone(outcome: Outcome) -> list[bytes]:
    """Take back what the outcome says was changed; return the lines that are not blank."""
    lines: list[bytes | None] = list(outcome.text.split(b"\n"))
    for change in outcome.changed:
        index = change.line - 1
        now = lines[index]
        assert now is not None
        assert now.strip().decode() == change.after
        if change.kind == "added":
            comment = lines[index - 1]
            assert comment is not None
            assert comment.strip().decode() == change.setting.comment
            lines[index - 1] = lines[index] = None
        else:
            lines[index] = change.before.encode()
    return [line.strip() for line in lines if line is not None and line.strip()]


def only_these_differ(before: Recorded, after: Recorded, outcome: Outcome) -> None:
    assert after.error == before.error
    assert after.calls == before.calls
    names = before.settings.keys() | after.settings.keys()
    differ = {name for name in names if before.settings.get(name) != after.settings.get(name)}
    assert differ <= {change.setting.name for change in outcome.changed}


def is_right(setting: Setting, recorded: Recorded) -> bool:
    value = recorded.settings.get(setting.name)
    return value == setting.value or (isinstance(value, list) and value[0] == setting.value)


@pytest.mark.parametrize(
    ("sample", "changed", "left"),
    [
        (
            "rails_7_1",
            [(ASSUME_SSL, 15), (CACHE_STORE, 26), (QUEUE_ADAPTER, 29)],
            [],
        ),
        (
            "rails_7_2_api",
            [(ASSUME_SSL, 12), (CACHE_STORE, 24), (QUEUE_ADAPTER, 27)],
            [],
        ),
        ("rails_8_0", [], []),
        ("rails_8_1_kamal", [(ASSUME_SSL, 11), (FORCE_SSL, 14)], []),
        (
            "rails_8_2_kamal_skip_solid",
            [(ASSUME_SSL, 11), (FORCE_SSL, 14), (CACHE_STORE, 21), (QUEUE_ADAPTER, 24)],
            [],
        ),
        (
            "by_hand",
            [(ACTIVE_STORAGE, 15), (QUEUE_ADAPTER, 24)],
            [(ASSUME_SSL, 8), (FORCE_SSL, 9), (CACHE_STORE, 18)],
        ),
    ],
)
@requires("ruby")
def test_a_sample_gets_the_missing_settings_and_ruby_agrees(
    sample: str,
    changed: list[tuple[Setting, int]],
    left: list[tuple[Setting, int]],
    tmp_path: Path,
) -> None:
    source = (SAMPLES / f"{sample}.rb").read_bytes()
    outcome = edit(source)
    assert [(one.setting, one.line) for one in outcome.changed] == changed
    assert [(one.setting, one.line) for one in outcome.left] == left
    assert own_lines_undone(outcome) == [one.strip() for one in source.splitlines() if one.strip()]
    assert edit(outcome.text).text == outcome.text

    before, after = record([source, outcome.text], tmp_path, {"REDIS_URL": "redis://cache"})
    assert after.error is None
    only_these_differ(before, after, outcome)
    for setting, _ in changed:
        assert is_right(setting, after)
    checked = subprocess.run(["ruby", "-c", tmp_path / "1.rb"], capture_output=True, text=True)
    assert checked.stdout == "Syntax OK\n", checked.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (
            "  # config.cache_store = :mem_cache_store\n",
            "  config.cache_store = :solid_cache_store\n",
        ),
        ("  #config.cache_store=:mem_cache_store\n", "  config.cache_store=:solid_cache_store\n"),
        (
            "#  config.cache_store = :mem_cache_store\n",
            "  config.cache_store = :solid_cache_store\n",
        ),
        (
            "  ## config.cache_store   = :mem_cache_store # fast\n",
            "  config.cache_store   = :solid_cache_store # fast\n",
        ),
        (
            '  # config.cache_store = :redis_cache_store, { url: ENV["REDIS_CACHE_URL"] }\n',
            "  config.cache_store = :solid_cache_store\n",
        ),
        (
            "  config.cache_store = :mem_cache_store # fast\n",
            "  config.cache_store = :solid_cache_store # fast\n",
        ),
        (
            "  x = 1; config.cache_store = :mem_cache_store; y = 2\n",
            "  x = 1; config.cache_store = :solid_cache_store; y = 2\n",
        ),
        (
            "  Rails.application.config.cache_store = :mem_cache_store\n",
            "  Rails.application.config.cache_store = :solid_cache_store\n",
        ),
        (
            "  # config.cache_store = :mem_cache_store\n" * 2,
            "  # config.cache_store = :mem_cache_store\n"
            "  config.cache_store = :solid_cache_store\n",
        ),
        (
            "  # config.cache_store = :solid_cache_store\n"
            "  config.cache_store = :mem_cache_store\n",
            "  # config.cache_store = :solid_cache_store\n"
            "  config.cache_store = :solid_cache_store\n",
        ),
        (
            "  config.cache_store = :null_store\n  config.cache_store = :mem_cache_store\n",
            "  config.cache_store = :null_store\n  config.cache_store = :solid_cache_store\n",
        ),
    ],
)
def test_what_the_generator_wrote_is_replaced_where_it_stands(before: str, after: str) -> None:
    assert body(edit(block(before), [CACHE_STORE])) == after


@pytest.mark.parametrize(
    "right",
    [
        "  config.cache_store = :solid_cache_store\n",
        "  config.cache_store = :solid_cache_store, { shards: [:cache] }\n",
        "  config.cache_store = :solid_cache_store, {\n    shards: [:cache]\n  }\n",
        "  config.cache_store =\n    :solid_cache_store\n",
        "  self.config.cache_store = :solid_cache_store\n",
        "  config.cache_store = config.x.store = :solid_cache_store\n",
        "  config.x.store = config.cache_store = :solid_cache_store\n",
        "  config.cache_store = :null_store\n  config.cache_store = :solid_cache_store\n",
        '  config.cache_store = :x if ENV["X"]\n  config.cache_store = :solid_cache_store\n',
    ],
)
def test_a_right_value_is_enough(right: str) -> None:
    outcome = edit(block(right), [CACHE_STORE])
    assert outcome == Outcome(block(right))


@pytest.mark.parametrize(
    ("own", "why"),
    [
        ("config.cache_store = :redis_cache_store", "a value of your own"),
        (
            'config.cache_store = :redis_cache_store, { url: ENV["REDIS_CACHE_URL"] }',
            "a value of your own",
        ),
        ('config.cache_store = ENV["STORE"].to_sym', "a value of your own"),
        ("config.cache_store = [:mem_cache_store]", "a value of your own"),
        ("config.cache_store = fast? ? :mem_cache_store : :null_store", "a value of your own"),
        ('config.cache_store = :solid_cache_store if ENV["X"]', "set only under a condition"),
        ('config.cache_store = :mem_cache_store unless ENV["X"]', "set only under a condition"),
        ("config.cache_store = :mem_cache_store rescue nil", "set only under a condition"),
        ('ENV["X"] && config.cache_store = :mem_cache_store', "set only under a condition"),
        ('ENV["X"] and config.cache_store = :mem_cache_store', "set only under a condition"),
        ("config.cache_store ||= :solid_cache_store", "set only on top of what is set before"),
        ("config.cache_store, x = :mem_cache_store, 1", "set together with others"),
        ("tap { config.cache_store = :mem_cache_store }", "set inside another block"),
        ('config.x.a = "#{config.cache_store = :null_store}"', "set inside another block"),
    ],
)
def test_what_the_user_wrote_is_left_and_reported(own: str, why: str) -> None:
    source = block(f"  config.eager_load = true\n  {own}\n")
    outcome = edit(source, [CACHE_STORE])
    assert outcome.text == source
    assert not outcome.changed
    (left,) = outcome.left
    assert (left.line, left.stands, left.why) == (3, own, why)
    assert left.write == "config.cache_store = :solid_cache_store"


def test_uploads_that_are_kept_elsewhere_are_left_without_advice() -> None:
    source = block(RIGHT.replace("= :local", "= :amazon"))
    (left,) = edit(source).left
    assert (left.stands, left.write) == ("config.active_storage.service = :amazon", "")


def test_a_setting_in_both_branches_of_an_if_is_reported_twice_and_not_added() -> None:
    source = block(
        '  if ENV["X"]\n    config.force_ssl = true\n  else\n    config.force_ssl = false\n  end\n'
        "  # config.force_ssl = true\n"
    )
    outcome = edit(source, [FORCE_SSL])
    assert outcome.text == source
    assert [left.line for left in outcome.left] == [3, 5]


def test_lines_that_are_reported_are_those_of_the_result() -> None:
    outcome = edit(
        block("  config.ssl_options = {}\n\n  config.cache_store = :null_store\n"),
        [CACHE_STORE, ASSUME_SSL],
    )
    lines = outcome.text.decode().splitlines()
    assert lines[outcome.left[0].line - 1] == "  config.cache_store = :null_store"
    assert lines[outcome.changed[0].line - 1] == "  config.assume_ssl = true"


def test_missing_settings_are_added_below_the_paragraph_they_belong_to() -> None:
    outcome = edit(
        block(
            "  # Skip the redirect for the health check.\n"
            "  # config.ssl_options = {}\n\n"
            "  config.active_job.queue_name_prefix = [\n    1,\n\n    2\n  ]\n\n"
            "  config.eager_load = true\n"
        ),
        [FORCE_SSL, ASSUME_SSL, QUEUE_ADAPTER, ACTIVE_STORAGE],
    )
    assert body(outcome) == (
        "  # Skip the redirect for the health check.\n"
        "  # config.ssl_options = {}\n\n"
        f"  {FORCE_SSL.comment}\n  {FORCE_SSL.line}\n\n"
        f"  {ASSUME_SSL.comment}\n  {ASSUME_SSL.line}\n\n"
        "  config.active_job.queue_name_prefix = [\n    1,\n\n    2\n  ]\n\n"
        f"  {QUEUE_ADAPTER.comment}\n  {QUEUE_ADAPTER.line}\n\n"
        "  config.eager_load = true\n\n"
        f"  {ACTIVE_STORAGE.comment}\n  {ACTIVE_STORAGE.line}\n"
    )


def test_an_empty_block_is_filled_without_blank_lines_at_its_edges() -> None:
    assert body(edit(block(""), [ASSUME_SSL, FORCE_SSL])) == (
        f"  {ASSUME_SSL.comment}\n  {ASSUME_SSL.line}\n\n"
        f"  {FORCE_SSL.comment}\n  {FORCE_SSL.line}\n"
    )


@pytest.mark.parametrize(
    "comment",
    [
        '  if ENV["X"]\n    # config.cache_store = :mem_cache_store\n    x = 1\n  end\n',
        "  config.hosts = [\n    # config.cache_store = :mem_cache_store\n    1\n  ]\n",
        "  config.logger = Logger.new(STDOUT)\n"
        "    # config.cache_store = :mem_cache_store\n    .freeze\n",
        "  x = 1 # config.cache_store = :mem_cache_store\n",
        "  # config.cache_store = :mem_cache_store is what some use\n",
        "  # config.cache_store = :dalli_store\n",
        "=begin\n  # config.cache_store = :mem_cache_store\n=end\n",
        "  x = <<~A\n  # config.cache_store = :mem_cache_store\n  A\n",
    ],
)
def test_a_comment_that_is_not_the_generators_stays_a_comment(comment: str) -> None:
    outcome = edit(block(comment), [CACHE_STORE])
    assert body(outcome) == f"{comment}\n  {CACHE_STORE.comment}\n  {CACHE_STORE.line}\n"


def test_settings_that_are_not_wanted_stay_as_they_are() -> None:
    source = block(
        "  # config.active_job.queue_adapter = :resque\n"
        "  config.solid_queue.connects_to = { database: { writing: :queue } }\n"
    )
    assert edit(source, []).text == source
    outcome = edit(source, [QUEUE_ADAPTER])
    assert body(outcome) == (
        "  config.active_job.queue_adapter = :solid_queue\n"
        "  config.solid_queue.connects_to = { database: { writing: :queue } }\n"
    )


@pytest.mark.parametrize(
    "opening",
    [
        "Rails.application.configure do",
        "Rails.application.configure do # here",
        "Rails.app.configure do",
        "::Rails.application.configure do",
        "Foo::Application.configure do",
        "Foo::Bar::Application.configure do",
        "Rails.application.configure {",
    ],
)
def test_the_block_is_found_however_it_is_opened(opening: str) -> None:
    closing = "}" if opening.endswith("{") else "end"
    source = f"require 'x'\n{opening}\n  # config.force_ssl = true\n{closing}\n"
    outcome = edit(source.encode(), [FORCE_SSL])
    assert outcome.text.decode() == source.replace("# config", "config")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "it has no `Rails.application.configure do`"),
        ("config.force_ssl = true\n", "it has no `Rails.application.configure do`"),
        (
            "Rails.application.configure do\n  x\nend\n" * 2,
            "it has 2 `Rails.application.configure do`",
        ),
        (
            "if x\n  Rails.application.configure do\n    x\n  end\nend\n",
            "its `Rails.application.configure do` is inside another block",
        ),
        ("Rails.application.configure do |app|\n  x\nend\n", "line 1: the configure block takes"),
        ("Rails.application.configure { config.x = 1 }\n", "line 1: the configure block is not on"),
        ("Rails.application.configure do\n  x\nend if y\n", "line 3: something follows the end"),
        ("Rails.application.configure do\n  if x\nend\n", "line 1: do is never closed"),
        ("Rails.application.configure do\n  x\nend\nend\n", "line 4: end closes nothing"),
        ("Rails.application.configure do\n  x(]\nend\n", "line 2: ] closes nothing"),
        ("Rails.application.configure do\n  c = config\nend\n", "line 2: config gets another name"),
        ("config = 1\nRails.application.configure do\n  x\nend\n", "line 1: config gets another"),
        (
            "Rails.application.configure do\n  config.tap { |c| c.force_ssl = false }\nend\n",
            "line 2: config.tap may set anything",
        ),
        (
            "Rails.application.configure do\n  config.public_send(:force_ssl=, false)\nend\n",
            "line 2: config.public_send may set anything",
        ),
        (
            "Rails.application.configure do\n  next if x\nend\n",
            "line 2: next in the configure block",
        ),
        ("Rails.application.configure do\n  é = 1\nend\n", "line 2 cannot be read"),
        ("Rails.application.configure do\n  x\rend\n", "line 2 holds the control character"),
        ("Rails.application.configure do\n  x\0\nend\n", "line 2 holds the control character"),
        (
            "Rails.application.configure do\n<<<<<<< HEAD\n  x\n=======\n>>>>>>> b\nend\n",
            "line 2 is the mark of an unsolved conflict",
        ),
        (
            "# encoding: latin1\nRails.application.configure do\nend\n",
            "the file says that its enco",
        ),
        ("Rails.application.configure do\n  x = <<A\n  y\nend\n", "line 3 cannot be read"),
        (
            "Rails.application.configure do\n  x = '\n  config.force_ssl = false\n  '\nend\n",
            "line 2: a string over several lines that looks like code",
        ),
        ("Rails.application.configure do\n  def x = 1\nend\n", "line 2: def with = on the same"),
    ],
)
def test_a_file_that_is_not_certain_is_refused_with_the_lines_to_paste(
    source: str, reason: str
) -> None:
    outcome = edit(source.encode(), [FORCE_SSL, CACHE_STORE])
    assert outcome.refused is not None
    assert outcome.refused.startswith(reason)
    assert outcome.text == source.encode()
    assert not outcome.changed
    assert outcome.paste == (
        f"  {FORCE_SSL.comment}\n  {FORCE_SSL.line}\n\n"
        f"  {CACHE_STORE.comment}\n  {CACHE_STORE.line}\n"
    )


def test_bytes_that_are_not_utf_8_are_refused_with_their_line() -> None:
    outcome = edit(b"# a\n# caf\xe9\n" + block(""))
    assert outcome.refused == "line 2 is not UTF-8"


@pytest.mark.parametrize(
    "reading",
    [
        "config.force_ssl",
        "x = config.force_ssl",
        "x = 1 if config.force_ssl == true",
        "config.force_ssl => x",
        "config.x.force_ssl = false",
        "Sentry.config.force_ssl = false",
        "x = %w[config.force_ssl = false]",
        "x = /config.force_ssl = false/",
    ],
)
def test_what_only_reads_a_setting_or_is_another_one_does_not_count(reading: str) -> None:
    outcome = edit(block(f"  {reading}\n"), [FORCE_SSL])
    assert body(outcome) == f"  {reading}\n\n  {FORCE_SSL.comment}\n  {FORCE_SSL.line}\n"


def test_config_of_another_block_is_not_the_apps() -> None:
    source = block("  Sentry.init do |config|\n    config.force_ssl = false\n  end\n" + RIGHT)
    assert edit(source) == Outcome(source)


def test_line_ends_byte_order_mark_and_a_missing_final_newline_survive() -> None:
    text = "\ufeffRails.application.configure do\r\n\t# config.force_ssl = true\r\n\tx\n\ty\r\nend"
    outcome = edit(text.encode(), [FORCE_SSL, CACHE_STORE])
    assert outcome.text.decode() == (
        "\ufeffRails.application.configure do\r\n\tconfig.force_ssl = true\r\n\tx\n\ty\r\n"
        f"\r\n\t{CACHE_STORE.comment}\r\n\t{CACHE_STORE.line}\r\nend"
    )


def test_a_file_is_written_in_one_step_with_its_mode_and_through_its_link(tmp_path: Path) -> None:
    target = tmp_path / "real.rb"
    target.write_bytes(block("  # config.force_ssl = true\n"))
    target.chmod(0o640)
    link = tmp_path / "production.rb"
    link.symlink_to("real.rb")
    outcome = edit_file(tmp_path, "production.rb", [FORCE_SSL])
    assert outcome.changed
    assert link.is_symlink()
    assert target.read_bytes() == outcome.text
    assert target.stat().st_mode & 0o7777 == 0o640
    assert sorted(tmp_path.iterdir()) == [link, target]


def test_a_file_with_nothing_to_change_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "production.rb"
    path.write_bytes(block(RIGHT))
    os.utime(path, ns=(1, 1))
    inode = path.stat().st_ino
    assert not edit_file(tmp_path, "production.rb").changed
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (inode, 1)


def test_a_file_that_is_not_there_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"production\.rb: No such file or directory"):
        edit_file(tmp_path, "production.rb")


FORMS: dict[Setting, list[str]] = {
    setting: [
        "",
        setting.line,
        f"# {setting.line}",
        f"#{setting.line}",
        f'{setting.line} if ENV["X"]',
        f'if ENV["X"]\n    {setting.line}\n  end',
        f'config.{setting.name} = ENV["OWN"]',
        f'unless ENV["X"]\n    # {setting.line}\n    config.x.y = 1\n  end',
        *(f"config.{setting.name} = {value}" for value in setting.stock),
        *(f"# config.{setting.name} = {value}" for value in (*setting.stock, *setting.examples)),
        *(f"# config.{setting.name} = {value}\n  {setting.line}" for value in setting.stock),
    ]
    for setting in DEFAULT
}
NOISE = [
    "# Reviewed in março, ✓.",
    "config.eager_load = true",
    'config.x.motd = "config.force_ssl = false"',
    "config.x.motd = 'end # config.force_ssl = true'",
    "config.x.sql = <<~SQL.strip\n    # config.cache_store = :mem_cache_store\n    end\n  SQL",
    "config.hosts = %w[\n    a.example\n\n    b.example\n  ]",
    "config.hosts << /.*\\.example\\.com/",
    "config.x.half = 10 / 2",
    'config.log_level = ENV.fetch("LEVEL", "info")',
    "config.ssl_options = { redirect: { exclude: ->(request) { request.path == '/up' } } }",
    "config.x.keys = { if: 1, end: 2, do: 3, class: 4 }",
    "config.x.late = if config.eager_load then 1 else 2 end",
    "config.x.many = [1, 2].map do |n|\n    next if n == 1\n\n    n * 2\n  end",
    "config.logger = Logger.new(STDOUT)\n    .tap { |l| l.level = 1 }\n    # then\n    .freeze",
    "config.solid_queue.connects_to = { database: { writing: :queue } }",
    "config.x.deep = begin\n    1\n  rescue StandardError\n    2\n  end",
    "=begin\n# config.force_ssl = true\n=end",
    'config.x.text = "a \\\n    b #{[1].map { |n| "#{n}" }.join(\', \')}"',
    "while false do\n    config.x.never = 1\n  end",
    "config.x.a = 1; config.x.b = 2",
]


@st.composite
def production_rb(draw: st.DrawFn) -> bytes:
    parts = [draw(st.sampled_from(forms)) for forms in FORMS.values()]
    parts += draw(st.lists(st.sampled_from(NOISE), max_size=6))
    gap = draw(st.sampled_from(["\n", "\n\n"]))
    inside = gap.join(
        part if part.startswith("=") else f"  {part}"
        for part in draw(st.permutations(parts))
        if part
    )
    text = f"# Production.\nRails.application.configure do\n{inside}\nend\n"
    if draw(st.booleans()):
        text = text.replace("\n  ", "\n\t")
    if draw(st.booleans()):
        text = text.replace("\n", "\r\n")
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    return text.encode()


@requires("ruby")
@settings(
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.generate],  # 25 files at a time shrink too slowly to be worth it
)
@given(sources=st.lists(production_rb(), min_size=25, max_size=25), x=st.booleans())
def test_ruby_sees_only_the_intended_settings_differ(
    sources: list[bytes], x: bool, tmp_path: Path
) -> None:
    outcomes = [edit(source) for source in sources]
    env = {"X": "1"} if x else {}
    files = [*sources, *(outcome.text for outcome in outcomes)]
    recorded = record(files, tmp_path, env)
    before, after = recorded[: len(sources)], recorded[len(sources) :]
    for source, outcome, was, now in zip(sources, outcomes, before, after, strict=True):
        assert outcome.refused is None
        assert was.error is None
        only_these_differ(was, now, outcome)
        left = {one.setting for one in outcome.left}
        for setting in DEFAULT:
            assert is_right(setting, now) or setting in left
        again = edit(outcome.text)
        assert (again.text, again.changed, again.left) == (outcome.text, (), outcome.left)
        lines = [line.strip() for line in source.split(b"\n") if line.strip()]
        assert own_lines_undone(outcome) == lines
        assert outcome.text.count(b"\r\n") in (0, outcome.text.count(b"\n"))


FRAGMENTS = [
    *("Rails", "::", ".", "application", "configure", "config", "cache_store", "force_ssl", "true"),
    *(
        "=",
        "==",
        "=>",
        "||=",
        ",",
        ";",
        "&",
        "|",
        "&.",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "#{",
        "!",
        "?",
    ),
    *(
        "do",
        "end",
        "if",
        "else",
        "def",
        "begin",
        "rescue",
        "while",
        "class",
        "<<~A",
        "A",
        "%w[",
        "1",
    ),
    *(
        "'",
        '"',
        "`",
        "/",
        "%",
        "# ",
        "\\",
        ":",
        ":mem_cache_store",
        "__END__",
        "=begin",
        "=end",
        "é",
    ),
    *(" ", "\n", "\r\n", "\t", "\n\n", "\n  "),
]


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from([*FRAGMENTS, *NOISE, *chain.from_iterable(FORMS.values())])),
    st.sampled_from(["", " ", "\n  "]),
    st.booleans(),
)
def test_no_text_makes_it_fail_and_a_refused_one_stays_as_it_is(
    parts: list[str], gap: str, whole: bool
) -> None:
    text = gap.join(parts)
    source = text.encode() if whole else block(f"  {text}\n")
    outcome = edit(source)
    if outcome.refused:
        assert outcome.text == source
    else:
        assert edit(outcome.text).text == outcome.text


@settings(max_examples=150)
@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(source: bytes) -> None:
    outcome = edit(block("")[:-4] + source)
    assert outcome.refused is None or outcome.text.endswith(source)

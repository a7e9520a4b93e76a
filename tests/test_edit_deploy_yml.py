"""An owner's deploy.yml where code says what its volume is called."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kamalstream.edit.deploy_yml import edit_base
from kamalstream.edit.destination_yml import Destination, edit_destination
from kamalstream.edit.kamal_pieces import Placement
from kamalstream.edit.yaml_text import YamlText

DEFAULT = "notes_storage:/rails/storage"
WEB = Placement("roles", "web")


@pytest.fixture
def ours(template: Path, tmp_path: Path) -> str:
    from .fixtures_template import render

    render(template, tmp_path / "fresh", skip_tasks=True)
    return (tmp_path / "fresh/config/deploy.yml").read_text()


@pytest.mark.parametrize("source", ['<%= ENV["DATA"] %>', "<%= ENV.fetch('A:B') %>"])
def test_a_volume_that_code_names_is_the_sidecars_too(ours: str, source: str) -> None:
    volume = f"{source}:/rails/storage"
    text = f'service: notes\nservers:\n  - 192.0.2.1\nvolumes:\n  - "{volume}"\n'
    edited = edit_base(text, ours, None, WEB, [DEFAULT])
    assert not edited.by_hand
    assert "notes_storage" not in edited.text
    base = YamlText(edited.text)
    assert base.value(("volumes",)) == [volume]
    assert base.value(("accessories", "litestream", "volumes")) == [volume]

    needs = Destination(
        *("staging", "config/deploy.staging.yml", "config/litestream.staging.yml"),
        *((DEFAULT,), ("192.0.2.2",), "notes", False, False),
    )
    destination = edit_destination("servers:\n  - 192.0.2.2\n", base.data, ours, None, WEB, needs)
    assert not YamlText(destination.text).has(("accessories", "litestream", "volumes"))


def test_what_the_template_has_no_more_goes_where_it_is_as_it_was(ours: str) -> None:
    text = "service: notes\nservers:\n  - 192.0.2.1\n"
    old = YamlText(ours).add(("accessories", "litestream", "options", "cpus"), ["cpus: 1"])
    old = old.add(("accessories", "litestream", "labels"), ["labels:", "  a: b"])
    old = old.add(("aliases", "backup-old"), ["backup-old: app exec x"])
    before = edit_base(text, old.text, None, WEB, [DEFAULT]).text
    assert "backup-old" in before
    mine = before.replace("a: b", "a: mine")
    now = edit_base(mine, ours, old.text, WEB, [DEFAULT])
    assert not now.by_hand
    assert [one for one in mine.splitlines() if one not in now.text.splitlines()] == [
        "      cpus: 1",
        "  backup-old: app exec x",
    ]


def test_the_look_for_a_second_writer_comes_with_an_update_and_stays_out_where_taken_out(
    ours: str,
) -> None:
    sidecar = ("accessories", "litestream")
    text = "service: notes\nservers:\n  - 192.0.2.1\n"
    old = YamlText(ours)
    for key in ("entrypoint", "stop-timeout"):
        old = old.remove((*sidecar, "options", key))
    one_writer = "bin/one-writer:/usr/local/bin/one-writer:ro"
    old = old.remove_items((*sidecar, "files"), [one_writer])
    before = edit_base(text, old.text, None, WEB, [DEFAULT]).text
    assert "one-writer" not in before
    now = edit_base(before, ours, old.text, WEB, [DEFAULT])
    assert not now.by_hand
    base = YamlText(now.text)
    assert base.value((*sidecar, "options", "entrypoint")) == "/usr/local/bin/one-writer"
    assert base.value((*sidecar, "options", "stop-timeout")) == 35
    assert one_writer in base.value((*sidecar, "files"))
    without = base.remove((*sidecar, "options", "entrypoint")).text
    assert edit_base(without, ours, ours, WEB, [DEFAULT]).text == without

    # A destination's list of files takes the place of the base's.
    config = "config/litestream.staging.yml"
    here = Destination(
        *("staging", "config/deploy.staging.yml", config),
        *((), ("192.0.2.2",), "notes", False, False),
    )
    staging = edit_destination("servers:\n  - 192.0.2.2\n", base.data, old.text, None, WEB, here)
    files = (*sidecar, "files")
    assert YamlText(staging.text).value(files) == [f"{config}:/etc/litestream.yml:ro"]
    later = replace(here, config=None)
    updated = edit_destination(staging.text, base.data, ours, old.text, None, later)
    assert YamlText(updated.text).value(files) == [f"{config}:/etc/litestream.yml:ro", one_writer]
    again = edit_destination(updated.text, base.data, ours, ours, None, later)
    assert again.text == updated.text

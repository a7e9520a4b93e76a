"""An owner's deploy.yml where code says what its volume is called."""

from __future__ import annotations

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

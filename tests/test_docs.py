"""The documents say what the facts and the template say."""

from __future__ import annotations

import io
import re
import runpy

import pytest
from rich.style import Style

from kamalstream.check.finding import Finding
from kamalstream.commands.findings import linked
from kamalstream.render import source
from kamalstream.render.source import Source
from kamalstream.terminal import Terminal
from tests.conftest import ROOT


def test_the_page_of_questions_is_what_copier_yml_and_the_facts_make_it() -> None:
    build = runpy.run_path(str(ROOT / "docs" / "build.py"))
    written = (ROOT / "docs" / "questions.md").read_text("utf-8")
    assert written == build["questions"](), "run: python docs/build.py"


def test_the_page_of_checks_is_what_their_code_makes_it_and_has_all_of_them() -> None:
    build = runpy.run_path(str(ROOT / "docs" / "checks.py"))
    page = (ROOT / "docs" / "checks.md").read_text("utf-8")
    assert page == build["checks"](), "run: python docs/checks.py"
    code = "".join(file.read_text("utf-8") for file in (ROOT / "kamalstream/check").glob("*.py"))
    ids = set(re.findall(r'Finding\(\s*"([a-z0-9.-]+)"', code))
    assert len(ids) > 80
    assert ids <= set(re.findall(r"(?m)^## (\S+)$", page))


def test_every_link_in_the_documents_leads_to_a_file() -> None:
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for link in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / link).exists(), f"{page.relative_to(ROOT)}: {link}"


def test_on_a_terminal_an_id_links_to_what_it_means(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [Finding("databases.left-out", "note", "config/litestream.yml", 0, "left out")]
    console = Terminal(file=io.StringIO(), force_terminal=True, width=80)
    page = ROOT / "docs/checks.md"
    [id_] = [span for span in linked(found, console).spans if isinstance(span.style, Style)]
    assert isinstance(id_.style, Style)
    assert id_.style.link == f"{page.as_uri()}#databasesleft-out"
    assert "\n## databases.left-out\n" in page.read_text()
    assert linked(found, Terminal(file=io.StringIO())).spans == []

    for location, link in (
        ("git+https://example.com/o/kamalstream", "https://example.com/o/kamalstream/blob/4f"),
        ("https://example.com/o/kamalstream.git", "https://example.com/o/kamalstream/blob/4f"),
        ("git@example.com:o/kamalstream.git", None),
    ):
        monkeypatch.setattr(source, "template_source", lambda at=location: Source(at, "4f"))
        assert source.every_check() == (f"{link}/docs/checks.md" if link else "")

"""The documents say what the facts and the template say."""

from __future__ import annotations

import re
import runpy

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

"""A release says what it changes, and every release can be updated to the working tree."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.version import InvalidVersion, Version

from kamalstream.facts import NEW_ANSWERS
from kamalstream.render.files import rendered_files
from kamalstream.update.news import news
from kamalstream.update.outcome import UNDO, conflicts

from .conftest import ROOT
from .fixtures_template import commit, git, make_app, render, snapshot
from .fixtures_update import copy_of, source, update

#: docs/updates.md says it; older tags, if there were any, are not tried.
OLDEST = "0.1.0"
EDITOR = "kamalstream/edit/production_rb.py"
EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def tags(repository: Path) -> list[str]:
    """Return the releases of `repository`, the newest first."""
    return git(repository, "tag", "--merged", "HEAD", "--sort=-creatordate").split()


def _named(template_file: str) -> str:
    """Return the name of the file in an app, NAME for a destination's."""
    if "_copier_conf" in template_file:
        return ".copier-answers.yml"
    name = Path(template_file.removesuffix(".jinja")).name
    return re.sub(r"{{.*?}}", "NAME", re.sub(r"{%.*?%}", "", name))


def unnamed(repository: Path) -> list[str]:
    """Return the files changed since the last release that CHANGELOG.md does not name."""
    released = tags(repository)
    since = released[0] if released else EMPTY_TREE
    changed = git(repository, "diff", "--name-only", since, "--", "template").splitlines()
    said = news((repository / "CHANGELOG.md").read_text("utf-8"), since, "0.post1")
    files = {_named(name) for name in changed if NEW_ANSWERS not in name}
    return sorted(file for file in files if file not in said)


def test_the_changelog_names_every_file_of_the_template_that_changed_since_the_last_release() -> (
    None
):
    assert unnamed(ROOT) == []


def test_a_change_that_the_changelog_does_not_name_is_found(template: Path, tmp_path: Path) -> None:
    repository = copy_of(template, tmp_path / "repository")
    changelog = repository / "CHANGELOG.md"
    text = changelog.read_text()
    changelog.write_text(text.replace("## [Unreleased]", "## [Unreleased]\n\n## [0.1.0]"))
    path = source(repository, "bin/restore")
    path.write_text(path.read_text() + "# more\n")
    commit(repository, "A change")
    assert unnamed(repository) == ["restore"]
    changelog.write_text(
        changelog.read_text().replace("[Unreleased]", "[Unreleased]\n\n- `bin/restore`: more", 1)
    )
    assert unnamed(repository) == []


def settings(production_rb: str) -> tuple[Any, ...]:
    module = ModuleType("settings_of_a_release")
    sys.modules[module.__name__] = module
    exec(production_rb, module.__dict__)
    return tuple(module.DEFAULT)


def unmarked(repository: Path) -> list[str]:
    """Return the production.rb settings that updates from the last release would not bring."""
    last = tags(repository)[0]
    before = settings(git(repository, "show", f"{last}:{EDITOR}"))
    known = {(one.name, one.value) for one in before}
    return [
        one.name
        for one in settings((repository / EDITOR).read_text("utf-8"))
        if (one.name, one.value) not in known and Version(one.since) <= Version(last)
    ]


def test_a_new_setting_of_production_rb_says_since_when_so_that_updates_bring_it(
    template: Path, tmp_path: Path
) -> None:
    if tags(ROOT):
        assert unmarked(ROOT) == []
    repository = copy_of(template, tmp_path / "repository")
    editor = repository / EDITOR
    text = editor.read_text()
    new = 'DEFAULT = (Setting("log_level", ":info", "# Less.", ()), '
    editor.write_text(text.replace("DEFAULT = (", new))
    assert unmarked(repository) == ["log_level"]
    editor.write_text(text.replace("DEFAULT = (", new.replace("())", '(), since="0.2.0")')))
    assert unmarked(repository) == []


def test_every_tag_is_a_version_that_the_changelog_has() -> None:
    sections = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert "Unreleased" in sections
    for tag in tags(ROOT):
        try:
            Version(tag)
        except InvalidVersion:
            pytest.fail(f"the tag {tag} is no version (PEP 440): Copier would pass over it")
        assert tag in sections


def test_the_page_about_updates_says_what_the_code_does() -> None:
    page = (ROOT / "docs/updates.md").read_text("utf-8")
    assert f"\n{UNDO}\n" in page
    assert f"Updates work from {OLDEST}," in page
    workflow = re.findall(r"```yaml\n(name: .*?)\n```\n", page, re.DOTALL)
    (job,) = yaml.safe_load(workflow[0])["jobs"].values()
    assert "kamalstream update --yes" in job["steps"][-1]["run"]


@pytest.mark.parametrize("tag", ["HEAD", *(t for t in tags(ROOT) if Version(t) >= Version(OLDEST))])
def test_an_app_of_each_release_is_updated_to_the_working_tree(tag: str, tmp_path: Path) -> None:
    template = tmp_path / "template"
    git(tmp_path, "clone", "--quiet", str(ROOT), str(template))
    git(template, "checkout", "--quiet", "--detach", tag)
    if tag == "HEAD":
        git(template, "tag", "0.0.1")
    app = make_app("rails_8_1", tmp_path / "notes")
    render(template, app, vcs_ref="0.0.1" if tag == "HEAD" else tag)
    commit(app, "Deploy with Kamal and Litestream")
    git(template, "rm", "-rq", ".")
    snapshot(template, "9999.0.0")
    result = update(app)
    assert result.returncode == 0, result.stderr
    assert conflicts(app) == []
    assert "_commit: 9999.0.0" in (app / ".copier-answers.yml").read_text()
    fresh = tmp_path / "fresh" / "notes"
    answers = yaml.safe_load((app / ".copier-answers.yml").read_text())
    told = {name: value for name, value in answers.items() if not name.startswith("_")}
    render(template, fresh, told, vcs_ref="9999.0.0", skip_tasks=True)
    for file in rendered_files(template, app):
        if "production.rb" not in file and not file.startswith(".copier-answers"):
            assert (app / file).read_bytes() == (fresh / file).read_bytes(), file

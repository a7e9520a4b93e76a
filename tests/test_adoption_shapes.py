"""Adoptions of apps put together from the forms that occur: sound, or said; and nothing lost.

What a deployment comes to is asked of Kamal itself, what an entrypoint does of the shell that runs
it, and whether a Dockerfile is one of hadolint.
"""

from __future__ import annotations

import os
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, event, given, settings

from kamalstream import facts
from kamalstream.ask.adoption import known_answers, uncertain_databases
from kamalstream.ask.answers import earlier, settle
from kamalstream.ask.questions import Asking
from kamalstream.check import check_files
from kamalstream.edit.adoption import Adoption
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import App
from kamalstream.inspect.app import inspect_app
from kamalstream.render.apply import apply
from kamalstream.render.plan import Plan, plan
from kamalstream.render.with_copier import Template, in_place, render

from .conftest import requires
from .kamal_oracle import Oracle
from .shapes import Shape, shapes
from .soundness import (
    Adopted,
    differing,
    is_false,
    lost_line,
    mount_of,
    mounts_of,
    of_kamal,
    unparsed,
    variables,
)

#: How many apps are tried; KAMALSTREAM_SHAPES=1000 tries that many others.
LONG = int(os.environ.get("KAMALSTREAM_SHAPES", "0"))
GIVEN = {"server_ip": "203.0.113.7", "domain": "shop.example.com", "bucket": "shop-backups"}
GIVEN |= {"registry_username": "acme"}


@requires("kamal", "hadolint", "bash")
@settings(
    max_examples=LONG or 40,
    derandomize=not LONG,
    database=None,
    suppress_health_check=list(HealthCheck),
    # An app takes a third of a second, so one that fails is shown as it was drawn.
    phases=[Phase.generate],
    print_blob=True,
)
@given(shape=shapes())
def test_an_adoption_is_sound_or_says_where_not_and_loses_nothing(
    shape: Shape, oracle: Oracle, template: Path
) -> None:
    with tempfile.TemporaryDirectory(prefix="shape-") as scratch:
        folder = Path(scratch)
        app = shape.create(folder / "shop")
        before = {name: oracle(app, name) for name in shape.destinations}
        try:
            planned, answers = _adopt(app, folder, in_place(template))
        except BadInput as error:
            refused = str(error)
        else:
            refused = ""
        if refused:
            event("refused")
            assert _may_be_refused(shape, before, refused), refused
            return
        _whole_or_edited(shape, planned, answers)
        apply(planned, datetime.now())
        findings = check_files(App(app))
        adopted = Adopted(app, shape.root, shape.destinations, shape.opens, findings, answers)
        for name, said in before.items():
            after = oracle(app, name)
            said_so = any(one.file.endswith(f".{name}.yml") for one in planned.by_hand)
            assert not said.get("hosts") or "error" not in after or said_so, (name, after)
            if said.get("hosts") and "error" not in after:
                changed = of_kamal(said), of_kamal(after, said)
                assert changed[0] == changed[1] or said_so, (name, *differing(*changed))
        found = {n: oracle(app, n) for n, said in before.items() if said.get("hosts")}
        found = {n: said for n, said in found.items() if "error" not in said}
        problems = [*adopted.problems(found)]
        event(f"{len(planned.by_hand)} by hand")
        unsaid = [one for one in problems if not adopted.says(one)]
        assert not unsaid, (unsaid, planned.by_hand, adopted.findings)
        if all("error" not in said for said in before.values()):
            errors = [one for one in adopted.findings if one.level == "error"]
            false = [one for one in errors if is_false(one, problems)]
            assert not false or not found, false
        _again(app, folder, in_place(template), answers)
        assert not [*unparsed(app)]


def _adopt(app: Path, folder: Path, source: Template) -> tuple[Plan, dict[str, Any]]:
    read = inspect_app(app)
    known = known_answers(read, {}, earlier(app))
    known.given |= {name: one for name, one in GIVEN.items() if name not in known.offered}
    uncertain_databases(read, known, True)
    settle(known, True, app.name)
    rendered = folder / "now" / app.name
    answers = render(source, rendered, Asking(known.given, known.offered))
    return plan(Adoption(app, answers, rendered, None, read.kamal)), answers


def _may_be_refused(shape: Shape, said: dict[str | None, Any], why: str) -> bool:
    """Whether the app has databases that are on no volume, or that cannot be read."""
    if "which databases production opens cannot be read" in why:
        return True
    outside = "is on no volume" in why or "is outside the volume" in why
    return outside and any(
        mount_of(mounts_of(one), path) is None
        for one in said.values()
        for path in shape.opens(variables(one)).values()
    )


# --- What was there -------------------------------------------------------------------------------


def _whole_or_edited(shape: Shape, planned: Plan, answers: dict[str, Any]) -> None:
    """Every line of a file of the owner's is there still, in its order."""
    for change in planned.changes:
        old = shape.files.get(change.file)
        if old is None or change.file == facts.ANSWERS:
            continue
        if change.kind == "whole":
            assert change.file not in answers["own_files"], change.file
            assert change.file == facts.ENTRYPOINT, change.file
            continue
        new = change.after.decode()
        assert ("\r\n" in old) == ("\r\n" in new), change.file
        lost = lost_line(old, new)
        assert not lost, (change.file, lost, new)


def _again(app: Path, folder: Path, source: Template, answers: dict[str, Any]) -> None:
    """What an adoption has made is as a second one would have it."""
    read = inspect_app(app)
    before = earlier(app)
    known = known_answers(read, {}, before)
    settle(known, True, app.name)
    last = folder / "now" / app.name
    changed = {k: (before[k], v) for k, v in known.offered.items() if v != before.get(k, v)}
    assert not changed, changed
    again = plan(Adoption(app, answers, last, last, read.kamal))
    assert not again.changes, [(one.file, one.after.decode()) for one in again.changes]

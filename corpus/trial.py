"""What comes of an app: sound, refused with a remedy that works, said, or wrong."""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from corpus import remedies
from corpus.subject import Subject
from kamalstream import facts
from kamalstream.check import check_files
from kamalstream.check.finding import Finding
from kamalstream.errors import BadInput
from kamalstream.inspect.adopted import App
from kamalstream.render.plan import Plan
from tests.kamal_oracle import Oracle
from tests.soundness import (
    Adopted,
    differing,
    is_false,
    lost_line,
    of_kamal,
    unparsed,
    variables,
)

Word = Literal["sound", "refused", "said", "WRONG"]
Kamals = dict[str | None, dict[str, Any]]
#: Of these only code has to stay: settings and paths take the place of comments.
_CODE = (facts.PRODUCTION_RB, facts.DATABASE_YML)


@dataclass(frozen=True)
class Verdict:
    """`lines` are those that came to and went from each file that was there."""

    app: str
    destinations: tuple[str, ...]
    word: Word
    lines: Mapping[str, str]
    why: tuple[str, ...]


def judge(checkout: Path, scratch: Path, oracle: Oracle) -> Verdict:
    """Adopt a copy of `checkout` below the empty folder `scratch`, and judge what came of it."""
    subject = Subject.copied(checkout, scratch)
    done: list[str] = []
    lines: dict[str, str] = {}
    try:
        word, why = _judged(subject, done, lines, oracle)
    except Exception:
        word, why = "WRONG", [traceback.format_exc(limit=-2).strip()]
    further = tuple(str(one) for one in subject.destinations if one)
    return Verdict(checkout.name, further, word, lines, (*done, *why))


def _judged(
    subject: Subject, done: list[str], lines: dict[str, str], oracle: Oracle
) -> tuple[Word, list[str]]:
    while True:
        before = subject.kamal(oracle)
        try:
            planned, answers = subject.adopt()
        except BadInput as refused:
            if remedies.answer(subject, refused):
                continue
            followed = remedies.follow(subject, refused)
            if followed is None or followed in done:
                return _refused(subject, str(refused), done)
            done.append(followed)
            continue
        subject.commit("adopted")
        lines |= {
            one.file: f"+{one.counts[0]}" + (f" -{one.counts[1]}" if one.counts[1] else "")
            for one in planned.changes
            if one.before is not None and one.file not in lines
        }
        trial = _Trial(subject, planned, answers, check_files(App(subject.app)))
        wrong = [*trial.of_kamal(before, subject.kamal(oracle)), *trial.of_files()]
        if wrong:
            return "WRONG", [*wrong, *trial.said]
        obeyed = remedies.obey(subject, planned.by_hand, trial.errors)
        if obeyed is None or obeyed in done:
            return ("said" if trial.said else "refused" if done else "sound"), trial.said
        done.append(obeyed)


def _refused(subject: Subject, said: str, done: list[str]) -> tuple[Word, list[str]]:
    """Judge a refusal that names no way on: it is right where there is no SQLite to back up."""
    why = said.replace(str(subject.app), subject.app.name)
    nothing = "there is nothing here" in said
    right = nothing or "has no Gemfile.lock" in said or "not a Rails app" in said
    if nothing or "leaves nothing to back up" in said:
        try:
            right = not facts.backed_up(subject.opens({}), backup_ephemeral=False)
        except ValueError as error:
            why += f" (Active Record: {error})"
    return ("refused" if right else "WRONG"), [why]


@dataclass
class _Trial:
    """An adoption that was written."""

    subject: Subject
    plan: Plan
    answers: Mapping[str, Any]
    findings: list[Finding]

    @property
    def said(self) -> list[str]:
        """What the owner is told to do: by hand, and the errors of `check`."""
        return [
            *(f"by hand: {str(one).splitlines()[0]}" for one in self.plan.by_hand),
            *(f"{one.id} {one.file}:{one.line} {one.message}" for one in self.errors),
        ]

    @property
    def errors(self) -> list[Finding]:
        """The errors of `check`."""
        return [one for one in self.findings if one.level == "error"]

    def of_kamal(self, before: Kamals, after: Kamals) -> Iterator[str]:
        """Yield what of Kamal's deployments is not as it has to be, and was not said."""
        subject = self.subject
        for name, said in before.items():
            if "error" in said or not said["hosts"]:
                continue
            changed: list[Any] = [after[name].get("error")]
            if not changed[0]:
                said = _filled_in(said, after[name])
                changed = [*differing(of_kamal(said), of_kamal(after[name], said))]
                if facts.DEPLOY not in self.answers["own_files"]:
                    # The whole of it is the template's.
                    changed = []
            if changed and not self._is_by_hand((f"config/deploy.{name}.yml", facts.DEPLOY)):
                yield f"{name or 'base'}: Kamal has it otherwise: {changed}"
        found, unknown = _known(subject, after)
        adopted = Adopted(
            subject.app,
            subject.root,
            subject.destinations,
            subject.opens,
            self.findings,
            self.answers,
        )
        problems = [*adopted.problems(found)]
        for problem in problems:
            if not adopted.says(problem) and not self._is_by_hand(problem.files):
                yield problem.what
        if found and not unknown:
            errors = (one for one in self.findings if one.level == "error")
            yield from (f"false: {one.id} {one.file}" for one in errors if is_false(one, problems))

    def of_files(self) -> Iterator[str]:
        """Yield what is gone, what no longer parses, and what a second adoption changes."""
        for one in self.plan.changes:
            if one.kind != "edited" or one.before is None or one.after is None:
                continue
            old, new = _without_placeholders(one.before.decode()), one.after.decode()
            if one.file in _CODE:
                old, new = (re.sub(r"(?m)^\s*#.*\n?", "", text) for text in (old, new))
            lost = lost_line(old, new)
            if lost:
                yield f"{one.file} lost {lost.strip()!r}"
        now = {*unparsed(self.subject.app)}
        if now:
            self.subject.git("checkout", "--quiet", "HEAD~1")
            yield from now - {*unparsed(self.subject.app)}
            self.subject.git("checkout", "--quiet", "-")
        again, _ = self.subject.adopt()
        if again.changes:
            yield f"a second time changes {', '.join(one.file for one in again.changes)}"

    def _is_by_hand(self, files: tuple[str, ...]) -> bool:
        return any(one.file in files for one in self.plan.by_hand)


def _filled_in(said: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Return what Kamal said, with the server in the place of what generators write for one."""
    text = json.dumps(said)
    for placeholder in facts.PLACEHOLDERS["server_ip"]:
        text = text.replace(f'"{placeholder}"', json.dumps(after["server"]))
    filled: dict[str, Any] = json.loads(text)
    return filled


def _without_placeholders(text: str) -> str:
    """Leave out the lines that only say where a value belongs."""
    values = [value for values in facts.PLACEHOLDERS.values() for value in values]
    return "\n".join(line for line in text.splitlines() if not any(one in line for one in values))


def _known(subject: Subject, kamals: Kamals) -> tuple[Kamals, list[str | None]]:
    """Return the deployments whose databases Active Record knows, and the names of the others."""
    found: Kamals = {}
    unknown = []
    for name, said in kamals.items():
        if "error" in said:
            unknown.append(name)
        elif said["hosts"]:
            try:
                subject.opens(variables(said))
                found[name] = said
            except ValueError:
                unknown.append(name)
    return found, unknown

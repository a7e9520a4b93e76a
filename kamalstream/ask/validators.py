"""The template's questions, answered and judged without running Copier.

copier.yml says what an answer is where none is given, problems.jinja what is wrong with one. Both
are read here as Copier reads them (copier/_main.py, Worker.jinja_env and Worker._ask), so nothing
of them is said a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from copier._user_data import CAST_STR_TO_NATIVE
from jinja2 import DictLoader, Template
from jinja2.sandbox import SandboxedEnvironment

from kamalstream import yaml_input
from kamalstream.ask.questions import QUESTIONS, copier_yml, is_kept
from kamalstream.errors import BadInput
from kamalstream.facts import ANSWERS, read_own
from kamalstream.regular_file import read_text

_PACKAGE = Path(__file__).resolve().parent.parent
_PROBLEMS = "kamalstream/ask/problems.jinja"
#: Read by copier.yml and problems.jinja.
_READ = ("facts/*.yml", "ask/*.jinja")
#: What stays although it is refused: the default in its place would be a wrong guess.
_NEVER_DROPPED = frozenset({"databases", "destinations"})


class RefusedAnswers(BadInput):
    """Answers that the template does not take; `problems` maps each to what is wrong with it."""

    def __init__(self, problems: Mapping[str, str]) -> None:
        """Say one line for each."""
        super().__init__("\n".join(f"{name} {problem}" for name, problem in problems.items()))
        self.problems = dict(problems)


class Form:
    """The questions of one release of the template, and its validators.

    `questions` is the text of copier.yml, `files` what it includes: path in the template → text.
    All of it is read at once, as Copier's clone of a template does not last.
    """

    def __init__(self, questions: str, files: Mapping[str, str]) -> None:
        """Parse copier.yml; raise BadInput where it is none."""
        loaded = read_own(questions)
        if not isinstance(loaded, dict):
            raise BadInput(f"{QUESTIONS} of the template holds no questions.")
        self._settings = {k: v for k, v in loaded.items() if k.startswith("_")}
        self._questions = {k: v for k, v in loaded.items() if not k.startswith("_")}
        self._asked = {k: v for k, v in self._questions.items() if is_kept(v)}
        self._environment = SandboxedEnvironment(
            loader=DictLoader(dict(files)),
            extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"],
            **{"keep_trailing_newline": True, **self._settings.get("_envops", {})},
        )
        self._compiled: dict[str, Template] = {}

    @classmethod
    def of(cls, template: Path) -> Form:
        """Read the template in the folder `template`; raise OSError where it is none."""
        return cls((template / QUESTIONS).read_text("utf-8"), _files(template / "kamalstream"))

    def completed(
        self, told: Mapping[str, Any], folder: str = "", external: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """Return what every question comes to where only `told` is known, and nobody is asked.

        What nothing can be derived from is "". Left out are questions that do not apply, such as
        the user name at a registry that has no users. `folder` is the name of the app's folder,
        `external` the content of the files that copier.yml names as `_external_data`. Raises
        RefusedAnswers for answers that are no values of their questions.
        """
        problems = self._unreadable(told)
        if problems:
            raise RefusedAnswers(problems)
        answers = self._context(told, folder, external)
        return {k: answers[k] for k, q in self._asked.items() if self._applies(q, answers)}

    def worked_out(self, name: str, told: Mapping[str, Any]) -> Any:
        """Return what the derived value `name` of copier.yml is where `told` are the answers."""
        return self._context(told, "", None)[name]

    def problems(
        self, told: Mapping[str, Any], folder: str = "", external: Mapping[str, Any] | None = None
    ) -> dict[str, str]:
        """Return what is wrong with the `completed` answers: key → in words, {} if all is well.

        Answers that are no values of their questions are named alone: others hang on them.
        """
        problems = self._unreadable(told)
        if problems:
            return problems
        context = self._context(told, folder, external)
        checks = getattr(self._module(context), "checks", {})
        found = {name: str(check(context.get(name, ""))) for name, check in checks.items()}
        return {name: problem.strip() for name, problem in found.items() if problem.strip()}

    def refusals(
        self, given: Mapping[str, Any], offered: Mapping[str, Any], folder: str = ""
    ) -> tuple[dict[str, str], dict[str, str]]:
        """Judge answers that are `given` on top of those that are only `offered`.

        Returns why offered ones have to be left out (key → in words), and what is wrong with what
        is then there. Databases are never left out: they are among the latter.
        """
        dropped: dict[str, str] = {}
        while True:
            left = {k: v for k, v in offered.items() if k not in dropped and k not in given}
            found = self.problems({**left, **given}, folder)
            refused = {k: v for k, v in found.items() if k in left and k not in _NEVER_DROPPED}
            if not refused:
                return dropped, {name: dropped.get(name, said) for name, said in found.items()}
            dropped.update(refused)

    def external(self, app: Path) -> dict[str, Any]:
        """Return the content of the files in `app` that copier.yml names as `_external_data`."""
        named = self._settings.get("_external_data", {})
        # Earlier answers decide what is asked, and nobody is asked here.
        files = {name: app / file for name, file in named.items() if file != ANSWERS}
        return {n: yaml_input.load(read_text(f), n) for n, f in files.items() if f.is_file()}

    def _unreadable(self, told: Mapping[str, Any]) -> dict[str, str]:
        """Return what Copier could not parse, were it given."""
        macro = getattr(self._module({**self._facts, **self._known(told)}), "unreadable", None)
        if macro is None:
            return {}
        found = {name: str(macro(name, told[name])).strip() for name in self._known(told)}
        return {name: problem for name, problem in found.items() if problem}

    def _known(self, told: Mapping[str, Any]) -> dict[str, Any]:
        """Return those that there is a question for, in the order of the questions."""
        return {name: told[name] for name in self._asked if name in told}

    def _context(
        self, told: Mapping[str, Any], folder: str, external: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """Return what Copier would have for its templates, derived values included."""
        known = self._known(told)
        named = self._settings.get("_external_data", {})
        context = {
            **self._facts,
            **known,
            "_copier_conf": {"data": {}, "defaults": True},
            "_folder_name": folder,
            "_external_data": {name: (external or {}).get(name) for name in named},
        }
        for name, question in self._questions.items():
            no_value = name not in self._asked and question["type"] != "yaml"
            if no_value or name in self._facts:
                # No value are Copier's occasions to refuse what it was given.
                continue
            value = known[name] if name in known else question.get("default", "")
            if isinstance(value, str) and name not in known:
                value = self._rendered(value, context)
            context[name] = _cast(question["type"], value)
        return context

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """What is the same whatever is answered: what stands before the first question."""
        facts: dict[str, Any] = {}
        for name, question in self._questions.items():
            if name in self._asked:
                break
            if question["type"] == "yaml":
                facts[name] = _cast("yaml", self._rendered(question["default"], facts))
        return facts

    def _applies(self, question: Mapping[str, Any], answers: Mapping[str, Any]) -> bool:
        when = question.get("when", True)
        rendered = self._rendered(when, answers) if isinstance(when, str) else when
        return bool(_cast("bool", rendered))

    def _module(self, context: Mapping[str, Any]) -> object:
        return self._environment.get_template(_PROBLEMS).make_module(dict(context))

    def _rendered(self, text: str, context: Mapping[str, Any]) -> str:
        if text not in self._compiled:
            self._compiled[text] = self._environment.from_string(text)
        return self._compiled[text].render(context)


def _cast(kind: str, value: Any) -> Any:
    """Return `value` as Copier casts it (copier/_user_data.py, Question.cast_answer).

    A string that is no YAML stays one: the validators say that it is no list or mapping.
    """
    try:
        return CAST_STR_TO_NATIVE[kind](value)
    except (AttributeError, TypeError, ValueError):
        return value


def _files(package: Path) -> dict[str, str]:
    found: Iterator[Path] = (file for pattern in _READ for file in package.glob(pattern))
    return {f"kamalstream/{f.relative_to(package).as_posix()}": f.read_text("utf-8") for f in found}


@cache
def form() -> Form:
    """Return the questions and validators that belong to the running code."""
    return Form(copier_yml().read_text("utf-8"), _files(_PACKAGE))


def problems(told: Mapping[str, Any], folder: str = "") -> dict[str, str]:
    """Return what is wrong with the answers that `told` comes to; see `Form.problems`."""
    return form().problems(told, folder)


def completed(told: Mapping[str, Any], folder: str = "") -> dict[str, Any]:
    """Return what every question comes to; see `Form.completed`."""
    return form().completed(told, folder)


def defaults(given: Mapping[str, Any], app: Path) -> dict[str, Any]:
    """Return all answers as Copier has them in the folder `app` where only `given` is given.

    Raises RefusedAnswers, as `Form.completed` does.
    """
    return form().completed(given, app.resolve().name, form().external(app))

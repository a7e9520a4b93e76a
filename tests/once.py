"""What is a function of its text alone is worked out once: most tests give the same texts.

For each folder that Copier renders it compiles the whole template anew, and reads copier.yml and
the facts anew, which is most of what a rendering costs.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from subprocess import CompletedProcess
from types import CodeType
from typing import Any

import jinja2
import yaml
from copier import _template
from jinja2.lexer import get_lexer

from kamalstream.check import real_programs

Key = tuple[Any, ...]


def remember() -> None:
    """Have Jinja, PyYAML, Copier and shellcheck remember what they made of a text, but no error."""
    _compiling()
    _reading()
    _questions()
    _linting()


def _compiling() -> None:
    compiled: dict[Key, CodeType] = {}
    compile_text = jinja2.Environment.compile

    def once(
        self: jinja2.Environment,
        source: Any,
        name: str | None = None,
        filename: str | None = None,
        raw: bool = False,
        defer_init: bool = False,
    ) -> Any:
        if raw or not isinstance(source, str):
            return compile_text(self, source, name, filename, raw, defer_init)  # type: ignore[call-overload]
        key = (*_settings(self), source, name, defer_init)
        if key not in compiled:
            compiled[key] = compile_text(self, source, name, filename, False, defer_init)
        else:
            # Extensions begin anew with each text: Copier's `yield` does.
            self.preprocess(source, name, filename)
        return compiled[key].replace(co_filename=filename or "<template>")

    jinja2.Environment.compile = once  # type: ignore[method-assign,assignment]


def _settings(environment: jinja2.Environment) -> Key:
    """Return what the code of a template hangs on, besides its text.

    Filters and tests go by their names: an environment of the same kind has the same ones by them.
    """
    return (
        type(environment),
        type(environment.loader),
        get_lexer(environment),
        environment.autoescape,
        environment.is_async,
        environment.optimized,
        *(frozenset(named) for named in (environment.extensions, environment.filters)),
        frozenset(environment.tests),
    )


def _reading() -> None:
    read: dict[str, bytes] = {}
    load = yaml.load

    def once(stream: Any, Loader: Any) -> Any:  # noqa: N803
        if Loader is not yaml.SafeLoader or not isinstance(stream, str):
            return load(stream, Loader)
        if stream not in read:
            read[stream] = pickle.dumps(load(stream, Loader))
        return pickle.loads(read[stream])

    yaml.load = once


def _questions() -> None:
    read: dict[bytes, bytes] = {}
    load = _template.load_template_config

    def once(conf_path: Path, quiet: bool = False) -> dict[str, Any]:
        text = conf_path.read_bytes()
        if b"!include" in text:
            return load(conf_path, quiet)
        if text not in read:
            read[text] = pickle.dumps(load(conf_path, quiet))
        questions: dict[str, Any] = pickle.loads(read[text])
        return questions

    _template.load_template_config = once


def _linting() -> None:
    said: dict[Key, CompletedProcess[str]] = {}
    run = real_programs._run

    def once(command: list[str | Path], cwd: Path, **extra_env: str) -> CompletedProcess[str]:
        if Path(command[0]).name != "shellcheck":
            return run(command, cwd, **extra_env)
        # It takes half a second for the longest script, which is the same in nearly all apps.
        key = (*map(str, command), (cwd / command[-1]).read_bytes())
        if key not in said:
            said[key] = run(command, cwd, **extra_env)
        return said[key]

    real_programs._run = once

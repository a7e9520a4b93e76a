"""Which parts of Rails an app loads, and what its application is called."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kamalstream.inspect.code_lines import code_lines

FILE = "config/application.rb"

_APPLICATION = re.compile(
    r"\bclass\s+(?:(?P<module>[\w:]+)::)?\w+\s*<\s*(?:::)?Rails::Application\b"
)


@dataclass(frozen=True)
class Application:
    """The application of config/application.rb.

    `module` is the Ruby module around it ("MyApp"), `api_only` whether it sets config.api_only.
    """

    module: str
    api_only: bool


def application(app: Path) -> Application | None:
    """Read the application in the folder `app`; None where there is no Rails application."""
    module = ""
    lines = code_lines(app / FILE)
    for _, line in lines:
        opened = re.match(r"\s*module\s+([\w:]+)", line)
        if opened:
            module = opened[1]
        found = _APPLICATION.search(line)
        if found:
            api_only = any(re.search(r"\.api_only\s*=\s*true\b", line) for _, line in lines)
            return Application(found["module"] or module, api_only)
    return None


def loads(app: Path, railtie: str) -> bool:
    """Return whether config/application.rb of the app in the folder `app` loads `railtie`.

    That is a path to require, such as "active_storage/engine"; `rails/all` has all of Rails' own.
    """
    # Also inside %w( … ) and { "…" => … }: how older generators list the frameworks to require.
    said = re.compile(rf"(?<![\w/])(?:rails/all|{railtie})(?![\w/])")
    return any(said.search(line) for _, line in code_lines(app / FILE))

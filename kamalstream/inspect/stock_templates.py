"""The templates of `rails new` and `kamal init` (facts/stock), as steps to run over a file."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from kamalstream import facts

_TEMPLATES = Path(facts.__file__).parent / "stock"
_NAMES = {
    facts.DOCKERFILE: ("Dockerfile.tt",),
    facts.ENTRYPOINT: ("docker-entrypoint.tt",),
    facts.DEPLOY: ("deploy.yml.tt", "deploy.yml"),
    facts.SECRETS: ("kamal-secrets.tt", "secrets"),
    facts.DOCKERIGNORE: ("dockerignore.tt",),
}


# --- What the generators decide -------------------------------------------------------------------

# Conditions that follow from others, so that one file cannot have them both ways.
MEANS = {
    "using_bun?": "!using_node? && javascript_bun?",
    "skip_storage?": "skip_active_storage? && !sqlite3?",
    "sqlite3?": "!skip_active_record? && database_sqlite3?",
    "postgresql?": "!skip_active_record? && !database_sqlite3? && database_postgresql?",
    "mysql?": (
        "!skip_active_record? && !database_sqlite3? && !database_postgresql? && database_mysql?"
    ),
    "mysql2?": "mysql? && !trilogy?",
    "libvips_to_build?": "build_with_libvips? && !skip_active_storage?",
}

# The lists of packages, sorted as the generator does (AppBase#dockerfile_*_packages).
_LIBVIPS = "<% unless skip_active_storage? %> libvips<% end %>"
_POSTGRESQL = "<% if postgresql? %> postgresql-client<% end %>"
_NODE_GYP = "<% if using_node? %> node-gyp<% end %>"
_UNZIP = "<% if using_bun? %> unzip<% end %>"
_MYSQL_AND_GIT = "<% if mysql2? %> default-libmysqlclient-dev<% end %> git"
_LIBPQ = "<% if postgresql? %> libpq-dev<% end %>"
_WRITTEN = {
    "dockerfile_deploy_packages": (  # 7.1
        "curl<% if mysql2? %> default-mysql-client<% end %><% if sqlite3? %> libsqlite3-0<% end %>"
        + _LIBVIPS
        + _POSTGRESQL
    ),
    "dockerfile_base_packages": (  # 7.2 and later
        "curl<% if mysql? %> default-mysql-client<% end %> libjemalloc2"
        + _LIBVIPS
        + _POSTGRESQL
        + "<% if sqlite3? %> sqlite3<% end %>"
    ),
    "dockerfile_build_packages 7.1": (
        "build-essential<% if using_node? || using_bun? %> curl<% end %>"
        + _MYSQL_AND_GIT
        + _LIBPQ
        + _LIBVIPS
        + _NODE_GYP
        + " pkg-config<% if using_node? %> python<% unless ruby_before_bullseye? %>-is-python3"
        + "<% end %><% end %>"
        + _UNZIP
    ),
    "dockerfile_build_packages": (  # 7.2 and later
        "build-essential"
        + _MYSQL_AND_GIT
        + _LIBPQ
        + "<% if libvips_to_build? %> libvips<% end %>"
        + "<% if build_with_libyaml? %> libyaml-dev<% end %>"
        + _NODE_GYP
        + " pkg-config<% if using_node? %> python-is-python3<% end %>"
        + _UNZIP
    ),
    "dockerfile_chown_directories": (
        "<% unless skip_active_record? %>db <% end %>log "
        "<% unless skip_storage? %>storage <% end %>tmp"
    ),
}

# Curl is always among those packages.
_EVER = {"never": False, "dockerfile_deploy_packages.empty?": False}
# Where a release decides what its template leaves open (7.2.3 took the template of 7.2.0 and added
# libyaml-dev, 8.1.3 that of 8.1.2 and added libvips).
_NO_LIBYAML = {"build_with_libyaml?": False, "build_with_libvips?": False}
_NO_LIBVIPS = {"build_with_libyaml?": True, "build_with_libvips?": False}
_DECIDED = {
    "rails-7.2.0.beta1": _NO_LIBYAML,
    "rails-7.2.0.beta3": _NO_LIBYAML,
    "rails-7.2.0": {"build_with_libvips?": False},
    "rails-7.2.4": _NO_LIBVIPS,
    "rails-8.0.0.alpha1": _NO_LIBYAML,
    "rails-8.0.0.rc1": _NO_LIBYAML,
    "rails-8.0.2": _NO_LIBVIPS,
    "rails-8.0.3": _NO_LIBVIPS,
    "rails-8.0.5": _NO_LIBVIPS,
    "rails-8.1.0.beta1": _NO_LIBVIPS,
    "rails-8.1.0.rc1": _NO_LIBVIPS,
    "rails-8.1.2": {"build_with_libyaml?": True},
    "rails-main": {"build_with_libyaml?": True},
}

_VERSION = r"[\w.-]+"
_TOOL_VERSION = r"[\w.-]*"  # empty where the tool's own answer was not understood
_FIXUP = (
    r"""(?:chmod \+x bin/\*|sed -i "s/\\r\$//g" bin/\*|sed -i 's/ruby[\w.\\-]+\$/ruby/' bin/\*)"""
)
APP_NAME = "app_name"
# What stands for an expression; none of these can match what follows it, so none is tried again.
_VALUES = {
    APP_NAME: r"[\w-]+",
    "Gem.ruby_version": _VERSION,
    "gem_ruby_version": _VERSION,
    'ENV["RBENV_VERSION"] || ENV["rvm_ruby_string"] || '
    '"#{RUBY_ENGINE}-#{RUBY_ENGINE_VERSION}"': _VERSION,
    "node_version": _TOOL_VERSION,
    "dockerfile_yarn_version": _TOOL_VERSION,
    "dockerfile_bun_version": _TOOL_VERSION,
    r'"RUN " + dockerfile_binfile_fixups.join(" && \\\n    ")': (
        rf"RUN {_FIXUP}(?: && \\\n    {_FIXUP})*"
    ),
    # Filled in.
    "service": r"[\w-]+",
    "image": r"[\w.-]+(?:/[\w.-]+)*",
    "user/": r"(?:[\w.-]+/)+",
    "username": r"""(["']?)[\w.@+-]+\1""",
    "server": r"""(["']?)[\w.:-]+\1""",
    "domain": r"""(["']?)[\w.-]+\1""",
}

# Lines of a deploy.yml with a value that its owner is to fill in. Lines in comments are no such.
FILLED_IN = (
    (r"^service: my-app$", "service: <%= service %>"),
    (r"^image: (?:my-)?user/my-app$", "image: <%= image %>"),
    (r"^image: your-user/", "image: <%= user/ %>"),
    (r"^( +- )192\.168\.0\.1$", r"\1<%= server %>"),
    (r"^  host: app\.example\.com$", "  host: <%= domain %>"),
    (r"^  username: (?:my|your)-user$", "  username: <%= username %>"),
)


# --- Templates as steps ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Value:
    """Any text that `pattern` matches; the name of the app is the same throughout a file."""

    name: str
    pattern: re.Pattern[str]


@dataclass(frozen=True)
class Jump:
    """Go on at step `to`, or at the next step where `unless` is a condition that holds.

    A condition is written as in the templates: names joined by `&&` and `||`, and `!`.
    """

    to: int = -1
    unless: str = "never"
    negated: bool = False


Step = str | Value | Jump


@dataclass(frozen=True)
class Template:
    """A template of `release` as steps; `decided` are the conditions that its release decides."""

    release: str
    steps: tuple[Step, ...]
    decided: dict[str, bool]


@cache
def templates(file: str) -> tuple[Template, ...]:
    """Return the templates that `file` (of facts.OWNABLE) may have been written from."""
    paths = [path for name in _NAMES[file] for path in sorted(_TEMPLATES.glob(f"*/{name}"))]
    return tuple(_template(path, file) for path in paths)


def _template(path: Path, file: str) -> Template:
    release = path.parent.name
    text = path.read_text("utf-8")
    if path.suffix != ".tt":
        # Kamal copies its file as it is; what Ruby is in it, is for Kamal to run.
        text = text.replace("<%", "<%%")
    text = "\n".join(line.rstrip(" \t") for line in text.split("\n"))
    if file == facts.DEPLOY:
        for line, filled_in in FILLED_IN:
            text = re.sub(line, filled_in, text, flags=re.MULTILINE)
    steps: list[Step] = []
    _compile(text, release, steps)
    return Template(release, tuple(steps), {**_EVER, **_DECIDED.get(release, {})})


# ERB with trim_mode "-", as Thor renders: `-%>` also takes the line end after it.
_ERB = re.compile(r"<%(?!%)=?\s*(.+?)\s*(?:-%>\n?|%>)")
_TERNARY = re.compile(r"(.+) \? (.+) : (.+)")


def _compile(text: str, release: str, steps: list[Step]) -> None:
    """Append the steps of `text` to `steps`. A statement that is not known is a KeyError."""
    pieces = _ERB.split(text)
    open_blocks: list[int] = []
    for literal, code in zip(pieces[::2], [*pieces[1::2], ""], strict=True):
        if literal:
            steps.append(literal.replace("<%%", "<%"))
        word, _, condition = code.partition(" ")
        if ternary := _TERNARY.fullmatch(code):
            condition, yes, no = (part.strip('()"') for part in ternary.groups())
            code = f"<% if {condition} %>{yes}<% else %>{no}<% end %>"
            _compile(code, release, steps)
        elif word in ("if", "unless"):
            open_blocks.append(len(steps))
            steps.append(Jump(unless=condition, negated=word == "unless"))
        elif code == "else":
            steps.append(Jump())
            _land(steps, open_blocks.pop())
            open_blocks.append(len(steps) - 1)
        elif code == "end":
            _land(steps, open_blocks.pop())
        elif code in _VALUES:
            steps.append(Value(code, re.compile(_VALUES[code], re.ASCII)))
        elif code:
            _compile(_written(code, release), release, steps)


def _written(code: str, release: str) -> str:
    name = code.removesuffix('.join(" ")')
    return _WRITTEN.get(f"{name} {release[6:9]}") or _WRITTEN[name]


def _land(steps: list[Step], jump: int) -> None:
    """Let the jump at `jump` lead to the step that comes next."""
    step = steps[jump]
    assert isinstance(step, Jump)
    steps[jump] = replace(step, to=len(steps))

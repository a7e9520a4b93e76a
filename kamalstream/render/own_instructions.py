"""Which instructions of a Dockerfile are its owner's: all that Rails' generators do not write."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from kamalstream.inspect.dockerfile import commands, env_pairs, instructions

# What Rails 7.1 to 8.2 and dockerfile-rails generate, beside what the rendered file has.
_STOCK: dict[str, str] = {
    "FROM": (
        r"(?:--platform=\S+ )?(?:(?:\S+/)?ruby:(?:\$\{?RUBY_VERSION\}?|[\d.]+)-slim"
        r"|(?:\S+/)?node:\S+|(?:\S+/)?oven/bun:\S+|(?:\S+/)?litestream/litestream:\S+)(?: AS \S+)?"
    ),
    "ARG": r"(?:RUBY|NODE|YARN|PNPM|BUN|BUNDLER)_VERSION(?:=.*)?",
    "WORKDIR": r"/rails/?",
    "USER": r"(?:rails|1000)(?::(?:rails|1000))?",
    "EXPOSE": r"(?:(?:80|443|3000)(?:/tcp)?(?: |$))+",
    "ENTRYPOINT": r"(?:/rails|\.)/bin/docker-entrypoint",
    "CMD": (
        r"(?:bundle exec )?(?:(?:\./)?(?:bin/)?thrust )?(?:\./)?(?:bin/)?rails s(?:erver)?"
        r"(?: -[bp] \S+)*"
    ),
    "COPY": (
        r"(?:--(?!from|exclude)\S+ )*(?:(?:Gemfile|package\.json|bun\.lock|\.ruby-version)\b.*"
        r"|\. \.|\. /rails|vendor/?\*? (?:\./)?vendor/?)"
        r"|(?:--\S+ )*(?:\$\{?BUNDLE_PATH\}? \$\{?BUNDLE_PATH\}?|(/rails|/usr/local/bundle)/? \1/?)"
    ),
}
_STOCK_COMMANDS = (
    r"apt(?:-get)? (?:\S+ )*(?:update|clean|autoremove)\b[^$]*"
    # What is no plain name is not carried over.
    r"|apt(?:-get)? (?:-\S+ )*install [^$/*]*"
    r"|rm -\w+ (?:(?:/(?:var|tmp|root|ruby)|~)/\S* ?|\S*(?:BUNDLE_PATH|/bundle|node_modules)\S* ?)+"
    r"|mkdir (?:-p )?(?:(?:\./)?(?:db|log|storage|tmp|vendor)\b\S* ?)+|cp -ar /srv/vendor \."
    r"|chown -R \S+ (?:(?:\./)?(?:db|log|storage|tmp|public|\.|/rails\S*)\b\s*)+"
    r"|chown -R \S+ \."
    r"|(?:groupadd|useradd) (?:\S+ )*rails\b.*"
    r"|ln -s\w* .*libjemalloc.*"
    r"|(?:chmod \+x|sed -i .*) (?:\./)?bin/\*"
    r"|gem (?:update --system|install (?:-N |--no-document )?bundler)\b.*"
    r"|bundle (?:install|clean|exec bootsnap precompile)\b.*"
    r"|bundle config (?:set )?(?:--\w+ )?(?:path|app_config|deployment|without|jobs) .*"
    r"|curl \S+ https://github\.com/nodenv/node-build/\S+ \| tar .*"
    r"|/tmp/node-build-master/bin/node-build .*"
    r"|curl \S+ https://bun\.sh/install \| bash.*"
    r"|npm install (?:-g|--global) (?:(?:npm|yarn|pnpm|corepack)\b\S*\s*)+"
    r"|corepack (?:enable|prepare)\b.*|yarn set version .*|\w+ --version"
    r"|(?:npm (?:ci|install)|(?:yarn|pnpm|(?:bin/)?bun) install)(?: --?[\w=-]+)*"
    r"|SECRET_KEY_BASE(?:_DUMMY)?=\w+ (?:bundle exec )?(?:\./)?(?:bin/)?(?:rails|rake)"
    r" assets:precompile|set -\w+"
)
# Stock only where the new image builds JavaScript too.
_JAVASCRIPT = re.compile(
    r"(?!apt|rm )(?:.*[^a-z])?(?:node|npm|yarn|pnpm|bun(?!dle)|package\.json)", re.IGNORECASE
)
_ASSETS = "assets:precompile"
_STOCK_VARIABLES = {
    "BUNDLE_DEPLOYMENT": ".*",
    "BUNDLE_PATH": ".*",
    "BUNDLE_WITHOUT": ".*",
    "BUN_INSTALL": ".*",
    "LD_PRELOAD": ".*jemalloc.*",
    "MALLOC_CONF": "dirty_decay_ms:1000,narenas:2,background_thread:true",
    "PATH": r"(?:/usr/local/(?:node|bun)/bin:|/usr/local/bin:)+\$\{?PATH\}?",
    "RAILS_ENV": r"production|\$\{?RAILS_ENV\}?",
}


def own_instructions(before: str, after: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of what `before` has and neither `after` nor Rails' generators.

    Of an instruction that is the owner's in part, that part. Packages of apt are not looked at:
    kamalstream.inspect.dockerfile reads those.
    """
    here = {_plain(f"{word} {body}") for _, word, body in instructions(after)}
    builds = any(one.startswith("FROM ") and _JAVASCRIPT.match(one) for one in here)

    def is_stock(pattern: str, text: str) -> bool:
        if _ASSETS in text and _ASSETS not in after:
            return False
        found = re.fullmatch(pattern, text, re.IGNORECASE)
        return bool(found) and (builds or not _JAVASCRIPT.match(text))

    stages: set[str] = set()
    for line, word, body in instructions(before):
        if word == "FROM":
            source, _, name = re.sub(r"--\S+ ", "", body).partition(" ")
            built_here = source.lower() in stages
            stages.add(re.sub(r"(?i)^as ", "", name).strip().lower())
            if built_here:
                continue
        if _plain(f"{word} {body}") in here:
            continue
        if word == "ENV":
            for name, value in env_pairs(body).items():
                if not is_stock(_STOCK_VARIABLES.get(name, "(?!)"), value):
                    yield _line_of(name, before, line), f"ENV {name}={_quoted(value)}"
        elif word == "RUN":
            own = _own_commands(body, is_stock)
            if own:
                yield line, f"RUN {own}"
        elif not is_stock(_STOCK.get(word, "(?!)"), _plain(body)):
            yield line, f"{word} {body}"


def _line_of(name: str, source: str, start: int) -> int:
    lines = source.splitlines()
    named = re.compile(rf"\b{name}\b")
    return next((n for n in range(start, len(lines) + 1) if named.search(lines[n - 1])), start)


def _quoted(value: str) -> str:
    return value if re.fullmatch(r"[^\s\"']*", value) else f'"{value}"'


def _own_commands(body: str, is_stock: Callable[[str, str], bool]) -> str:
    """Return those of a RUN's commands that are the owner's."""
    # A cache only saves time; a secret or an ssh key is there for the owner's sake.
    options = re.match(r"(?:--\S+\s+)*", body)
    assert options
    kept = [one for one in options[0].split() if not re.search(r"type=(?:cache|tmpfs)\b", one)]
    if kept:
        return " ".join([*kept, body[options.end() :]])
    own = [
        f"{'' if separator == ';' else ' '}{separator} {command}"
        for separator, command, sourced in commands(body[options.end() :])
        if sourced or not is_stock(_STOCK_COMMANDS, _plain(command))
    ]
    return re.sub(r"^ ?(?:&&|;)? ", "", "".join(own))


def _plain(text: str) -> str:
    """Return `text` with the quotes, brackets and commas of the exec form taken away."""
    return " ".join(re.sub(r"[\"'\[\],]+", " ", text).split())

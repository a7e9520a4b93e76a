"""Does the app answer where kamal-proxy asks whether it is up."""

from __future__ import annotations

import re
from collections.abc import Iterator

from packaging.version import InvalidVersion, Version

from kamalstream.check.deployed import deployments
from kamalstream.check.finding import Finding
from kamalstream.inspect.adopted import App
from kamalstream.inspect.code_lines import code_lines

_ROUTES = "config/routes.rb"
_UP = re.compile(r"(?:[\"'/]|(?<!:):)up\b|\brails/health\b")
# Rails::HealthController is of 7.1.
_RAILS = 'get "up" => "rails/health#show", as: :rails_health_check'
_OLDER = 'get "up", to: proc { [200, { "Content-Type" => "text/plain" }, ["ok"]] }'


def check(app: App) -> Iterator[Finding]:
    """Yield where no route is at /up: apps made by Rails before 7.1, and upgraded since."""
    folders = ("config/routes", "config/initializers", "lib")
    files = [file for folder in folders for file in (app.root / folder).rglob("*.rb")]
    files.append(app.root / _ROUTES)
    said = any(_UP.search(code) for file in files for _, code in code_lines(file))
    if said or not (app.root / _ROUTES).is_file():
        return
    for one in deployments(app):
        role = one.deployment.primary_role
        if role and role.proxy and not one.deployment.get("proxy", "healthcheck"):
            yield Finding(
                "health.no-route",
                "warning",
                _ROUTES,
                app.line_of(_ROUTES, r"\broutes\.draw\b"),
                f"has no route /up, where kamal-proxy asks whether {one.name} is up: the deploy "
                "fails, as nothing answers 200 there",
                f"Write there: {_RAILS if _has_health(app) else _OLDER}",
            )


def _has_health(app: App) -> bool:
    try:
        return Version(app.inspected.rails_version or "") >= Version("7.1")
    except InvalidVersion:
        return False

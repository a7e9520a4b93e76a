"""Does something work off the jobs of Solid Queue, and only once."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kamalstream.check.deployed import Deployed, deployments
from kamalstream.check.finding import Finding
from kamalstream.facts import APPLICATION_RB, PRODUCTION_RB
from kamalstream.inspect.adopted import App
from kamalstream.inspect.code_lines import code_lines

_PUMA = "config/puma.rb"
_PLUGIN = re.compile(r"^\s*plugin[\s(]+:solid_queue\b(.*)")
_JOBS = re.compile(r"(?:^|[\s\"'/])(?:bin/jobs\b|solid_queue:start\b)")
_IN_PUMA = "SOLID_QUEUE_IN_PUMA"
_ADAPTER = re.compile(r"^\s*config\.active_job\.queue_adapter\s*=\s*:solid_queue\b")
_RUNS_PROCFILE = re.compile(r"\b(?:foreman|overmind|hivemind|goreman|honcho)\b")


def check(app: App) -> Iterator[Finding]:
    """Yield where jobs stay where they are, or two work them off."""
    for one in deployments(app):
        yield from _jobs(one)


def _jobs(one: Deployed) -> Iterator[Finding]:
    solid = one.app.inspected.solid["solid_queue"]
    if not solid.locked or one.variable(_IN_PUMA) is None:
        return
    plugin = next((m[1] for m in map(_PLUGIN.match, _puma(one.app)) if m), None)
    wanted = bool(one.variable(_IN_PUMA))
    in_puma = plugin is not None and (wanted or _IN_PUMA not in plugin)
    elsewhere = list(_runners(one))
    place = one.deployment.line("env", "clear", _IN_PUMA)
    if in_puma and not solid.works:
        why = "is not installed whole" if solid.loaded else f"has no Active Job ({APPLICATION_RB})"
        yield Finding(
            "queue.fails",
            "error",
            *(place if wanted else (_PUMA, one.app.line_of(_PUMA, _PLUGIN.pattern))),
            f"Puma of {one.name} stops right after it started: it runs Solid Queue, which {why}",
            f"Take {_IN_PUMA} out of env: clear: there."
            if wanted
            else f'Write there: plugin :solid_queue if ENV["{_IN_PUMA}"]',
        )
    elif in_puma and elsewhere:
        file, line, what = elsewhere[0]
        yield Finding(
            "queue.twice",
            "warning",
            file,
            line,
            f"{what} runs Solid Queue, and so does Puma in {one.name} "
            f"({_IN_PUMA} in {place[0]}:{place[1]})"
            if wanted
            else f"{what} runs Solid Queue, and so does Puma in {one.name} ({_PUMA})",
            f"Take one of the two out: `{_IN_PUMA}` where it is set, or that line.",
        )
    elif wanted and plugin is None and not elsewhere:
        yield Finding(
            "queue.nobody",
            "warning",
            *place,
            f"jobs of {one.name} never run: {_PUMA} has no plugin that {_IN_PUMA} would turn on",
            f'In {_PUMA}: plugin :solid_queue if ENV["{_IN_PUMA}"]',
        )
    elif not in_puma and not elsewhere and _is_adapter(one.app) and not _may_run(one.app):
        has = plugin is not None
        yield Finding(
            "queue.nobody",
            "warning",
            *one.deployment.line("env", "clear"),
            f"jobs of {one.name} never run: the app puts them into Solid Queue, and nothing works "
            "them off there",
            f"env:\n  clear:\n    {_IN_PUMA}: true"
            + ("" if has else f'\nand in {_PUMA}: plugin :solid_queue if ENV["{_IN_PUMA}"]'),
        )


def _puma(app: App) -> list[str]:
    return [code for _, code in code_lines(app.root / _PUMA)]


def _is_adapter(app: App) -> bool:
    files = (PRODUCTION_RB, APPLICATION_RB)
    return any(_ADAPTER.match(code) for file in files for _, code in code_lines(app.root / file))


def _runners(one: Deployed) -> Iterator[tuple[str, int, str]]:
    """Yield what else runs Solid Queue for certain: file, line and what it is."""
    for role in one.deployment.roles.values():
        if role.cmd and _JOBS.search(role.cmd):
            yield *one.deployment.line("servers", role.name, "cmd"), f"the role {role.name}"
    for accessory in one.deployment.accessories.values():
        if accessory.cmd and _JOBS.search(accessory.cmd):
            yield accessory.file, accessory.line, f"the accessory {accessory.name}"
    files = list(one.scripts)
    started = " ".join([*one.start, *(one.app.text(script) or "" for script in one.scripts)])
    if _RUNS_PROCFILE.search(started):
        files.append("Procfile")
    for file in files:
        if line := one.app.line_of(file, rf"^[^#]*{_JOBS.pattern}"):
            yield file, line, file


def _may_run(app: App) -> bool:
    """Whether any script of the app runs Solid Queue, started by whatever."""
    files = [*app.root.glob("bin/*"), *app.root.glob("Procfile*"), *app.root.glob("Dockerfile*")]
    names = (file.relative_to(app.root).as_posix() for file in files if file.is_file())
    return any(
        _JOBS.search(app.text(name) or "")
        for name in names
        if name != "bin/jobs" and not name.endswith(("dev", "test"))
    )

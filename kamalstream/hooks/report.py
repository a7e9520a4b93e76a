"""What the fast checks say of an app, once a hook has written to it."""

from __future__ import annotations

from pathlib import Path

from kamalstream.check import check_files
from kamalstream.check.committed import check_committed
from kamalstream.check.finding import as_text, ok, summary
from kamalstream.hooks import say
from kamalstream.inspect.adopted import App

#: Here nothing but Copier may be installed: command → what Copier has in its place.
_WITH_COPIER = {
    "kamalstream update --data": "copier update --trust --defaults --data",
    "kamalstream init --data": "copier recopy --trust --defaults --overwrite --data",
}


def report(app: Path) -> bool:
    """Print what the fast checks find in `app`; return whether none of it is an error."""
    checked = App(app)
    findings = [*check_files(checked), *check_committed(checked)]
    to_mend = [finding for finding in findings if finding.fix]
    say(f"  checked: {_checked(checked)}")
    if to_mend:
        say(f"  {summary(to_mend)}\n")
        say(_with_copier(as_text(to_mend)))
    else:
        say("  nothing to mend")
    say("\n`kamalstream check` asks the real Kamal, Litestream, hadolint, shellcheck and Ruby too.")
    return ok(findings)


def _with_copier(text: str) -> str:
    for command, instead in _WITH_COPIER.items():
        text = text.replace(command, instead)
    return text


def _checked(app: App) -> str:
    replicated = {place.value for place in app.replicated}
    backed_up = [n for n, path in app.backed_up.items() if app.in_container(path) in replicated]
    left_out = ", ".join(name for name in app.databases if name not in app.backed_up)
    return (
        "databases, litestream.yml, deploy.yml, secrets, image, production.rb\n"
        f"  backed up: {', '.join(backed_up) or 'no database'}"
        + (f"; left out on purpose: {left_out}" if left_out else "")
    )

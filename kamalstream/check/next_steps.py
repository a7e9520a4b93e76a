"""What is left to do after an adoption: the keys of the bucket, the commit, the deploys."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from kamalstream import git
from kamalstream.check.deployed import deployments
from kamalstream.facts import BUCKET_KEYS, GUIDE, READ_SECRETS
from kamalstream.inspect.adopted import App
from kamalstream.inspect.kamal.deployment import PRODUCTION

Step = tuple[str, str]
# Before the script: whose credentials it reads.
_SCRIPT = re.compile(rf"(?:RAILS_ENV=(\S+) )?\bruby {re.escape(READ_SECRETS)}")


def next_steps(app: App, keys: Sequence[Step], guided: bool) -> str:
    """Return the steps, numbered, a line each.

    `keys` are those for the keys where Rails' credentials have them, `guided` tells whether
    `GUIDE` is there and ours.
    """
    found = deployments(app)
    steps, elsewhere = list(keys), []
    if app.kamal and app.kamal.base.require_destination and not app.kamal.deployments:
        deploys = ["kamal setup -d NAME"]
    else:
        deploys = [one.kamal("setup") for one in found] or ["kamal setup"]
    for one in found:
        if one.deployment.require_destination and not one.deployment.name:
            continue
        texts = {file: text for file in one.deployment.secrets_files if (text := app.text(file))}
        read = _SCRIPT.search("\n".join(texts.values()))
        if texts and not read:
            elsewhere.append(max(texts, key=lambda file: BUCKET_KEYS[0] in texts[file]))
        name = one.deployment.name if read and read[1] and "$" in read[1] else read and read[1]
        own = f"config/credentials/{name}.yml.enc"
        if name and name != PRODUCTION and app.text(own) is not None:
            steps.append((f"bin/rails credentials:edit -e {name}", f"those of {name} as well"))
    if elsewhere:
        steps = [] if len(elsewhere) == len(found) else steps
        where = " and ".join(dict.fromkeys(elsewhere))
        names = " and ".join(BUCKET_KEYS)
        steps.append(("the two keys of your bucket", f"as {names}, for {where} to fetch"))
    steps += commit_steps(app.root)
    steps += [(deploy, "") for deploy in deploys]
    steps[-1] = (deploys[-1], f"{GUIDE} has the rest" if guided else "the first deploy")
    width = max(30, *(len(command) + 1 for command, _ in steps))
    lines = [f"  {n}. {step[0]:<{width}} {step[1]}".rstrip() for n, step in enumerate(steps, 1)]
    return "\n".join(["What comes next:", *lines])


def commit_steps(app: Path) -> Iterator[Step]:
    """Yield how to commit all in the folder `app`, and no key with it."""
    if not git.is_repository(app):
        yield "git init", "Kamal builds from a git repository"
    patterns = {f"/{parent}/*.key" for key in _addable_keys(app) for parent in [key.parent]}
    for pattern in sorted(patterns):
        # The last line of the file may have no end.
        yield f"printf '\\n%s\\n' '{pattern}' >> .gitignore", "keys stay out of it"
    yield "git add --all && git commit", "Kamal builds from the last commit"


def _addable_keys(app: Path) -> list[Path]:
    """Return the keys of credentials that `git add --all` would add in the folder `app`."""
    paths = [file.relative_to(app) for file in app.glob("config/**/*.key")]
    with tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch:
        where: list[str] = []
        if not git.is_repository(app):
            # What its .gitignore would say.
            git.git(Path(scratch), "init", "--quiet", ".")
            where = [f"--git-dir={scratch}/.git", f"--work-tree={app}"]
        listed = ("ls-files", "--others", "--exclude-standard", "-z", "--", *map(str, paths))
        return [Path(name) for name in git.names(app, *where, *listed)] if paths else []

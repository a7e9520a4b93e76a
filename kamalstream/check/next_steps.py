"""What is left to do after an adoption: the keys of the bucket, the commit, the deploys."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
    steps.append(("git add --all && git commit", "Kamal builds from the last commit"))
    steps += [(deploy, "") for deploy in deploys]
    steps[-1] = (deploys[-1], f"{GUIDE} has the rest" if guided else "the first deploy")
    lines = [f"  {n}. {command:<30} {why}".rstrip() for n, (command, why) in enumerate(steps, 1)]
    return "\n".join(["What comes next:", *lines])

"""An app on trial: a copy of a checkout, and what its owner says and exports."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from kamalstream.ask.adoption import known_answers, uncertain_databases
from kamalstream.ask.answers import earlier, settle
from kamalstream.ask.questions import Asking
from kamalstream.edit.adoption import Adoption
from kamalstream.errors import BadInput
from kamalstream.facts import DATABASE_YML
from kamalstream.inspect.app import image_of, inspect_app, root_of
from kamalstream.inspect.refusal import refusal
from kamalstream.render.apply import apply
from kamalstream.render.plan import Plan, plan
from kamalstream.render.with_copier import in_place, render
from tests.conftest import ROOT
from tests.kamal_oracle import Oracle
from tests.rails_oracle import what_rails_opens
from tests.soundness import SECRET

_NO_DESTINATIONS = ("example", "sample", "template")
_IDENTITY = ("-c", "user.name=Corpus", "-c", "user.email=corpus@example.com")
#: What stands in their owner's shell, by what the name of a variable holds.
_EXPORTED = {
    "PORT": "22",
    "IMAGE": "acme/app",
    "USER": "deploy",
    "ROOT": "/srv/app{}",
    "STORAGE": "app_storage{}",
    "VOLUME": "app_storage{}",
    "REGISTRY_SERVER": "ghcr.io",
    "PROXY": "app.example.com",
    "HOSTNAME": "app.example.com",
    "HOST": "203.0.113.{}",
    "IP": "203.0.113.{}",
}


@dataclass
class Subject:
    """The copy in `app`, and the `answers` that its owner has given so far."""

    app: Path
    scratch: Path
    answers: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def copied(cls, checkout: Path, scratch: Path) -> Subject:
        """Copy a checkout, and commit it as it is."""
        app = scratch / "app" / checkout.name
        kept = shutil.ignore_patterns(".git", "node_modules")
        shutil.copytree(checkout, app, symlinks=True, ignore=kept)
        subject = cls(app, scratch)
        subject.git("init", "--quiet")
        subject.commit("as it is")
        return subject

    def git(self, *arguments: str) -> str:
        """Run git in the copy; return what it says."""
        command = ["git", *_IDENTITY, *arguments]
        done = subprocess.run(command, cwd=self.app, check=True, capture_output=True)
        return done.stdout.decode("utf-8", "replace")

    def commit(self, message: str) -> None:
        """Commit all of it, what is ignored too: a checkout has nothing that was not tracked."""
        self.git("add", "--all", "--force", ".")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)

    def adopt(self) -> tuple[Plan, dict[str, Any]]:
        """Do what `init --defaults` does with the answers so far; return what was written.

        A second time works from the answers of the first. Raises BadInput where it is refused.
        """
        problem = refusal(self.app)
        if problem:
            raise BadInput(problem)
        read, before = inspect_app(self.app), earlier(self.app)
        known = known_answers(read, {} if before else self.answers, before)
        uncertain_databases(read, known, quietly=True)
        settle(known, quietly=True, folder=self.app.name)
        template = in_place(ROOT)
        with tempfile.TemporaryDirectory(dir=self.scratch) as folder:
            rendered, last = Path(folder, "now", self.app.name), Path(folder, "last", self.app.name)
            answers = render(template, rendered, Asking(known.given, known.offered))
            if before:
                render(template, last, Asking(before))
            then = last if before else None
            planned = plan(Adoption(self.app, answers, rendered, then, read.kamal))
            apply(planned, datetime.now())
        return planned, answers

    @cached_property
    def destinations(self) -> list[str | None]:
        """The destinations, None for config/deploy.yml alone."""
        files = sorted((self.app / "config").glob("deploy.*.yml"))
        names = [file.name.removeprefix("deploy.").removesuffix(".yml") for file in files]
        return [None, *(name for name in names if name not in _NO_DESTINATIONS)]

    def exported(self, destination: str | None) -> dict[str, str]:
        """Return the variables that Kamal's files want, as their owner has them for one of them."""
        files = sorted((self.app / "config").glob("deploy*.yml"))
        text = "\n".join(file.read_text("utf-8", "replace") for file in files)
        wanted = re.findall(r"ENV\[[\"'](\w+)[\"']\]|ENV\.fetch\([\"'](\w+)[\"']\)", text)
        names = {name for pair in wanted for name in pair if name}
        own = self.destinations.index(destination) + 7
        return {
            name: next((value for part, value in _EXPORTED.items() if part in name), "acme").format(
                own
            )
            for name in sorted(names)
        }

    def kamal(self, oracle: Oracle) -> dict[str | None, dict[str, Any]]:
        """Return what Kamal makes of each destination; "error" where it refuses one."""
        return {name: oracle(self.app, name, self.exported(name)) for name in self.destinations}

    @cached_property
    def root(self) -> str:
        """Where Rails lives in the image."""
        return root_of(image_of(self.app, None))

    @cached_property
    def _asked(self) -> dict[str, dict[str, str] | str]:
        return {}

    def opens(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Return the SQLite files that Rails opens with these variables: name → absolute path.

        Raises ValueError where Rails says it only where it runs.
        """
        key = json.dumps(variables, sort_keys=True)
        if key not in self._asked:
            self._asked[key] = self._opens(variables)
        answer = self._asked[key]
        if isinstance(answer, str):
            raise ValueError(answer)
        return answer

    def _opens(self, variables: Mapping[str, str]) -> dict[str, str] | str:
        image = image_of(self.app, None)
        env = {**(image.env if image else {}), **variables}
        # It may read files of the app, and so it has it where it is.
        here = {
            name: SECRET if value is None else value.replace(self.root, str(self.app))
            for name, value in env.items()
        }
        file = self.app / DATABASE_YML
        source = (
            file.read_text("utf-8") if file.is_file() else "<% raise 'there is no such file' %>"
        )
        answer = what_rails_opens({"it": source}, here, self.app)["it"]
        if isinstance(answer, str):
            return answer
        found = {
            name: one["database"].replace(str(self.app), self.root)
            for name, one in answer.items()
            if one["adapter"] in ("sqlite3", "litedb") and not one["replica"]
        }
        unknown = [one for one in found.values() if not one or SECRET in one]
        return f"it is known only there: {found}" if unknown else found

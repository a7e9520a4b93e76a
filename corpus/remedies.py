"""Does what a refusal says is to be done, as the app's owner would."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import yaml

from corpus.subject import Subject
from kamalstream.ask.validators import RefusedAnswers
from kamalstream.errors import BadInput
from kamalstream.facts import DATABASE_YML, DEPLOY

#: What a careful owner answers where the app does not say it.
_ANSWERS = {
    "server_ip": "203.0.113.7",
    "domain": "app.example.com",
    "bucket": "app-backups",
    "endpoint": "https://s3.example.com",
    "region": "eu-central-1",
    "registry_username": "acme",
}


def answer(subject: Subject, refused: BadInput) -> bool:
    """Give what is missing, or another answer for one that is refused."""
    problems = refused.problems if isinstance(refused, RefusedAnswers) else ()
    new = {name: _ANSWERS[name] for name in problems if name in _ANSWERS}
    new = {name: value for name, value in new.items() if name not in subject.answers}
    subject.answers |= new
    return bool(new)


def follow(subject: Subject, refused: BadInput) -> str | None:
    """Do what the refusal asks for; return what was done, None where it names no way on."""
    for way in (_name_databases, _move_databases, _enter):
        done = way(subject, str(refused))
        if done:
            return done
    return None


def _name_databases(subject: Subject, said: str) -> str | None:
    """Name all databases that there are; those of the example where only the server knows."""
    if "Name all of them that are SQLite" not in said or "databases" in subject.answers:
        return None
    example = yaml.safe_load(said[said.index("\ndatabases:\n") :].partition("\n\n")[0])
    try:
        opened = subject.opens({})
    except ValueError:
        subject.answers |= example
        return "named the databases of the example"
    if not opened:
        return None
    below = {name: path.removeprefix(f"{subject.root}/") for name, path in opened.items()}
    subject.answers["databases"] = below
    return "named the databases"


def _move_databases(subject: Subject, said: str) -> str | None:
    """Write paths below storage/ into config/database.yml, else mount their folder."""
    outside = re.search(r"production opens (.*), which is on no volume", said)
    if not outside:
        return None
    told = re.search(r"below storage/ in (\S+): (\w+):", said)
    file = subject.app / (told[1] if told else DATABASE_YML)
    before = text = file.read_text("utf-8") if file.is_file() else ""
    for path in re.findall(r"([^ ,]+) \(\w+\)", outside[1]):
        name = PurePosixPath(path).name
        whole = rf"(?m)^(\s*\w+:).*{re.escape(name)}[\"']?[ \t]*$"
        text = re.sub(whole, rf"\1 storage/{name}", text)
        if told and name not in text:
            text += f"{told[2]}: storage/{name}\n"
    if text != before:
        file.write_text(text)
        subject.commit("moved")
        return "moved the databases below storage/"
    mount = re.search(r'"NAME:(/\S+)"', said)
    deploy = subject.app / DEPLOY
    before = deploy.read_text("utf-8") if deploy.is_file() else ""
    after = before.replace("\nvolumes:\n", f"\nvolumes:\n  - data:{mount and mount[1]}\n")
    if after == before:
        return None
    deploy.write_text(after)
    subject.commit("mounted")
    return "mounted their folder"


def _enter(subject: Subject, said: str) -> str | None:
    """Go on in the folder of the app."""
    inside = sorted(subject.app.rglob("config/application.rb")) if "not a Rails app" in said else []
    if not inside:
        return None
    subject.app = inside[0].parent.parent
    return f"went on in {subject.app.name}/"

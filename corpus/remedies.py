"""Does what a refusal says is to be done, as the app's owner would."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import yaml

from corpus.subject import Subject
from kamalstream.ask.validators import RefusedAnswers
from kamalstream.check.finding import Finding
from kamalstream.edit.edited import ByHand
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
        return f"moved the databases below storage/ in {file.name}"
    variable = re.search(r"below storage/ in (\S+): (\w+)=(\S+)\. ", said)
    if variable:
        return _set_variable(subject, *variable.groups())
    mount = re.search(r'"NAME:(/\S+)"', said)
    deploy = subject.app / DEPLOY
    before = deploy.read_text("utf-8") if deploy.is_file() else ""
    after = before.replace("\nvolumes:\n", f"\nvolumes:\n  - data:{mount and mount[1]}\n")
    if after == before:
        return None
    deploy.write_text(after)
    subject.commit("mounted")
    return "mounted their folder"


def _set_variable(subject: Subject, name: str, variable: str, value: str) -> str | None:
    file = subject.app / name
    before = file.read_text("utf-8")
    after = re.sub(rf"\b{variable}([=:]\s*)\S+", rf"{variable}\g<1>{value}", before)
    if after == before:
        return None
    file.write_text(after)
    subject.commit("moved")
    return f"gave {variable} in {name} a path below storage/"


def _enter(subject: Subject, said: str) -> str | None:
    """Go on in the folder of the app."""
    inside = sorted(subject.app.rglob("config/application.rb")) if "not a Rails app" in said else []
    if not inside:
        return None
    subject.app = inside[0].parent.parent
    return f"went on in {subject.app.name}/"


def obey(subject: Subject, by_hand: Iterable[ByHand], errors: Iterable[Finding]) -> str | None:
    """Do by hand what was left to its owner, to the letter; return what was done, None for nothing.

    From the last line on, so that the others stay where they are said to be.
    """
    done = []
    for one in sorted(by_hand, key=lambda one: (one.file, -one.line)):
        _put(subject.app / one.file, one)
        done.append(f"{one.file}:{one.line}")
    for finding in sorted(errors, key=lambda one: (one.file, -one.line)):
        mend = _MENDS.get(finding.id)
        if mend and mend(subject.app / finding.file, finding):
            done.append(finding.id)
    if not done:
        return None
    subject.commit("by hand")
    return f"did by hand: {', '.join(dict.fromkeys(done))}"


def _put(file: Path, one: ByHand) -> None:
    """Put its lines where it says they go."""
    all_lines = file.read_text("utf-8").splitlines(keepends=True) if file.is_file() else []
    # A branch of a script cannot be empty.
    new = "".join(f"{line}\n" for line in one.lines.splitlines() or [":"])
    if not one.line:
        all_lines.append(new)
    elif "in its place" in one.why or "take it out" in one.why:
        end = one.line
        while all_lines[end - 1].rstrip().endswith("\\"):
            end += 1
        old = all_lines[one.line - 1 : end]
        if one.lines.startswith("-"):
            all_lines[one.line - 1] = old[0].replace("restore ", f"restore {one.lines} ", 1)
        else:
            indent = re.match(r"\s*", old[0])
            all_lines[one.line - 1 : end] = [f"{indent and indent[0]}{new}"]
    else:
        all_lines.insert(one.line, new)
    file.write_text("".join(all_lines))


def _add_secrets(file: Path, finding: Finding) -> bool:
    names = re.findall(r"Add a line (\w+)=", finding.fix)
    file.parent.mkdir(exist_ok=True)
    with file.open("a") as secrets:
        secrets.writelines(f"\n{name}=${name}" for name in names)
    return bool(names)


def _take_out_replicator(file: Path, finding: Finding) -> bool:
    all_lines = file.read_text("utf-8").splitlines(keepends=True)
    first, _, _ = finding.fix.partition("\n")
    if first.startswith("kamal accessory remove"):
        return _cut(file, all_lines, finding.line)
    line = all_lines[finding.line - 1]
    if first.startswith("Take that line out"):
        all_lines[finding.line - 1] = ""
    else:
        started = re.search(r"-exec[=\s]+(?:\"([^\"]+)\"|'([^']+)'|(\S+))", line)
        if not started:
            return False
        runs = next(one for one in started.groups() if one)
        before = re.match(r"\s*(?:\w+:\s*)?", line)
        all_lines[finding.line - 1] = f"{before and before[0]}{runs}\n"
    file.write_text("".join(all_lines))
    return True


def _cut(file: Path, all_lines: list[str], line: int) -> bool:
    """Take the key of a mapping out, and what is below it."""
    start = line - 1
    width = len(all_lines[start]) - len(all_lines[start].lstrip())
    end = start + 1
    while end < len(all_lines):
        row = all_lines[end]
        if row.strip() and len(row) - len(row.lstrip()) <= width:
            break
        end += 1
    file.write_text("".join([*all_lines[:start], *all_lines[end:]]))
    return True


def _set_port(file: Path, finding: Finding) -> bool:
    port = re.search(r"app_port: \d+", finding.fix)
    before = file.read_text("utf-8")
    without = re.sub(r"(?m)^[ \t]+app_port:.*\n", "", before)
    after = re.sub(r"(?m)^proxy:.*\n", rf"\g<0>  {port and port[0]}\n", without)
    file.write_text(after if after != without else f"{before}\nproxy:\n  {port and port[0]}\n")
    return True


def _unset_queue(file: Path, finding: Finding) -> bool:
    all_lines = file.read_text("utf-8").splitlines(keepends=True)
    gone = [one for one in all_lines if not re.match(r"\s*SOLID_QUEUE_IN_PUMA:", one)]
    file.write_text("".join(gone))
    return gone != all_lines


def _set_ruby(file: Path, finding: Finding) -> bool:
    before = file.read_text("utf-8")
    after = re.sub(r"(?m)^ARG RUBY_VERSION=\S+", finding.fix, before)
    file.write_text(after)
    return after != before and finding.fix.startswith("ARG ")


#: What can be done for a finding by what its remedy says.
_MENDS = {
    "secrets.unset": _add_secrets,
    "replicators.two": _take_out_replicator,
    "proxy.port": _set_port,
    "queue.fails": _unset_queue,
    "ruby.version": _set_ruby,
}

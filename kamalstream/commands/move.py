"""`kamalstream move NEW_SERVER`: the app, its databases and its files, on another server."""

from __future__ import annotations

import re
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import questionary
from rich.console import Console
from rich.text import Text

from kamalstream import facts
from kamalstream.ask.validators import form
from kamalstream.check.deployed import SIDECAR, Deployed, deployments
from kamalstream.commands.verify import in_bytes
from kamalstream.edit import hosts
from kamalstream.edit.adoption import read_bytes
from kamalstream.edit.yaml_text import YamlText
from kamalstream.errors import BadInput, leaving_says
from kamalstream.inspect.adopted import App
from kamalstream.move.moving import BESIDES, Move, Rehearsed
from kamalstream.move.server import Failed, Seen, Server
from kamalstream.printable import shown
from kamalstream.prove.verify import lasting
from kamalstream.render.apply import apply, refuse_unwritable
from kamalstream.render.journal import take_back
from kamalstream.render.plan import Change, Plan
from kamalstream.terminal import asked, fold

#: Seconds that a start of the app takes where Kamal's audit on the server does not say.
BOOT = 20.0


@dataclass(frozen=True)
class Options:
    """What the command was called with; see `kamalstream move --help`."""

    destination: str = ""
    undo: bool = False
    yes: bool = False
    dry_run: bool = False


def run(folder: Path, to: str, options: Options, console: Console) -> int:
    """Move a deployment of the app in `folder` to the server `to`; return the exit code.

    Raises BadInput, with nothing changed on the server that it is on, and no file written.
    """
    talks = sys.stdin.isatty() and sys.stdout.isatty()
    if not talks and not (options.yes or options.dry_run):
        raise BadInput("there is no terminal to ask on. Say --yes, or --dry-run to only look.")
    if not options.dry_run:
        refuse_unwritable(folder)
        take_back(folder)
    app = App(folder)
    one = _deployment(app, options.destination)
    [old] = one.deployment.hosts
    refused, _ = form().refusals({}, {"server_ip": to})
    if refused:
        raise BadInput(f"{shown(to)} {refused['server_ip']}")
    if old == to and options.undo:
        raise BadInput(
            f"the move to {to} is finished. To go back with all that was written since, move\n"
            f"again, to the server it came from: kamalstream move ADDRESS{_named(one)}"
        )
    if old == to:
        raise BadInput(f"{one.name} is on {to} already, by {one.deployment.file}.")
    with tempfile.TemporaryDirectory(prefix="kamalstream-") as scratch:
        texts = {host: hosts.on_server(folder, one.deployment, host) for host in (old, to)}
        for host, text in texts.items():
            hosts.write(Path(scratch, host), text)
        configs = {host: Path(scratch, host, facts.DEPLOY) for host in texts}
        changed = [file for file, text in texts[to].items() if text != texts[old][file]]
        servers = Server(old, one), Server(to, one)
        command = _Command(app, one, *servers, configs, changed, options, console)
        try:
            return command.undo() if options.undo else command.move()
        except Failed as failure:
            console.print(Text(fold(f"{failure}.", console), "red"), soft_wrap=True)
            return 1


def _deployment(app: App, destination: str) -> Deployed:
    """Return the deployment that is moved; raise BadInput where it cannot be."""
    known = deployments(app)
    chosen = [one for one in known if (one.name == destination if destination else one.is_main)]
    if not chosen:
        names = ", ".join(one.name for one in known) or "none that can be read"
        raise BadInput(f"{destination or 'production'} is no deployment. Deployments: {names}.")
    [one] = chosen
    deployment = one.deployment
    for part in (("servers",), ("accessories",)):
        for what in deployment.unreadable_at(*part):
            if part == ("servers",) or re.search(r"\bhosts?\b", str(what)):
                raise BadInput(
                    f"{what}\nChange the address there by hand: {facts.GUIDE} has the whole way "
                    "(Move to a new server, by hand)."
                )
    if len(deployment.hosts) != 1:
        have = ", ".join(deployment.hosts) or "none"
        raise BadInput(f"{one.name} has to be on one server to be moved, and has {have}.")
    if one.sidecar is None or not one.backed_up:
        raise BadInput(f"{one.name} has no backups to be moved by: kamalstream check")
    if "one-writer" not in one.sidecar.started:
        raise BadInput(
            f"the accessory {SIDECAR} does not start {facts.ONE_WRITER}, without which the old "
            "server may write on: kamalstream update"
        )
    return one


def _named(one: Deployed) -> str:
    return f" --destination {one.deployment.name}" if one.deployment.name else ""


@dataclass(frozen=True)
class _Command:
    app: App
    one: Deployed
    source: Server
    target: Server
    configs: dict[str, Path]
    files: list[str]
    options: Options
    console: Console

    @property
    def again(self) -> str:
        """The command line that goes on."""
        there = self.target.host
        return f"kamalstream move {there}{_named(self.one)}"

    def move(self) -> int:
        source, target = self._looked(self.source), self._looked(self.target)
        under_way = source.leaving is not None and source.leaving[0] == self.target.host
        if not under_way:
            self._refuse(source, target)
        move = self._of(self.source, self.target, source)
        self._say_plan(move, source, under_way)
        if self.options.dry_run:
            return 0
        if not under_way:
            if not self._confirmed(f"Prepare {self.target.host}? The app runs on."):
                self.console.print("Nothing was changed.")
                return 0
            rehearsed = self._prepared(move)
            wanted = "Stop the app now, and move?"
            self._say(_downtime(rehearsed, source))
            if not self._confirmed(wanted):
                self.console.print(f"Nothing was stopped. When it suits: {self.again}")
                return 0
            move.lock()
        elif not self._confirmed("Go on with it?"):
            return 0
        return self._go(move)

    def undo(self) -> int:
        source = self._looked(self.source)
        try:
            target = self.target.seen()
        except Failed as failure:
            raise BadInput(
                f"{failure}\nSo nobody knows whether the app was started there. Where "
                f"{self.target.host} is lost: kamal lock release && bin/restore\nThat brings what "
                "it has backed up."
            ) from None
        back = target.leaving is not None and target.leaving[0] == self.source.host
        running = any(each.running for each in source.containers)
        if back and running and not source.lock:
            raise BadInput(f"{self.one.name} is on {self.source.host} already: nothing to undo.")
        if not back and (source.leaving is None or source.leaving[0] != self.target.host):
            raise BadInput(f"no move to {self.target.host} is under way: nothing to undo.")
        move = self._of(self.source, self.target, target if back else source)
        if not back and not move.started:
            self._say(f"Nothing was started on {self.target.host}: the app goes on where it was.")
            if self.options.dry_run or not self._confirmed("Put it back?"):
                return 0
            move.put_back()
            self.console.print(f"[green]Undone.[/] The app runs on {self.source.host}.")
            return 0
        self._say(
            f"The app was started on {self.target.host}, so what was written there is kept: it "
            f"moves back to {self.source.host} in the same way, and is down meanwhile."
        )
        if self.options.dry_run or not self._confirmed("Move back?"):
            return 0
        reverse = replace(move, source=self.target, target=self.source)
        if not back:
            reverse.lock()
        return self._go(reverse)

    def _ways(self, move: Move) -> str:
        """Say how to go on from half way, and back."""
        back = f"{self.again} --undo"
        if move.source is self.target:
            return f"To go on with the way back: {back}"
        return f"To go on: {self.again}\nTo go back: {back}"

    def _go(self, move: Move) -> int:
        with leaving_says(f"The move is half done.\n{self._ways(move)}"):
            return self._all_of(move)

    def _all_of(self, move: Move) -> int:
        began = time.monotonic()
        if not move.started:
            try:
                move.transfer()
            except Failed as failure:
                self.console.print(Text(fold(f"{failure}.", self.console), "red"), soft_wrap=True)
                move.put_back()
                self._say(f"Nothing was moved: the app runs on {move.source.host}.")
                return 1
        try:
            move.start()
            took = time.monotonic() - began
            self._say(f"The app runs on {move.target.host}. It was down for {took:.0f} seconds.")
            if move.target.uploads:
                files, size = move.files()
                self._say(f"Compared: {files:,} uploaded files ({in_bytes(size)}), all there")
        except Failed as failure:
            self.console.print(Text(fold(f"{failure}.", self.console), "red"), soft_wrap=True)
            self._say(self._ways(move))
            return 1
        self._write(move.target.host)
        self._say_next(move)
        return 0

    def _looked(self, server: Server) -> Seen:
        try:
            return server.seen()
        except Failed as failure:
            raise BadInput(f"{str(failure).rstrip('.')}. Nothing was changed.") from None

    def _refuse(self, source: Seen, target: Seen) -> None:
        """Raise BadInput where no move may begin."""
        here, there = self.source.host, self.target.host
        back = f"kamalstream move {there}{_named(self.one)} --undo"
        if target.leaving and target.leaving[0] == here and source.leaving is None:
            if not any(each.running for each in source.containers):
                raise BadInput(f"a move back from {there} is half done: {back}")
        elif target.containers:
            raise BadInput(
                f"{there} has this app already (kamal app details there): it is moved to a server "
                "without it, or to one that it was moved away from."
            )
        if any(each.running for each in target.containers):
            raise BadInput(f"the app runs on {there}: stop it there first.")
        if source.leaving:
            other = f"kamalstream move {source.leaving[0]}{_named(self.one)}"
            raise BadInput(
                f"a move to {source.leaving[0]} is half done. {other} ends it, or --undo"
            )
        if source.lock:
            release = self.one.kamal("lock release")
            raise BadInput(
                f"Kamal's lock is held on {here}: {source.lock.strip()}\nWait until that is over; "
                f"where it was killed: {release}"
            )
        if not source.containers or not source.containers[0].running:
            raise BadInput(f"the app does not run on {here}, so there is nothing to move.")
        if source.accessories.get(self.source.accessories[SIDECAR]) != "running":
            raise BadInput(f"litestream does not run on {here}: {self.one.kamal('setup')}")
        if source.others:
            names = ", ".join(source.others)
            raise BadInput(
                f"on {here} {names} has the databases open besides the app: end it first."
            )

    def _of(self, source: Server, target: Server, seen: Seen) -> Move:
        version = seen.leaving[1] if seen.leaving else seen.containers[0].version
        image = next((one.image for one in seen.containers if one.version == version), "")
        if not image:
            raise BadInput(f"the app's container of {version} is not there any more: kamal setup")
        root = self.app.root
        move = Move(root, source, target, self.configs, image, version, self._step)
        if self.app.copies_uploads or not move.at_source.uploads:
            return move
        raise BadInput(
            f"{move.at_source.uploads:,} uploaded files are on {source.host}, and not in the "
            "bucket: they would stay there.\nkamalstream update --data uploads=true copies them; "
            "then deploy, and move."
        )

    def _prepared(self, move: Move) -> Rehearsed:
        try:
            return move.prepare()
        except Failed as failure:
            raise BadInput(f"{failure}.\nThe app runs on {move.source.host} as before.") from None

    def _say_plan(self, move: Move, seen: Seen, under_way: bool) -> None:
        here, there = self.source.host, self.target.host
        self.console.print(Text(f"Move {self.one.name} from {here} to {there}", "bold"))
        names = {self.app.in_container(path): name for name, path in self.one.backed_up.items()}
        sizes = move.at_source.sizes.items()
        what = ", ".join(f"{names.get(path, path)} {in_bytes(size)}" for path, size in sizes)
        self._say(f"  databases       {what or 'none yet'}")
        if self.source.uploads:
            self._say(f"  uploaded files  {move.at_source.uploads:,}, while the app runs already")
        left = [name for name in self.one.databases if name not in self.one.backed_up]
        if left:
            self._say(f"  begin empty     {', '.join(left)}, which Rails fills again")
        ours = (SIDECAR, facts.UPLOADS)
        others = [
            name
            for name, one in self.one.deployment.accessories.items()
            if name not in ours and here in one.hosts
        ]
        if others:
            self._say(f"  NOT MOVED       the data of {', '.join(others)}: new and empty there")
        if under_way:
            self._say("\nIt is half done already, and goes on where it was.\n")
            return
        last = f"Change {', '.join(self.files)}."
        if self.source.uploads:
            last = f"Bring the uploaded files and compare them. {last}"
        for line in _STEPS.format(here=here, there=there, files=last).splitlines():
            self._say(line)
        if seen.boot:
            self._say(f"The last start of the app took {lasting(seen.boot)}.")
        if domains := ", ".join(self.one.deployment.proxy.hosts):
            self._say(
                f"DNS: {domains} has to point to {there} then. Lower its TTL before you begin."
            )
        self.console.print()

    def _changes(self, server: str) -> list[Change]:
        root, [old] = self.app.root, self.one.deployment.hosts
        wanted = {**hosts.on_server(root, self.one.deployment, server)}
        answers = (read_bytes(root, facts.ANSWERS) or b"").decode()
        if self.one.is_main:
            wanted[facts.ANSWERS] = YamlText(answers, erb=False).set(("server_ip",), server).text
            guide = read_bytes(root, facts.GUIDE)
            if guide is not None and not self.app.is_own(facts.GUIDE):
                said = re.sub(rf"(?<=[`@]){re.escape(old)}(?=`)", server, guide.decode())
                wanted[facts.GUIDE] = said
        changes = []
        for file, text in wanted.items():
            before = read_bytes(root, file) or b""
            if before != text.encode():
                mode = (root / file).stat().st_mode & 0o7777
                changes.append(Change(file, before, text.encode(), mode, "edited"))
        return changes

    def _write(self, server: str) -> None:
        if changes := self._changes(server):
            apply(Plan(self.app.root, tuple(changes)), datetime.now())
            self._step(f"Changed: {', '.join(one.file for one in changes)}")

    def _say_next(self, move: Move) -> None:
        here, there = move.source.host, move.target.host
        self.console.print("[green]Moved.[/]")
        if domains := ", ".join(self.one.deployment.proxy.hosts):
            self._say(f"  DNS: point {domains} to {there} now; until then visitors wait.")
        self._say('  git commit --all --message "Moved"; where CI deploys, push it')
        self._say(f"{here} is stopped, closed to its backup and locked; its data is still there.")
        self._say(f"To go back, with all rows: kamalstream move {here}{_named(self.one)}")

    def _confirmed(self, question: str) -> bool:
        return self.options.yes or bool(asked(questionary.confirm(question, default=False)))

    def _step(self, text: str) -> None:
        self._say(f"→ {text}")

    def _say(self, text: str) -> None:
        self.console.print(fold(text, self.console), soft_wrap=True, markup=False)


_STEPS = """
  1. Prepare {there} and restore there for trial; the app runs on.
  2. Stop the app on {here}, upload its last change and wait for it.
  3. Close {here}, so that it never writes to the backup again.
  4. Restore on {there}, compare all tables, start the app there.
  5. {files}
The app is down from 2 to 4. How long is measured in 1, and said before.
What fails before 4 starts the app puts all back; until 5 is done, --undo does."""


def _downtime(rehearsed: Rehearsed, seen: Seen) -> str:
    boot = seen.boot or BOOT
    whole = rehearsed.seconds + boot + BESIDES
    return (
        f"Restored for trial: {in_bytes(rehearsed.size)} in {rehearsed.seconds:.0f} seconds.\n"
        f"The app will be down for about {whole:.0f} seconds: {rehearsed.seconds:.0f} to restore, "
        f"{boot:.0f} to start, the rest to stop and for Kamal's steps."
    )

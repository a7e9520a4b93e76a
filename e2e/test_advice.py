"""Advice that is followed to the letter, by apps of the real `rails new`, ends well."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from e2e.rails import NAME, Workshop, rails_new, workshop
from kamalstream.check import check_files
from kamalstream.check.finding import Finding
from kamalstream.inspect.adopted import App

pytestmark = pytest.mark.usefixtures("ruby")

RAILS = "8.1.4"
ANSWERS = {
    "server_ip": "203.0.113.7",
    "domain": "subject.example.com",
    "bucket": "subject-backups",
}
PRODUCTION = {"RAILS_ENV": "production", "SECRET_KEY_BASE": "0" * 64}

# A write, a job in Puma, a cached value and a broadcast: booting is not enough.
JOB = """\
class WorkJob < ApplicationJob
  def perform = File.write(Rails.root.join("tmp/worked"), Rails.cache.read("greeting"))
end
"""
USE = """\
Rails.cache.write("greeting", "hello")
WorkJob.perform_later
ActionCable.server.broadcast("notes", "hello")
# It writes in batches, a little later.
40.times { SolidCable::Message.any? ? break : sleep(0.25) }
puts "rows #{SolidCache::Entry.count} #{SolidQueue::Job.count} #{SolidCable::Message.count}"
"""
# Puma, asked to end, may wait for Solid Queue's plugin, which waits for Puma.
END = """\
kill $puma 2> log/killed.log
(sleep 15; kill -KILL $puma) > log/killed.log 2>&1 &
wait $puma
cat log/puma.log
"""
SERVE = f"""\
bin/rails server --binding 127.0.0.1 --port "$0" > log/puma.log 2>&1 & puma=$!
for turn in $(seq 240); do test -e tmp/worked && break; sleep 0.25; done
{END}cat tmp/worked
"""

AWAIT = f"""\
bin/rails server --binding 127.0.0.1 --port 0 > log/puma.log 2>&1 & puma=$!
for turn in $(seq 240); do grep -q "$0" log/puma.log && break; sleep 0.5; done
{END}"""
GONE = "Detected Solid Queue has gone away"


@contextmanager
def app_of(*flags: str) -> Iterator[tuple[Workshop, Path]]:
    """Yield the workshop, and in it an app that `rails new` made with `flags`."""
    made = rails_new(RAILS, *flags)
    with workshop() as shop, tempfile.TemporaryDirectory(dir=shop.root / "tmp") as scratch:
        yield shop, Path(shutil.copytree(made, Path(scratch, NAME), symlinks=True))


def inside(shop: Workshop, app: Path) -> str:
    return f"/{app.relative_to(shop.root)}"


def init(app: Path) -> None:
    """Adopt `app`, quietly, as the advice has it: again, with the answers of the first time."""
    with tempfile.NamedTemporaryFile("w", suffix=".yml") as answers:
        answers.write(yaml.safe_dump(ANSWERS))
        answers.flush()
        command = [Path(sys.executable).parent / "kamalstream", "init", "--defaults"]
        done = subprocess.run(
            [*command, "--data-file", answers.name, app], capture_output=True, text=True
        )
    assert "Written:" in done.stdout, done.stdout + done.stderr


def advice(app: Path, *ids: str) -> list[Finding]:
    return [one for one in check_files(App(app)) if one.id in ids]


def follow(shop: Workshop, app: Path, fix: str) -> None:
    """Do what `fix` says, line by line."""
    file = ""
    texts: dict[str, str] = {}
    for line in fix.splitlines():
        if named := re.fullmatch(r"In (\S+):", line):
            file = named[1]
            texts[file] = ""
        elif line == "Then: kamalstream init again":
            write(app, texts)
            init(app)
        elif file:
            texts[file] += f"{line}\n"
        elif line != "Recommended:":
            shop.must("sh", "-c", line, folder=inside(shop, app))


def write(app: Path, texts: dict[str, str]) -> None:
    """Put a section of a YAML file in the place of the one there, any other line at the end."""
    for file, text in texts.items():
        before = (app / file).read_text()
        section = re.compile(rf"^{text.splitlines()[0]}\n(?:[ \t].*\n|\n)*", re.MULTILINE)
        after = section.sub(lambda _, text=text: text, before)
        (app / file).write_text(after if file.endswith(".yml") else f"{before}\n{text}")


def use(shop: Workshop, app: Path) -> None:
    """Start the app as production does, and look that it keeps what it is given."""
    (app / "app/jobs/work_job.rb").write_text(JOB)
    folder = inside(shop, app)
    shop.must("bin/rails", "db:prepare", folder=folder, **PRODUCTION)
    assert "rows 1 1 1" in shop.must("bin/rails", "runner", USE, folder=folder, **PRODUCTION)
    deploy = yaml.safe_load((app / "config/deploy.yml").read_text())
    variables = {name: str(value) for name, value in deploy["env"]["clear"].items()}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    said = shop.must("sh", "-c", SERVE, port, folder=folder, **PRODUCTION, **variables)
    assert said.endswith("hello"), said


def said_by_puma(shop: Workshop, app: Path, awaited: str, **variables: str) -> bool:
    """Start Puma; tell whether it says `awaited`."""
    folder, env = inside(shop, app), {**PRODUCTION, **variables}
    shop.must("bin/rails", "db:prepare", folder=folder, **PRODUCTION)
    return awaited in shop.must("sh", "-c", AWAIT, awaited, folder=folder, **env)


def test_an_app_without_the_solid_gems_gets_them() -> None:
    with app_of("--skip-solid", "--skip-thruster") as (shop, app):
        init(app)
        said = advice(app, "production.no-gem", "cable.redis")
        assert len(said) == 3
        [fix] = {one.fix for one in said}
        follow(shop, app, fix)
        assert advice(app, "production.no-gem", "cable.redis", "solid.not-installed") == []
        assert [one for one in check_files(App(app)) if one.level == "error"] == []
        use(shop, app)


def test_an_app_that_was_made_without_bundle_is_finished() -> None:
    with app_of("--skip-bundle") as (shop, app):
        shop.must("bundle", "install", "--prefer-local", folder=inside(shop, app))
        init(app)
        assert "solid_queue" not in (app / "config/environments/production.rb").read_text()
        said = advice(app, "solid.not-installed", "cable.redis")
        assert len(said) == 3
        [fix] = {one.fix.removeprefix("Recommended:\n") for one in said}
        follow(shop, app, fix)
        assert [one for one in check_files(App(app)) if one.level == "error"] == []
        use(shop, app)


def test_an_app_without_thruster_gets_it() -> None:
    with app_of("--skip-solid", "--skip-thruster") as (shop, app):
        init(app)
        assert "app_port: 3000" in (app / "config/deploy.yml").read_text()
        [said] = advice(app, "gems.thruster")
        follow(shop, app, said.fix)
        assert 'CMD ["./bin/thrust", "./bin/rails", "server"]' in (app / "Dockerfile").read_text()
        assert "app_port" not in (app / "config/deploy.yml").read_text()
        assert advice(app, "gems.thruster", "proxy.port") == []


def test_an_app_without_active_job_starts_and_a_queue_in_it_would_stop_it() -> None:
    with app_of("--skip-active-job") as (shop, app):
        init(app)
        assert "active_job" not in (app / "config/environments/production.rb").read_text()
        deploy = app / "config/deploy.yml"
        assert "SOLID_QUEUE_IN_PUMA" not in deploy.read_text()
        assert said_by_puma(shop, app, "Listening on")
        text = deploy.read_text().replace("  clear:\n", "  clear:\n    SOLID_QUEUE_IN_PUMA: true\n")
        deploy.write_text(text)
        assert [one.level for one in advice(app, "queue.fails")] == ["error"]
        assert said_by_puma(shop, app, GONE, SOLID_QUEUE_IN_PUMA="true")


def test_a_queue_without_its_tables_stops_puma() -> None:
    with app_of() as (shop, app):
        (app / "db/queue_schema.rb").unlink()
        assert said_by_puma(shop, app, GONE, SOLID_QUEUE_IN_PUMA="true")

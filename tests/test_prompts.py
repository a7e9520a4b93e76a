"""The wizard of plain `copier copy`, typed at a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest

from .fixtures_template import git
from .terminal import ENTER, Terminal

CTRL_C = "\x03"
CLEAR_LINE = "\x15"


class Wizard(Terminal):
    """A terminal with `copier copy --trust TEMPLATE APP` in it."""

    def __init__(self, template: Path, app: Path) -> None:
        child = pexpect.spawn(
            sys.executable,
            ["-m", "copier", "copy", "--trust", "--overwrite", str(template), str(app)],
            env={**os.environ, "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1", "NO_COLOR": "1"},
            dimensions=(50, 200),
            encoding="utf-8",
            timeout=30,
        )
        super().__init__(app, child)


@pytest.fixture
def wizard(template: Path, sample_app: Callable[[str], Path]) -> Iterator[Wizard]:
    started = Wizard(template, sample_app("rails_8_1"))
    yield started
    started.child.close(force=True)


def test_seven_answers_make_an_app_deployable(wizard: Wizard) -> None:
    wizard.answers("Name of the app.", CLEAR_LINE + "notes")
    wizard.answers("Address of the server", "203.0.113.7")
    wizard.answers("Public host name", "notes.example.com")
    wizard.answers("Which S3-compatible storage")
    wizard.answers("as DigitalOcean Spaces writes it")
    wizard.answers("Name of the bucket", "notes-backups")
    wizard.answers("Look at the rest too?", "n", end="")
    assert wizard.ends() == 0
    assert wizard.stored["server_ip"] == "203.0.113.7"
    assert wizard.stored["endpoint"] == "https://nyc3.digitaloceanspaces.com"
    assert wizard.stored["retention"] == "720h"
    assert "registry_username" not in wizard.stored
    assert "  config.force_ssl = true\n" in (
        wizard.app / "config/environments/production.rb"
    ).read_text("utf-8")


def test_a_region_that_is_not_listed_is_typed(wizard: Wizard) -> None:
    wizard.answers("Name of the app.", CLEAR_LINE + "notes")
    wizard.answers("Address of the server", "203.0.113.7")
    wizard.answers("Public host name", "notes.example.com")
    wizard.answers("Which S3-compatible storage")
    wizard.answers("as DigitalOcean Spaces writes it", "\x1b[A")  # up from the first: another
    wizard.sees("Region, as DigitalOcean Spaces writes it")
    wizard.child.send("nyc3fra2" + ENTER)
    wizard.sees("'region': DigitalOcean Spaces writes them like nyc3")
    wizard.child.send(CLEAR_LINE + "fra2" + ENTER)
    wizard.answers("Name of the bucket", "notes-backups")
    wizard.answers("Look at the rest too?", "n", end="")
    assert wizard.ends() == 0
    assert wizard.stored["endpoint"] == "https://fra2.digitaloceanspaces.com"
    assert "region_choice" not in wizard.stored


def test_a_bad_answer_is_said_at_once_and_asked_again(wizard: Wizard) -> None:
    wizard.answers("Name of the app.", CLEAR_LINE + "My App")
    wizard.sees("'app_name': like my-app: use at most 50 lower-case letters")
    wizard.child.send(CLEAR_LINE + "notes" + ENTER)
    wizard.answers("Address of the server")
    wizard.sees("'server_ip': like 203.0.113.10: give the address of your server (is missing)")
    wizard.child.send("YOUR_SERVER_IP" + ENTER)
    wizard.sees('("YOUR_SERVER_IP" is a placeholder)')
    wizard.child.send(CLEAR_LINE + "203.0.113.7" + ENTER)
    wizard.answers("Public host name", "https://notes.example.com")
    wizard.sees("'domain': like app.example.com: give the host name alone")
    wizard.child.send(CLEAR_LINE + "notes.example.com" + ENTER)
    wizard.sees("Which S3-compatible storage")


def test_the_rest_is_asked_for_whoever_wants_it(wizard: Wizard) -> None:
    wizard.answers("Name of the app.", CLEAR_LINE + "notes")
    wizard.answers("Address of the server", "203.0.113.7")
    wizard.answers("Public host name", "notes.example.com")
    wizard.answers("Which S3-compatible storage", "\x1b[A")  # up from the first: the last, custom
    wizard.answers("as Another S3-compatible server writes it")
    wizard.answers("Address of the S3 server", "https://s3.example.com")
    wizard.answers("Name of the bucket", "notes-backups")
    wizard.answers("Look at the rest too?", "y", end="")
    wizard.sees("Every SQLite database")
    wizard.child.send("\x1b" + ENTER)  # Alt-Enter ends what has several lines
    wizard.answers("Replicate the cache and cable databases too?", "y", end="")
    wizard.answers("How much of the jobs")
    wizard.answers("Copy uploaded files")
    wizard.answers("Release series of Litestream")
    wizard.answers("How long a backup stays", CLEAR_LINE + "7d")
    wizard.sees("write 168h")
    wizard.child.send(CLEAR_LINE + "168h" + ENTER)
    wizard.answers("Ruby of the image")
    wizard.answers("Container registry.", CLEAR_LINE + "ghcr.io")
    wizard.answers("Your user name at ghcr.io", "jane")
    wizard.answers("User that Kamal logs in with", CLEAR_LINE + "deploy")
    wizard.answers("Processor of the server", "\x1b[B")
    wizard.answers("A URL that Litestream calls")
    wizard.answers("How often GitHub restores", "\x1b[B\x1b[B")
    assert wizard.ends() == 0
    assert {
        "storage_provider": "custom",
        "endpoint": "https://s3.example.com",
        "backup_ephemeral": True,
        "queue_loss": "5s",
        "retention": "168h",
        "ruby_version": "3.4.7",
        "registry_username": "jane",
        "ssh_user": "deploy",
        "arch": "arm64",
        "verify_schedule": "monthly",
    }.items() <= wizard.stored.items()


def test_ctrl_c_writes_nothing(wizard: Wizard) -> None:
    wizard.answers("Name of the app.", CLEAR_LINE + "notes")
    wizard.answers("Address of the server", "203.0.113.7")
    wizard.sees("Public host name")
    wizard.child.send(CTRL_C)
    assert wizard.ends() == 1
    assert "Traceback" not in str(wizard.child.before)
    assert git(wizard.app, "status", "--short", "--ignored") == ""

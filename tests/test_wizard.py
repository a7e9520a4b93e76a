"""`kamalstream init`, typed at a terminal of 80 columns."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pexpect  # type: ignore[import-untyped]
import pytest

from kamalstream.ask.answers import is_asked
from kamalstream.ask.questions import questions
from kamalstream.ask.review import LABELS
from kamalstream.facts import PROVIDERS

from .fixtures_init import files_of
from .fixtures_template import RELEASE
from .terminal import ENTER, Terminal

CTRL_C = "\x03"
DOWN = "\x1b[B"
CLEAR_LINE = "\x15"

RUN = """
import sys
from kamalstream.cli import main
from kamalstream.commands import init
from kamalstream.render.source import Source
init.template_source = lambda: Source({template!r}, {release!r})
sys.argv[0] = "kamalstream"
main()
"""


class Wizard(Terminal):
    """A terminal with `kamalstream init APP` in it."""

    def __init__(self, template: Path, app: Path, *options: str, **environment: str) -> None:
        self.template = template
        self.before = files_of(app)
        code = RUN.format(template=str(template), release=RELEASE)
        child = pexpect.spawn(
            sys.executable,
            ["-c", code, "init", str(app), *options],
            env={
                **{k: v for k, v in os.environ.items() if k != "NO_COLOR"},
                "TERM": "xterm-256color",
                "PROMPT_TOOLKIT_NO_CPR": "1",
                "PAGER": "cat",
                **environment,
            },
            # The page of answers is longer than 24 lines; it scrolls there.
            dimensions=(30, 80),
            encoding="utf-8",
            timeout=40,
        )
        super().__init__(app, child)

    def leaves(self, question: str) -> int:
        """Press Ctrl-C at `question`."""
        self.answers(question, CTRL_C, end="")
        self.sees("Nothing was changed.")
        return self.ends()

    def is_as_it_was(self) -> bool:
        return files_of(self.app) == self.before

    def asks_everything(self) -> None:
        self.answers("Does the bucket exist?")
        self.answers("Address of the server", "203.0.113.7")
        self.answers("Public host name", "notes.example.com")
        self.answers("Which S3-compatible storage")
        self.answers("as DigitalOcean Spaces writes it")
        self.answers("Name of the bucket", "notes-backups")

    def chooses(self, answer: str) -> None:
        """Go from "Yes" down to `answer`: they stand in the order of the questions."""
        hidden = ("advanced", "registry_username")
        shown = [n for n in questions() if n == "own_files" or (n not in hidden and is_asked(n))]
        self.child.send(DOWN * (shown.index(answer) + 1) + ENTER)


@pytest.fixture
def wizard(template: Path, sample_app: Callable[[str], Path]) -> Iterator[Callable[..., Wizard]]:
    started: list[Wizard] = []

    def start(*options: str, app: str = "rails_8_1", **environment: str) -> Wizard:
        started.append(Wizard(template, sample_app(app), *options, **environment))
        return started[-1]

    yield start
    for one in started:
        one.child.close(force=True)


def test_a_few_answers_a_look_and_a_yes_adopt_an_app(wizard: Callable[..., Wizard]) -> None:
    init = wizard()
    init.sees("Rails 8.1.1; Ruby 3.4.7 (.ruby-version)")
    init.asks_everything()
    init.sees("Is all of this right?")
    init.sees("Server 203.0.113.7")
    init.sees("Databases primary: storage/production.sqlite3")
    init.sees("cable: storage/production_cable.sqlite3")
    init.sees("Backups are kept 30 days")
    init.child.send(ENTER)
    init.sees("+++ b/Dockerfile")
    # What matters is last, after the pager.
    init.sees("New .copier-answers.yml")
    init.sees("As Rails or Kamal wrote them until now; replaced")
    init.answers("Write these changes?", "y", end="")
    init.sees("Written:")
    init.sees("What comes next:")
    assert init.ends() == 0
    assert init.stored["app_name"] == "notes"
    assert init.stored["bucket"] == "notes-backups"
    assert "\x1b[32m" in init.seen  # green


def test_every_answer_has_a_name_on_the_page() -> None:
    shown = {name for name in questions() if is_asked(name) and name != "advanced"}
    assert set(LABELS) == {*shown, "own_files"}
    assert max(map(len, LABELS.values())) <= 18


def test_a_refusal_is_read_to_its_end(wizard: Callable[..., Wizard]) -> None:
    init = wizard()
    init.answers("Does the bucket exist?")
    init.answers("Address of the server", "http://a/b")
    # Of 80 columns Copier takes 43 for the name of the question, which stands above.
    init.sees("like 203.0.113.10: give one IPv4 or IPv6 address or host name, without scheme,")
    init.sees('user or port ("http://a/b" is not a server address)')
    assert "Validation error" not in init.seen


def test_only_what_the_app_does_not_say_is_asked_and_the_second_time_nothing(
    wizard: Callable[..., Wizard],
) -> None:
    init = wizard(app="changed_by_hand")
    init.answers("Does the bucket exist?")
    init.answers("Which S3-compatible storage", DOWN)
    init.answers("as AWS S3 writes it", DOWN * PROVIDERS["aws"]["regions"].index("eu-central-1"))
    init.answers("Name of the bucket", "atelier-backups")
    init.sees("Is all of this right?")
    init.sees("Server 198.51.100.23")
    init.child.send(ENTER)
    init.answers("Write these changes?", "y", end="")
    init.sees("What comes next:")
    init.ends()
    assert not re.search("Name of the app|Address of the server|Look at the rest", init.seen)
    assert (init.stored["domain"], init.stored["region"]) == ("atelier.example.net", "eu-central-1")

    again = Wizard(init.template, init.app)
    again.answers("Is all of this right?")
    again.sees("Nothing would change")
    assert again.ends() == 0
    assert again.is_as_it_was()


def test_a_pasted_address_answers_for_provider_region_and_bucket(
    wizard: Callable[..., Wizard],
) -> None:
    init = wizard(app="changed_by_hand")
    init.answers("Does the bucket exist?", "atelier")
    init.sees("That is no address.")
    page = "https://console.scaleway.com/object-storage/buckets/nl-ams/atelier"
    init.child.send(CLEAR_LINE + page + ENTER)
    init.sees("Scaleway Object Storage charges nothing, whatever is written")
    init.sees("Is all of this right?")
    init.sees("Endpoint https://s3.nl-ams.scw.cloud")
    init.sees("Bucket atelier")
    init.child.send(ENTER)
    init.answers("Write these changes?", "y", end="")
    init.sees("What comes next:")
    init.ends()
    assert not re.search("Which S3|as Scaleway|Name of the bucket", init.seen)


def test_an_answer_can_be_changed_on_the_page_of_all_answers(
    wizard: Callable[..., Wizard],
) -> None:
    init = wizard("--dry-run")
    init.asks_everything()
    init.sees("Is all of this right?")
    init.sees("Heartbeat")
    init.chooses("storage_provider")
    init.answers("Which S3-compatible storage", DOWN)  # AWS
    # What hangs on it is asked again, with the default that fits.
    init.sees("as AWS S3 writes it")
    init.sees("us-east-1")
    init.child.send(ENTER)
    init.sees("Is all of this right?")
    init.sees("Storage AWS S3")
    init.child.send(ENTER)
    init.sees("+++ b/config/deploy.yml")
    assert init.ends() == 0
    assert "Address of the S3 server" not in init.seen, "AWS has its own"
    assert init.is_as_it_was()


def test_who_changes_the_registry_is_asked_for_the_user_name_there(
    wizard: Callable[..., Wizard],
) -> None:
    init = wizard("--dry-run")
    init.asks_everything()
    init.sees("Is all of this right?")
    init.sees("Heartbeat")
    init.chooses("registry_server")
    init.answers("Container registry.", CLEAR_LINE + "ghcr.io")
    init.answers("Your user name at ghcr.io", "jane")
    init.sees("Is all of this right?")
    init.sees("User at it jane")
    init.child.send(ENTER)
    init.sees("+++ b/config/deploy.yml")
    assert init.ends() == 0


def test_whose_the_files_are_can_be_changed(
    sample_app: Callable[[str], Path], template: Path
) -> None:
    app = sample_app("rails_8_1")
    dockerfile = app / "Dockerfile"
    dockerfile.write_text(
        dockerfile.read_text()
        .replace("/rails", "/srv/app")
        .replace("# Final stage", "# Last stage")
    )
    init = Wizard(template, app)
    init.asks_everything()
    init.sees("Files of yours Dockerfile")
    init.sees("Heartbeat")
    init.chooses("own_files")
    init.sees("Files that are yours")
    init.answers("bin/docker-entrypoint", CLEAR_LINE + "[]")
    init.sees("Is all of this right?")
    init.sees("Files of yours none")
    init.sees("Heartbeat")
    init.child.send(ENTER)
    init.sees("-# Last stage")
    init.sees("Replaced; what was there is kept below tmp/")
    init.sees("Dockerfile +")
    init.answers("Write these changes?", "y", end="")
    init.sees("What comes next:")
    assert init.ends() == 0
    assert init.stored["own_files"] == []
    assert init.stored["rails_root"] == "/rails", "that of the template's image"
    kept = next((app / "tmp").glob("before-kamalstream-*/Dockerfile"))
    assert "# Last stage" in kept.read_text()


def test_what_is_to_be_put_in_by_hand_stands_last_and_then_enter_means_no(
    sample_app: Callable[[str], Path], template: Path
) -> None:
    app = sample_app("rails_8_1")
    with (app / "config/deploy.yml").open("a") as deploy:
        deploy.write('<% if ENV["LOGS"] %>\nlogging: {driver: local}\n<% end %>\n')
    init = Wizard(template, app)
    init.asks_everything()
    init.sees("Is all of this right?")
    init.sees("Files of yours config/deploy.yml")
    init.sees("Heartbeat")
    init.child.send(ENTER)
    init.sees("config/litestream.yml +")
    init.sees("To put in by hand")
    init.sees("- LITESTREAM_ACCESS_KEY_ID")
    init.sees("Write these changes? (y/N)")
    init.child.send(ENTER)
    init.sees("Nothing was changed.")
    assert init.ends() == 0
    assert init.is_as_it_was()


@pytest.mark.parametrize("question", ["Address of the server", "Name of the bucket"])
def test_ctrl_c_at_a_question_leaves_the_app_as_it_was(
    wizard: Callable[..., Wizard], question: str
) -> None:
    init = wizard()
    init.answers("Does the bucket exist?")
    if question == "Name of the bucket":
        init.answers("Address of the server", "203.0.113.7")
        init.answers("Public host name", "notes.example.com")
        init.answers("Which S3-compatible storage")
        init.answers("as DigitalOcean Spaces writes it")
    assert init.leaves(question) == 130
    assert init.is_as_it_was()


def test_ctrl_c_on_the_page_of_answers_leaves_the_app_as_it_was(
    wizard: Callable[..., Wizard],
) -> None:
    init = wizard()
    init.asks_everything()
    assert init.leaves("Is all of this right?") == 130
    assert init.is_as_it_was()


@pytest.mark.parametrize(("key", "code"), [(CTRL_C, 130), ("n", 0)])
def test_whoever_does_not_confirm_has_the_app_as_it_was(
    wizard: Callable[..., Wizard], key: str, code: int
) -> None:
    init = wizard()
    init.asks_everything()
    init.answers("Is all of this right?")
    init.answers("Write these changes?", key, end="")
    init.sees("Nothing was changed.")
    assert init.ends() == code
    assert init.is_as_it_was()


def test_a_bad_answer_in_the_data_file_is_said_before_anything_is_asked(
    wizard: Callable[..., Wizard], tmp_path: Path
) -> None:
    (tmp_path / "answers.yml").write_text("bucket: Not_A_Bucket\n")
    init = wizard("--data-file", str(tmp_path / "answers.yml"))
    init.sees('bucket "Not_A_Bucket" is not an S3 bucket name')
    assert init.ends() == 2
    assert "Address of the server" not in init.seen


def test_databases_that_cannot_be_read_are_asked_for(
    wizard: Callable[..., Wizard], sample_app: Callable[[str], Path], template: Path
) -> None:
    app = sample_app("rails_8_0")
    (app / "config/database.yml").write_text("<%= File.read('elsewhere.yml') %>\n")
    init = Wizard(template, app)
    init.sees("not certain config/database.yml:1: code puts whole lines here")
    init.asks_everything()
    init.sees("Every SQLite database")
    init.child.close(force=True)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colour_there_is_none(
    wizard: Callable[..., Wizard], environment: dict[str, str]
) -> None:
    init = wizard("--dry-run", **environment)
    init.asks_everything()
    init.answers("Is all of this right?")
    init.sees("As Rails or Kamal wrote them until now; replaced")
    assert init.ends() == 0
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m|\x1b\[[0-9;]*38;", init.seen)

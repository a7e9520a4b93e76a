"""`make demo`: a sample Rails 8.1 app becomes deployable, is checked, lost and restored."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE = ROOT / "tests" / "apps" / "rails_8_1"
SCRIPTS = Path(sys.executable).parent
ANSWERS = {
    "app_name": "bookshelf",
    "server_ip": "203.0.113.10",
    "domain": "bookshelf.example.com",
    "storage_provider": "digitalocean",
    "bucket": "bookshelf-backups",
}


def main() -> int:
    """Run the demo; return the exit code of the first command that fails, else 0."""
    with tempfile.TemporaryDirectory(prefix="kamalstream-demo-") as folder:
        app = Path(folder) / "bookshelf"
        shutil.copytree(SAMPLE, app)
        # The sample comes without a key, as a clone of anybody's app does.
        (app / "config/credentials.yml.enc").unlink()
        (app / "config/master.key").write_text(secrets.token_hex(16))
        git(app, "init", "--quiet")
        commit(app, "rails new bookshelf")

        say("A Rails 8.1 app on SQLite, as `rails new` makes it. The template is rendered into it:")
        answers = [f"--data={key}={value}" for key, value in ANSWERS.items()]
        command = ["copier", "copy", "--trust", "--defaults", "--overwrite", "--quiet"]
        run(
            app,
            [*command, "--vcs-ref=HEAD", *answers, str(ROOT), "."],
            shown="copier copy --trust …",
        )

        say("The bucket's keys go into Rails' encrypted credentials:")
        run(
            app,
            ["kamalstream", "credentials", "--stdin"],
            typed="DEMO_ACCESS_KEY\nDEMO_SECRET_KEY\n",
        )

        say("What changed:")
        git(app, "add", "--all")
        git(app, "--no-pager", "diff", "--cached", "--stat")
        git(
            app,
            "--no-pager",
            "diff",
            "--cached",
            "--unified=0",
            "config/environments/production.rb",
        )
        commit(app, "Deploy with Kamal and Litestream")

        say("The real Kamal, Litestream, hadolint, bash, shellcheck and Ruby look at it:")
        run(app, ["kamalstream", "check"])

        say("And the backups are put to the test:")
        run(app, ["kamalstream", "drill"])
    say('In your own app: README.md, "In 30 seconds".')
    return 0


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n\033[1m{text}\033[0m\n" if sys.stdout.isatty() else f"\n## {text}\n", flush=True)


def run(app: Path, command: list[str], shown: str = "", typed: str | None = None) -> None:
    """Run a program of the virtual environment in the app; stop the demo where it fails."""
    print(f"$ {shown or ' '.join(command)}", flush=True)
    program = [SCRIPTS / command[0], *command[1:]]
    result = subprocess.run(program, cwd=app, input=typed, text=True, check=False)
    if result.returncode:
        sys.exit(result.returncode)


def git(app: Path, *arguments: str) -> None:
    """Run git in the app, with an identity of its own."""
    identity = ["-c", "user.name=Demo", "-c", "user.email=demo@example.com"]
    subprocess.run(["git", *identity, *arguments], cwd=app, check=True)


def commit(app: Path, message: str) -> None:
    """Commit everything in the app."""
    git(app, "add", "--all")
    git(app, "commit", "--quiet", "--message", message)


if __name__ == "__main__":
    sys.exit(main())

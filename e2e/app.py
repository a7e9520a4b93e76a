"""The subject: a Rails 7.2 app made by Debian's `rails new`, with e2e/subject laid over it."""

from __future__ import annotations

import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import yaml

from e2e.engine import Engine
from e2e.machines import ADDRESS, Developer
from kamalstream.edit import credentials

HERE = Path(__file__).parent / "subject"
ROOT = Path(__file__).parent.parent
NAME = "subject"
BUCKET = "app-backups"
DATABASES = {
    "primary": "storage/production.sqlite3",
    "queue": "storage/production_queue.sqlite3",
}


def make(folder: Path, engine: Engine, ruby: str, access_key: str, secret_key: str) -> None:
    """Make the app in `folder`, with its lock file, credentials and first git commit.

    Raises:
        RuntimeError: Rails or Bundler fails.
    """
    run = f"run --rm --volume {folder}:/app --workdir /app ruby:{ruby}-slim".split()
    folder.mkdir(parents=True)
    engine.docker(
        *run,
        *("rails", "new", ".", "--name", NAME, "--minimal"),
        *("--skip-asset-pipeline", "--skip-bundle", "--skip-git"),
    )
    shutil.copytree(HERE, folder, dirs_exist_ok=True)
    engine.docker(*run, "bundle", "lock", "--local")
    (folder / ".gitignore").write_text("/config/*.key\n/log/*\n/tmp/*\n/storage/*\n!.keep\n")
    credentials.store(folder, access_key, secret_key)


def answers(endpoint: str, litestream: str = "0.5") -> str:
    """Return the answers file for the subject, with its backups at `endpoint`."""
    return yaml.safe_dump(
        {
            "app_name": NAME,
            "server_ip": ADDRESS,
            "domain": "app.example.com",
            "storage_provider": "minio",
            "endpoint": endpoint,
            "bucket": BUCKET,
            "databases": DATABASES,
            "litestream_version": litestream,
            # Every drill may wait for both databases alike.
            "queue_loss": "2s",
        }
    )


def render(folder: Path, developer: Developer, answers: str) -> None:
    """Run Copier on the app as the design has it, and commit what it wrote.

    Raises:
        RuntimeError: Copier or git fails.
    """
    file = developer.home / "answers.yml"
    file.write_text(answers)
    command = ["copier", "copy", "--trust", "--defaults", "--overwrite", "--vcs-ref=HEAD"]
    for step in (
        [*command, "--data-file", str(file), str(ROOT), str(folder)],
        ["git", "init", "--quiet"],
        ["git", "add", "--all"],
        ["git", "commit", "--quiet", "--allow-empty", "--message", "Deploy with Kamal"],
    ):
        ran = developer.run(folder, *step)
        if ran.code:
            raise RuntimeError(f"{' '.join(step)}\n{ran.text[-3000:]}")


@dataclass(frozen=True)
class Site:
    """The deployed app, as reached through the proxy: `url` is that of the proxy."""

    url: str

    def write(self, body: str, hold: float = 0) -> bool:
        """Commit `body` to both databases, after `hold` seconds; tell whether the app said so."""
        form = urllib.parse.urlencode({"body": body, "hold": hold}).encode()
        try:
            with self._open("/entries", form) as answer:
                return bool(answer.status == 201)
        except OSError:
            return False

    def rows(self) -> dict[str, list[str]]:
        """Return every committed body, per database, in the order of writing."""
        with self._open("/entries") as answer:
            rows: dict[str, list[str]] = json.load(answer)
            return rows

    def _open(self, path: str, form: bytes | None = None) -> urllib.response.addinfourl:
        request = urllib.request.Request(self.url + path, form, {"Host": "app.example.com"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opened: urllib.response.addinfourl = opener.open(request, timeout=30)
        return opened

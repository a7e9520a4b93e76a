"""The subject: what the real `rails new` writes, with e2e/subject laid over it."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import yaml

from e2e import rails
from e2e.machines import ADDRESS, Developer
from kamalstream.edit import credentials
from kamalstream.facts import DEFAULT_DATABASES, backed_up

HERE = Path(__file__).parent / "subject"
ROOT = Path(__file__).parent.parent
NAME = rails.NAME
RAILS = "8.1.4"
DOMAIN = "app.example.com"
BUCKET = "app-backups"
BACKED_UP = backed_up(DEFAULT_DATABASES, backup_ephemeral=False)


def make(folder: Path, access_key: str, secret_key: str, version: str, *flags: str) -> None:
    """Make the app in `folder`, with the keys of its bucket in its credentials.

    Raises:
        RuntimeError: Rails or Bundler fails.
    """
    shutil.copytree(rails.rails_new(version, *flags), folder, symlinks=True)
    shutil.copytree(HERE, folder, dirs_exist_ok=True)
    credentials.store(folder, access_key, secret_key)


def answers(endpoint: str, litestream: str = "0.5", bucket: str = BUCKET) -> str:
    """Return the answers file for the subject, with its backups in `bucket` at `endpoint`."""
    return yaml.safe_dump(
        {
            "app_name": NAME,
            "server_ip": ADDRESS,
            "domain": DOMAIN,
            "storage_provider": "minio",
            "endpoint": endpoint,
            "bucket": bucket,
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
    """The deployed app; `address` is HOST:PORT of the proxy's HTTPS, `domain` its public name."""

    address: str
    domain: str = DOMAIN

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

    def get(self, path: str) -> str:
        """Return what is at `path`.

        Raises:
            OSError: it is not answered, or not with a success.
        """
        with self._open(path) as answer:
            text: str = answer.read().decode()
            return text

    def answer(self, path: str) -> tuple[int, str]:
        """Return the status that is answered, and the path that it leads on to, if any."""
        connection = http.client.HTTPSConnection(
            self.address, timeout=30, context=ssl._create_unverified_context()
        )
        with contextlib.closing(connection):
            connection.request("GET", path, headers={"Host": self.domain})
            response = connection.getresponse()
            return response.status, urllib.parse.urlparse(response.headers.get("Location", "")).path

    def _open(self, path: str, form: bytes | None = None) -> urllib.response.addinfourl:
        request = urllib.request.Request(
            f"https://{self.address}{path}", form, {"Host": self.domain}
        )
        # Nobody has signed the proxy's certificate.
        trusting = urllib.request.HTTPSHandler(context=ssl._create_unverified_context())
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), trusting)
        opened: urllib.response.addinfourl = opener.open(request, timeout=30)
        return opened

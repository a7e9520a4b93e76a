"""Which secrets are missing, and which of what stands in a file of secrets is one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kamalstream.check import check_files
from kamalstream.check.finding import Finding
from kamalstream.inspect.adopted import App

DEPLOY, SECRETS = "config/deploy.yml", ".kamal/secrets"


@pytest.fixture
def app(fresh: Callable[..., Path]) -> Path:
    return fresh()


def found(app: Path) -> list[Finding]:
    return [one for one in check_files(App(app)) if one.id.startswith("secrets.")]


def secret(app: Path, line: str) -> None:
    with (app / SECRETS).open("a") as file:
        file.write(f"{line}\n")


@pytest.mark.parametrize(
    "line",
    [
        "STRIPE_SECRET_KEY=sk_live_4242",
        "export API_TOKEN='a$b'",
        "AWS_ACCESS_KEY_ID=AKIAEXAMPLE",
        "SMTP_PASSWORD: hunter2",
        "APIKEY=abc",
        "REDIS_URL=redis://user:hunter2@192.0.2.1:6379/0",
    ],
)
def test_a_secret_that_is_written_out_is_an_error(app: Path, line: str) -> None:
    secret(app, line)
    [finding] = found(app)
    assert (finding.id, finding.level, finding.file) == ("secrets.literal", "error", SECRETS)
    assert (app / SECRETS).read_text().splitlines()[finding.line - 1] == line
    assert "hunter2" not in finding.message


@pytest.mark.parametrize(
    "line",
    [
        "BUCKET=notes-backups",
        "S3_ENDPOINT=https://nyc3.digitaloceanspaces.com",
        "AWS_REGION=eu-central-1",
        "SMTP_USERNAME=notes@example.com",
        "KAMAL_REGISTRY_USERNAME=acme",
        "KEY_NAME=notes",
        "SECRET_KEY_BASE_DUMMY=1",
        "VAPID_PUBLIC_KEY=BAbc",
        "TOKEN=$TOKEN",
        'PASSWORD="$(op read op://notes/password)"',
        "KAMAL_REGISTRY_PASSWORD=$(aws ecr get-login-password)",
        "REDIS_URL=redis://192.0.2.1:6379/0",
        "# API_TOKEN=abc",
        "EMPTY_TOKEN=",
    ],
)
def test_what_is_no_secret_or_says_where_to_get_it_is_fine(app: Path, line: str) -> None:
    secret(app, line)
    assert found(app) == []


def test_a_file_that_git_ignores_may_hold_secrets(app: Path) -> None:
    secret(app, "STRIPE_SECRET_KEY=sk_live_4242")
    (app / ".gitignore").write_text("/.kamal/secrets*\n")
    assert found(app) == []


@pytest.mark.parametrize(
    "registry",
    [
        "  server: europe-docker.pkg.dev\n  username: _json_key\n  password:\n    - GCR_KEY\n",
        "  username:\n    - GCR_USER\n  password:\n    - GCR_KEY\n",
    ],
)
def test_the_secrets_of_a_registry_are_wanted(app: Path, registry: str) -> None:
    text = (app / DEPLOY).read_text()
    (app / DEPLOY).write_text(text.replace("  server: localhost:5555\n", registry))
    wanted = {name for name in ("GCR_USER", "GCR_KEY") if name in registry}
    unset = found(app)
    assert {one.id for one in unset} == {"secrets.unset"}
    assert {one.message.split()[0] for one in unset} == wanted
    assert all(
        f"registry.{'username' if 'USER' in one.message else 'password'}" in one.message
        for one in unset
    )
    for name in wanted:
        secret(app, f"{name}=$(cat key.json)")
    assert found(app) == []


def test_a_deployment_that_wants_no_secrets_needs_no_file(app: Path) -> None:
    (app / SECRETS).unlink()
    text = (app / DEPLOY).read_text()
    keys = "\n".join(
        line
        for line in text.splitlines()
        if not line.lstrip().startswith("- ") or "_KEY" not in line
    )
    (app / DEPLOY).write_text(keys)
    assert {one.id for one in found(app)} == {"secrets.keys"}


def test_keys_by_the_names_of_amazon_are_enough(app: Path) -> None:
    text = (app / DEPLOY).read_text()
    (app / DEPLOY).write_text(text.replace("LITESTREAM_", "AWS_"))
    assert "secrets.keys" not in {one.id for one in found(app)}

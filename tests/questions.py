"""Asks the template's questions without Copier around them: thousands of answers in a second."""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml
from jinja2 import FileSystemLoader
from jinja2.sandbox import SandboxedEnvironment

from kamalstream.ask.questions import is_kept
from kamalstream.facts import DEFAULT_DATABASES, EPHEMERAL, IMAGE, PROVIDERS, REPLICATION, VERSIONS

from .conftest import ROOT
from .fixtures_template import ANSWERS

COPIER_YML: dict[str, Any] = yaml.safe_load((ROOT / "copier.yml").read_text("utf-8"))
SETTINGS = {key: value for key, value in COPIER_YML.items() if key.startswith("_")}
QUESTIONS = {key: value for key, value in COPIER_YML.items() if not key.startswith("_")}
ASKED = {key: value for key, value in QUESTIONS.items() if is_kept(value)}

#: One good answer to every question.
GOOD: dict[str, Any] = {
    **ANSWERS,
    "storage_provider": "digitalocean",
    "region": "nyc3",
    "endpoint": "https://nyc3.digitaloceanspaces.com",
    "advanced": False,
    "own_files": None,
    "rails_root": "/rails",
    "container_user": "1000:1000",
    "volumes": [],
    "uploads_root": "/rails/storage",
    "uploads_volume": "",
    "uploads": False,
    "databases": DEFAULT_DATABASES,
    "backup_ephemeral": False,
    "queue_loss": "5s",
    "litestream_version": "0.5",
    "retention": "720h",
    "ruby_version": "3.4.7",
    "registry_server": "localhost:5555",
    "registry_username": "",
    "ssh_user": "root",
    "arch": "amd64",
    "heartbeat_url": "",
    "verify_schedule": "none",
    "destinations": {},
    "image": {},
}


@cache
def _environment() -> SandboxedEnvironment:
    # As Copier makes its own: copier/_main.py, Worker.jinja_env.
    return SandboxedEnvironment(
        loader=FileSystemLoader(ROOT),
        extensions=["jinja2_ansible_filters.AnsibleCoreFiltersExtension"],
        keep_trailing_newline=True,
    )


def exported(name: str) -> Any:
    """Return what problems.jinja sets `name` to."""
    problems = _environment().get_template("kamalstream/ask/problems.jinja")
    return getattr(problems.make_module(GOOD), name)


def problem(question: str, answer: Any, **others: Any) -> str:
    """Return what the validator of `question` in copier.yml says of `answer`: "" for a good one."""
    validator = _environment().from_string(QUESTIONS[question]["validator"])
    return validator.render(
        {
            "providers": PROVIDERS,
            "versions": VERSIONS,
            "image_defaults": IMAGE,
            "replication": REPLICATION,
            "rails_databases": {"default": DEFAULT_DATABASES, "ephemeral": sorted(EPHEMERAL)},
            "_copier_conf": {"data": {}, "defaults": False},
            **GOOD,
            **others,
            question: answer,
        }
    ).strip()

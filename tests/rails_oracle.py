"""Active Record as an oracle: which databases Rails opens."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kamalstream.facts import RAILS_ROOT
from tests.conftest import ROOT


def what_rails_opens(
    sources: Mapping[str, str],
    env: Mapping[str, str] | None = None,
    root: str | Path = RAILS_ROOT,
) -> dict[str, Any]:
    """Return what Rails in the folder `root` makes of texts of config/database.yml.

    Nothing but `env` is set, RAILS_ENV to production where it says nothing else. An answer that is
    a string is the error Rails would stop with.
    """
    asked = {"sources": sources, "env": {"RAILS_ENV": "production", **(env or {})}}
    run = subprocess.run(
        ["ruby", ROOT / "tests" / "database_configurations.rb"],
        input=json.dumps({**asked, "root": str(root)}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    answer: dict[str, Any] = json.loads(run.stdout)
    return answer

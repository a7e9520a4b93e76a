"""What every test may use."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

from kamalstream import programs

from . import once, warm

# How long an example takes says how busy the machine is, not whether the answer is right.
# The same examples in every run, which judges a change; KAMALSTREAM_NEW_EXAMPLES=1 looks for more.
settings.register_profile(
    "kamalstream", deadline=None, derandomize="KAMALSTREAM_NEW_EXAMPLES" not in os.environ
)
settings.load_profile("kamalstream")

once.remember()

# A machine may be told to keep no bytecode; here every process would compile all of it again.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

pytest_plugins = [
    "tests.fixtures_s3",
    "tests.fixtures_template",
    "tests.fixtures_update",
    "tests.kamal_oracle",
]

ROOT = Path(__file__).resolve().parent.parent
APPS = ROOT / "tests" / "apps"

# Behind `KAMALSTREAM_REQUIRE=ruby,docker,sshd` a missing program fails the test that needs it.
REQUIRED = {name for name in os.environ.get("KAMALSTREAM_REQUIRE", "").split(",") if name}
SYSTEM = {"docker": "dockerd"}
# Ruby libraries that serve as oracles: what to require, and they are required where ruby is.
RUBY_LIBRARIES = {"activesupport": "active_support", "activerecord": "active_record"}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "requires(*names): programs the test runs")
    # A shell's background job ignores Ctrl-C, and so would every program that a test interrupts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Litestream 0.5 refuses every S3 server when this names a bundle it cannot add to.
    os.environ.pop("AWS_CA_BUNDLE", None)
    os.environ["PATH"] += os.pathsep + "/usr/sbin"


@cache
def available(name: str) -> bool:
    if name in RUBY_LIBRARIES:
        command = ["ruby", "-r", RUBY_LIBRARIES[name], "-e", ""]
        return available("ruby") and not subprocess.run(command, capture_output=True).returncode
    if name.startswith("litestream-"):
        return programs.litestream(name.removeprefix("litestream-")) is not None
    return programs.find(SYSTEM.get(name, name)) is not None


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("requires"):
        for name in mark.args:
            if not available(name):
                if name in REQUIRED or (name in RUBY_LIBRARIES and "ruby" in REQUIRED):
                    pytest.fail(f"{name} is required here (KAMALSTREAM_REQUIRE) and is missing")
                pytest.skip(f"needs {name}, which this machine does not have")


def requires(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.requires(*names)


@pytest.fixture(autouse=True, scope="session")
def _apart_from_the_users_own_settings(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    # The templates of the tests are in folders that no command was installed from.
    (home / "settings.yml").write_text(f"trust: ['{home.parent.parent}/']\n")
    os.environ["COPIER_SETTINGS_PATH"] = str(home / "settings.yml")
    os.environ["GIT_CONFIG_GLOBAL"] = str(home / "gitconfig")
    os.environ["GIT_CONFIG_NOSYSTEM"] = "1"
    (home / "gitconfig").write_text(
        "[user]\nname = Test\nemail = test@example.com\n[init]\ndefaultBranch = main\n"
    )
    assert sys.version_info >= (3, 10)


@pytest.fixture(autouse=True, scope="session")
def _kamal_is_loaded(_apart_from_the_users_own_settings: None) -> None:
    """Have `kamal` be one that is loaded already, wherever it is looked for."""
    if folder := warm.kamal():
        os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"

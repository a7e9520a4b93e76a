"""Databases in db/, with the migrations: what a volume there does, and how the data moves along."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.conftest import missing
from e2e.engine import Engine
from kamalstream import programs

ADVICE = Path(__file__).parent.parent / "docs/adoption.md"
DATA = "/rails/db/production.sqlite3"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with two images of an app, `app:1` and `app:2`, of which each has a migration."""
    lacking = missing(
        ("busybox", "docker", "docker-registry", "mmdebstrap", "slirp4netns", "unshare")
    )
    if lacking and "docker" not in os.environ.get("KAMALSTREAM_REQUIRE", ""):
        pytest.skip(f"needs {lacking}")
    assert not lacking, f"needs {lacking} (KAMALSTREAM_REQUIRE)"
    folder = tmp_path_factory.mktemp("app")
    shutil.copy(str(programs.find("busybox")), folder / "busybox")
    (folder / "storage").mkdir()
    (folder / "db/migrate").mkdir(parents=True)
    (folder / "Dockerfile").write_text(
        "FROM scratch\n"
        "COPY busybox /bin/busybox\n"
        'RUN ["/bin/busybox", "--install", "/bin"]\n'
        "COPY db /rails/db\n"
        "COPY storage /rails/storage\n"
        "RUN chown -R 1000:1000 /rails\n"
        "USER 1000:1000\n"
        'ENTRYPOINT ["/bin/no-such-entrypoint"]\n'
    )
    with Engine() as ready:
        for version in ("1", "2"):
            (folder / f"db/migrate/{version}.rb").touch()
            ready.docker("build", "--quiet", "--tag", f"app:{version}", folder)
        yield ready


def run(engine: Engine, image: str, volume: str, command: str) -> str:
    shell = ("--volume", volume, "--entrypoint", "sh", image, "-c", command)
    return engine.docker("run", "--rm", *shell)


def test_a_volume_in_db_hides_later_migrations_and_in_storage_none(engine: Engine) -> None:
    run(engine, "app:1", "old:/rails/db", f"echo rows > {DATA}")
    assert run(engine, "app:2", "old:/rails/db", "ls /rails/db/migrate") == "1.rb"
    seen = run(engine, "app:2", "old:/rails/storage", "ls /rails/db/migrate; cat /rails/storage/*3")
    assert seen.split() == ["1.rb", "2.rb", "rows"]


def test_data_of_a_container_is_copied_as_the_page_says(engine: Engine) -> None:
    command = ("--entrypoint", "sh", "app:1", "-c", f"echo rows > {DATA}; true")
    container = engine.docker("run", "--detach", *command)
    assert engine.docker("wait", container) == "0"
    written = re.search(
        r"```bash\n(\s*docker stop CONTAINER\n.*?)```", ADVICE.read_text(), re.DOTALL
    )
    assert written
    says = written[1].replace("CONTAINER", container).replace("IMAGE", "app:1")
    environment = {**os.environ, "DOCKER_HOST": engine.host}
    subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", says.replace("APP_storage", "shop_storage")],
        env=environment,
        check=True,
    )
    look = "cat /rails/storage/production.sqlite3; stat -c %u /rails/storage/production.sqlite3"
    assert run(engine, "app:2", "shop_storage:/rails/storage", look).split() == ["rows", "1000"]

"""Uploaded files when something breaks: what was copied comes back, and what was not is named."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

import pytest

from e2e.stage import Stage
from e2e.steps import SYNCED, container, setup

# A new file is in the bucket within a minute.
COPIED = 60
# In the rows of a server that is lost meanwhile, the newest are the last.
UPLOADS = """
COUNT.times do |number|
  content = SecureRandom.random_bytes(SIZE)
  Note.create!(body: %q(a file), picture: {io: StringIO.new(content), filename: %q(a.bin)})
  sleep PAUSE
end
"""


def upload(stage: Stage, count: int, size: int = 5_000, pause: float = 0) -> None:
    """Have the app store `count` files, without a visitor; ends where the server is lost."""
    code = UPLOADS.replace("COUNT", str(count)).replace("SIZE", str(size))
    code = code.replace("PAUSE", str(pause))
    command = ("exec", container(stage, "web"), "bin/rails", "runner", code)
    stage.engine.docker(*command, check=False)


def files(stage: Stage) -> list[str]:
    """Return the uploaded files that are on the server."""
    script = "cd /rails/storage && find . -path './.*' -prune -o -path './??/??/*' -type f -print"
    return stage.engine.docker("exec", container(stage, "web"), "sh", "-c", script).split()


def wait_until_copied(stage: Stage, within: float = COPIED) -> None:
    """Wait until every uploaded file of the server is in the bucket, and none is to come."""
    ends = time.monotonic() + within
    while True:
        said = stage.kamal("uploads").text
        count = re.search(r"^(\d+) files .* are here and in the bucket", said, re.M)
        if count and int(count[1]) == len(files(stage)):
            return
        assert time.monotonic() < ends, said
        time.sleep(2)


def lose_and_return(stage: Stage) -> list[str]:
    """Lose the server with its volume, deploy to an empty one, and return the files there."""
    time.sleep(SYNCED)
    stage.server.lose()
    setup(stage)
    wait_until_copied(stage)
    return files(stage)


@pytest.fixture
def copied(deployed: Stage) -> list[str]:
    """Twenty files more, which are in the bucket, and all that are there."""
    upload(deployed, 20)
    wait_until_copied(deployed)
    return files(deployed)


def test_the_server_is_lost_under_uploads(
    deployed: Stage, copied: list[str], drill: Callable[..., None]
) -> None:
    uploading = threading.Thread(target=upload, args=(deployed, 400), kwargs={"pause": 0.1})
    uploading.start()
    while len(files(deployed)) < len(copied) + 20:
        time.sleep(0.2)
    after = lose_and_return(deployed)
    uploading.join()
    said = deployed.developer.run(deployed.folder, "bin/restore", "--check-files").text
    found = re.search(r"(?:All|(\d+) of) (\d+) uploaded files are here and whole", said)
    assert found, said
    named, whole = int(found[2]), int(found[1] or found[2])
    assert whole >= len(copied)
    # Each that was not copied yet is a row without its file.
    assert said.count(" lacks") == min(named - whole, 20), (said, named, whole, len(copied))
    drill(
        "Server lost while files are uploaded",
        {"files": copied},
        {"files": after},
        f"what was copied is back; of the last seconds {named - whole} rows have no file, and are "
        "named by `bin/restore --check-files`",
    )


def test_the_bucket_is_away_while_files_are_uploaded(
    deployed: Stage, copied: list[str], drill: Callable[..., None]
) -> None:
    deployed.s3.stop()
    upload(deployed, 20)
    ends = time.monotonic() + 90
    try:
        while "it is tried again" not in deployed.engine.docker(
            "logs", "--since", "60s", container(deployed, "uploads")
        ):
            assert time.monotonic() < ends
            time.sleep(1)
    finally:
        deployed.s3.start()
    before = files(deployed)
    assert len(before) == len(copied) + 20
    wait_until_copied(deployed)
    drill(
        "Bucket unreachable while files are uploaded",
        {"files": before},
        {"files": lose_and_return(deployed)},
        "copied when it was back",
    )


def test_the_copy_is_killed_again_and_again_there_and_back(
    deployed: Stage, copied: list[str], drill: Callable[..., None]
) -> None:
    def killed() -> None:
        for after in (0.3, 0.6, 0.9):
            time.sleep(after)
            name = container(deployed, "uploads")
            deployed.engine.docker("kill", "--signal", "KILL", name)
            deployed.engine.docker("start", name)

    upload(deployed, 300, size=30_000)
    killed()
    wait_until_copied(deployed)
    before = files(deployed)
    assert len(before) == len(copied) + 300
    time.sleep(SYNCED)
    deployed.server.lose()
    setup(deployed)
    killed()
    wait_until_copied(deployed)
    drill(
        "`uploads` killed three times while it copies 300 files, and on their way back",
        {"files": before},
        {"files": files(deployed)},
        "each went on from there",
    )
    said = deployed.developer.run(deployed.folder, "bin/restore", "--check-files").text
    # Of the drill before last, some rows have no file; none is damaged.
    assert "has another checksum" not in said
    assert "bytes instead of" not in said

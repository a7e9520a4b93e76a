"""From nothing to a deployed app, and back after the server is lost."""

from __future__ import annotations

import re
import struct
import time
import zlib
from pathlib import Path

from e2e.browser import browser
from e2e.stage import Stage
from e2e.steps import SYNCED, now, restore

IMAGES = Path(__file__).parent.parent / "docs" / "images"


def test_a_brand_new_app_goes_straight_through(stage: Stage) -> None:
    setup = stage.kamal("setup")
    assert setup.code == 0, setup.text[-3000:]
    assert stage.site.rows() == {"primary": [], "queue": []}
    assert all(stage.site.write(f"row {number}") for number in range(20))


def test_the_app_can_be_taken_down_and_up(stage: Stage) -> None:
    assert stage.kamal("app", "maintenance").code == 0
    assert not stage.site.write("nobody is there")
    assert stage.kamal("app", "live").code == 0
    assert stage.site.write("back again")


def test_the_sidecar_can_be_rebooted(stage: Stage) -> None:
    reboot = stage.kamal("accessory", "reboot", "litestream")
    assert reboot.code == 0, reboot.text[-3000:]
    assert stage.site.write("after the reboot")


def test_a_lost_server_comes_back_with_its_rows(stage: Stage) -> None:
    before = stage.site.rows()
    assert len(before["primary"]) == len(before["queue"]) == 22
    # The promise: what was committed more than a sync interval and a second ago is there.
    time.sleep(2)
    stage.server.lose()
    setup = stage.kamal("setup")
    assert setup.code == 0, setup.text[-3000:]
    assert stage.site.rows() == before
    assert stage.site.write("life goes on")


def test_a_person_sees_their_notes_again(stage: Stage, tmp_path: Path) -> None:
    picture = tmp_path / "sunset.png"
    picture.write_bytes(a_sunset(480, 320))
    with browser(stage.site) as person:
        person.open(0)
        person.open(1)
        person.write(0, "The first evening", picture)
        # By websocket: the second tab is not loaded again. The words are counted by the job.
        assert "3 words" in person.sees(1, "The first evening")
        assert person.picture(1, "sunset.png") == (240, 160), "a variant, not what was uploaded"
        person.screenshot(1, IMAGES / "page-before.png")

        # The picture and its variant.
        wait_until_copied(stage, 2)
        stage.server.lose()
        setup = stage.kamal("setup")
        assert setup.code == 0, setup.text[-3000:]

        # The app is up before the files are; then they are there without a deploy.
        wait_until_copied(stage, 2)
        person.open(1)
        person.sees(1, "The first evening")
        assert person.picture(1, "sunset.png") == (240, 160)
        person.open(0)
        person.write(0, "Life goes on")
        assert "3 words" in person.sees(1, "Life goes on")
        person.screenshot(1, IMAGES / "page-after.png")


def test_a_purged_picture_comes_back_with_the_moment_that_knows_it(stage: Stage) -> None:
    assert "All 2 uploaded files are here and whole." in restore(stage, "--check-files")
    time.sleep(SYNCED)
    moment = now()
    time.sleep(SYNCED)
    purge = "Note.find_each { |note| note.picture.purge }"
    purged = stage.kamal("app", "exec", "--primary", "--reuse", f"bin/rails runner '{purge}'")
    assert purged.code == 0, purged.text[-3000:]
    assert "All 0 uploaded files are here and whole." in restore(stage, "--check-files")
    # The accessory notes it in the bucket, and takes the files for gone.
    wait_until_copied(stage, 0)
    said = restore(stage, "--database", "primary", "--timestamp", moment)
    assert "2 uploaded files are not here, and are brought back" in said, said
    assert "All 2 uploaded files are here and whole." in said, said
    # And in the bucket still, when this server is lost too.
    wait_until_copied(stage, 2)
    time.sleep(SYNCED)
    stage.server.lose()
    setup = stage.kamal("setup")
    assert setup.code == 0, setup.text[-3000:]
    wait_until_copied(stage, 2)
    assert "All 2 uploaded files are here and whole." in restore(stage, "--check-files")


def wait_until_copied(stage: Stage, files: int) -> None:
    """Wait until so many uploaded files are on the volume and in the bucket: a minute at most."""
    ends = time.monotonic() + 60
    while True:
        said = stage.kamal("uploads").text
        if re.search(rf"^{files} files .* are here and in the bucket", said, re.M):
            return
        assert time.monotonic() < ends, said
        time.sleep(2)


def a_sunset(width: int, height: int) -> bytes:
    """Return a PNG (https://www.w3.org/TR/png/), without a library for pictures."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    def colour(x: int, y: int) -> bytes:
        if (x - width // 2) ** 2 + (y - height * 2 // 3) ** 2 < (height // 5) ** 2:
            return bytes((255, 220, 120))
        return bytes((90 + 150 * y // height, 60 + 60 * y // height, 130 - 60 * y // height))

    rows = (b"\0" + b"".join(colour(x, y) for x in range(width)) for y in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = zlib.compress(b"".join(rows))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )

"""From nothing to a deployed app, and back after the server is lost."""

from __future__ import annotations

import struct
import time
import zlib
from pathlib import Path

from e2e.browser import browser
from e2e.stage import Stage

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

        time.sleep(2)
        stage.server.lose()
        setup = stage.kamal("setup")
        assert setup.code == 0, setup.text[-3000:]

        person.open(1)
        # Uploaded files are not in the databases.
        assert "sunset.png is missing" in person.sees(1, "The first evening")
        person.open(0)
        person.write(0, "Life goes on")
        assert "3 words" in person.sees(1, "Life goes on")
        person.screenshot(1, IMAGES / "page-after.png")


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

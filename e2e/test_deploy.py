"""From nothing to a deployed app, and back after the server is lost."""

from __future__ import annotations

import time

from e2e.stage import Stage


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

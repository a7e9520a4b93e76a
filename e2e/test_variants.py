"""What else `rails new` makes: built, booted, asked, lost and back again."""

from __future__ import annotations

import time

import pytest

from e2e.record import Record
from e2e.stage import Stage, subject
from e2e.steps import lose_and_set_up, setup, write

VARIANTS = {
    "api": ("8.1.4", "--api"),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_kind_of_app_is_built_boots_and_comes_back(
    stage: Stage, record: Record, name: str
) -> None:
    stage.server.lose()
    variant = subject(stage, name, f"{name}-backups", *VARIANTS[name])
    began = time.monotonic()
    built = variant.kamal("build", "push")
    took = time.monotonic() - began
    assert built.code == 0, built.text[-3000:]
    setup(variant)
    write(variant, 10)
    before = variant.site.rows()
    after = lose_and_set_up(variant)
    assert after == before
    write(variant, 1)
    size = int(variant.engine.docker("image", "inspect", "--format", "{{.Size}}", image(variant)))
    record.variants.append(
        f"| `rails _{VARIANTS[name][0]}_ new {' '.join(VARIANTS[name][1:])}`".rstrip()
        + f" | {took:.0f} s | {size / 1e6:.0f} MB | {sum(map(len, before.values()))} "
        f"| {sum(map(len, after.values()))} |\n"
    )


def image(stage: Stage) -> str:
    """Return the image that the app runs in."""
    web = stage.engine.docker("ps", "--quiet", "--filter", "label=role=web").split()[0]
    return stage.engine.docker("inspect", "--format", "{{.Image}}", web)

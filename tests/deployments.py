"""Configurations of Kamal for the tests of what is read of them."""

from __future__ import annotations

from pathlib import Path

from kamalstream.inspect.kamal.deployment import Deployment, Kamal, kamal

HEAD = """\
service: shop
image: acme/shop
registry:
  server: localhost:5555
builder:
  arch: amd64
"""
BASE = HEAD + "servers:\n  web:\n    - 10.0.0.1\nvolumes:\n  - shop_storage:/rails/storage\n"
SIDECAR = """\
accessories:
  backup:
    image: litestream/litestream:0.5.17
    cmd: replicate
    roles:
      - web
    volumes:
      - shop_storage:/rails/storage
"""


def write(app: Path, base: str | None, **destinations: str) -> Path:
    (app / "config").mkdir(parents=True, exist_ok=True)
    if base is not None:
        (app / "config/deploy.yml").write_text(base)
    for name, text in destinations.items():
        (app / f"config/deploy.{name}.yml").write_text(text)
    return app


def read(app: Path, base: str, **destinations: str) -> Kamal:
    found = kamal(write(app, base, **destinations))
    assert found is not None
    return found


def main(app: Path, base: str, **destinations: str) -> Deployment:
    deployment = read(app, base, **destinations).main
    assert deployment is not None
    return deployment


def staging(app: Path, base: str, text: str) -> Deployment:
    deployment = read(app, base, staging=text).deployment("staging")
    assert deployment is not None
    return deployment

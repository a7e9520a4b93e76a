"""Everything a drill needs, set up and taken down: S3, server, developer and subject."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from e2e import app, gems, images
from e2e.engine import HOST_LOOPBACK, Engine
from e2e.machines import Developer, Ran, Server
from kamalstream.prove.s3 import ScratchS3


@dataclass(frozen=True)
class Stage:
    """A subject with its rendered files, not yet deployed.

    Attributes:
        folder: the app, on the developer's machine.
        answers: the answers file it was rendered with.
        site: the app as visitors reach it, once deployed.
    """

    engine: Engine
    s3: ScratchS3
    server: Server
    developer: Developer
    folder: Path
    answers: str
    site: app.Site

    def kamal(self, *arguments: str, **environment: str) -> Ran:
        """Run the real Kamal in the app."""
        return self.developer.run(self.folder, "kamal", *arguments, **environment)


@contextlib.contextmanager
def stage(litestream: str = "0.5") -> Iterator[Stage]:
    """Set up; about a minute, and some more where no tree and no app is kept (e2e/debian.py).

    Raises:
        RuntimeError: what could not be had, with what the failing program said.
    """
    with Engine() as engine, ScratchS3() as s3, gems.served() as port:
        images.make(engine, port)
        server = Server(engine)
        developer = Developer(server)
        site = app.Site(f"127.0.0.1:{engine.publish(443)}")
        empty = Stage(engine, s3, server, developer, developer.home, "", site)
        yield subject(empty, app.NAME, app.BUCKET, app.RAILS, litestream=litestream)


def subject(
    stage: Stage, name: str, bucket: str, *rails_new: str, litestream: str = "0.5"
) -> Stage:
    """Return the stage with a subject of its own, in the folder `name`, and an empty bucket.

    Raises:
        RuntimeError: Rails or Copier fails.
    """
    s3, folder = stage.s3, stage.developer.home / name
    s3.create_bucket(bucket)
    app.make(folder, s3.access_key, s3.secret_key, *rails_new)
    answers = app.answers(at(s3), litestream, bucket)
    app.render(folder, stage.developer, answers)
    return replace(stage, folder=folder, answers=answers)


def at(s3: ScratchS3) -> str:
    """Return the endpoint of `s3` as containers and the server see it."""
    return s3.endpoint.replace("127.0.0.1", HOST_LOOPBACK)

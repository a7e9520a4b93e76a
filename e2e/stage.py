"""Everything a drill needs, set up and taken down: S3, server, developer and subject."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from e2e import app, images
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
    """Set up; about a minute, and half a minute more where images.make has no tree kept.

    Raises:
        RuntimeError: what could not be had, with what the failing program said.
    """
    with Engine() as engine, ScratchS3() as s3:
        ruby = images.make(engine)
        s3.create_bucket(app.BUCKET)
        server = Server(engine)
        developer = Developer(server)
        folder = developer.home / app.NAME
        app.make(folder, engine, ruby, s3.access_key, s3.secret_key)
        answers = app.answers(s3.endpoint.replace("127.0.0.1", HOST_LOOPBACK), litestream)
        app.render(folder, developer, answers)
        site = app.Site(f"http://127.0.0.1:{engine.publish(80)}")
        yield Stage(engine, s3, server, developer, folder, answers, site)

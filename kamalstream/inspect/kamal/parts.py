"""The parts of one deployment that are not containers, made of Kamal's plain configuration.

Every class is named after Kamal's own (lib/kamal/configuration/ of Kamal 2.11 and 2.12) and says
what that makes of the same values. What is not known is None, or left out of a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kamalstream.inspect.kamal.values import Unknown, mapping, text, texts


@dataclass(frozen=True)
class Env:
    """Environment of containers (Kamal::Configuration::Env).

    `clear` maps names to values: None is not known; of an empty one Kamal makes `--env NAME`, which
    leaves the variable unset. `secret` maps names in the container to names of secrets.
    """

    clear: Mapping[str, str | None] = field(default_factory=dict)
    secret: Mapping[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Every name, clear or secret."""
        return (*self.clear, *self.secret)

    @classmethod
    def of(cls, value: Any) -> Env:
        """Read an `env:`, whether it has `clear:` and `secret:` or is all clear."""
        env = mapping(value)
        split = env.keys() & {"clear", "secret", "tags"}
        clear = mapping(env.get("clear")) if split else env
        pairs = [one.partition(":") for one in texts(env.get("secret"))] if split else []
        return cls(
            {name: "" if one is None else text(one) for name, one in clear.items()},
            {name: alias or name for name, _, alias in pairs},
        )


@dataclass(frozen=True)
class Proxy:
    """How kamal-proxy serves a role or an accessory (Kamal::Configuration::Proxy).

    `ssl` and `app_port` are None where they are not known.
    """

    ssl: bool | None = False
    hosts: tuple[str, ...] = ()
    app_port: int | None = 80

    @classmethod
    def of(cls, value: Any) -> Proxy:
        """Read a `proxy:`; `host:` may name several, with commas."""
        proxy = mapping(value)
        ssl, port = proxy.get("ssl", False), proxy.get("app_port", 80)
        alone = (text(proxy.get("host")) or "").split(",")
        return cls(
            None if isinstance(ssl, Unknown) else ssl is not None and ssl is not False,
            texts(proxy.get("hosts")) or tuple(filter(None, (one.strip() for one in alone))),
            int(port) if re.fullmatch(r"[0-9]{1,5}", str(text(port))) else None,
        )


@dataclass(frozen=True)
class Registry:
    """Where images are pushed to (Kamal::Configuration::Registry).

    `username` is None where it is a secret.
    """

    server: str | None = None
    username: str | None = None

    @property
    def local(self) -> bool:
        """Whether Kamal runs the registry itself; it takes "localhost" alone for a remote one."""
        return bool(re.match(r"localhost[:$]", self.server or ""))

    @classmethod
    def of(cls, value: Any) -> Registry:
        """Read a `registry:`."""
        registry = mapping(value)
        return cls(text(registry.get("server")), text(registry.get("username")))


@dataclass(frozen=True)
class Ssh:
    """How Kamal reaches the servers (Kamal::Configuration::Ssh), with its defaults."""

    user: str | None = "root"
    port: int | None = 22
    proxy: str | None = None
    keys: tuple[str, ...] = ()

    @classmethod
    def of(cls, value: Any) -> Ssh:
        """Read an `ssh:`."""
        ssh = mapping(value)
        port = text(ssh.get("port", 22)) or ""
        return cls(
            text(ssh.get("user", "root")),
            int(port) if re.fullmatch(r"[0-9]{1,5}", port) else None,
            text(ssh.get("proxy")),
            texts(ssh.get("keys")),
        )


@dataclass(frozen=True)
class Builder:
    """How the image is built (Kamal::Configuration::Builder); `arch` is empty where not set.

    `context` is None where Kamal builds from a clone of the repository.
    """

    arch: tuple[str, ...] = ()
    dockerfile: str | None = "Dockerfile"
    context: str | None = None
    target: str | None = None
    remote: str | None = None
    local: bool = True
    pack: bool = False
    args: Mapping[str, Any] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    @classmethod
    def of(cls, value: Any) -> Builder:
        """Read a `builder:`."""
        builder = mapping(value)
        dockerfile = builder.get("dockerfile")
        return cls(
            texts(builder.get("arch")),
            "Dockerfile" if dockerfile in (None, False) else text(dockerfile),
            text(builder.get("context")),
            text(builder.get("target")),
            text(builder.get("remote")),
            builder.get("local") is not False,
            builder.get("pack") not in (None, False),
            mapping(builder.get("args")),
            texts(builder.get("secrets")),
        )

"""The real Kamal as an oracle: what it makes of a folder's configuration, and what we do."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from kamalstream import programs
from kamalstream.inspect.kamal.deployment import Deployment
from kamalstream.inspect.kamal.parts import Env, Proxy
from tests.conftest import ROOT


class Oracle:
    """A Kamal that goes on answering: its configuration has an ERB line that loads the probe."""

    def __init__(self, folder: Path) -> None:
        probe = ROOT / "tests" / "ruby" / "kamal_probe.rb"
        (folder / "config").mkdir(parents=True)
        (folder / "config/deploy.yml").write_text(f'<% load "{probe}" %>\n')
        program = programs.find("kamal")
        assert program is not None
        self.process = subprocess.Popen(
            [program, "config", "--version", "1"],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(
        self, app: Path, destination: str | None = None, env: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return what Kamal says of `app`; it has only "error" where Kamal refuses it.

        The variables of `env` are set besides those of this process.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{app}\t{destination or ''}\t{json.dumps(env or {})}\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("ANSWER "):
                answer: dict[str, Any] = json.loads(line.removeprefix("ANSWER "))
                return answer
        raise AssertionError("Kamal stopped answering")

    def close(self) -> None:
        """Let it end."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(10)


@pytest.fixture(scope="session")
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Oracle]:
    kamal = Oracle(tmp_path_factory.mktemp("oracle") / "app")
    yield kamal
    kamal.close()


def ours(deployment: Deployment) -> dict[str, Any]:
    """Return what the model says, in the form of the probe's answers."""
    builder = deployment.builder
    primary = deployment.primary_role
    return {
        "raw": json.loads(json.dumps(deployment.config)),
        "service": deployment.service,
        "image": deployment.image,
        "hosts": sorted(deployment.hosts),
        "primary_role": primary.name if primary else None,
        "server": deployment.server,
        "volumes": [str(m) for m in deployment.mounts[: len(deployment.get("volumes") or [])]],
        "asset_path": deployment.get("asset_path"),
        "require_destination": deployment.require_destination,
        "minimum_version": deployment.minimum_version,
        "secrets_files": list(deployment.secrets_files),
        "env": _env(deployment.env),
        "tags": {name: _env(env) for name, env in deployment.env_tags.items()},
        "proxy": _proxy(deployment.proxy),
        "ssh": {"user": deployment.ssh.user, "port": deployment.ssh.port},
        "local": deployment.registry.local,
        "registry": deployment.registry.server,
        "builder": {
            "arch": list(builder.arch),
            "dockerfile": builder.dockerfile,
            "pack": builder.pack,
            "context": builder.context,
            "local": builder.local,
            "remote": builder.remote,
        },
        "aliases": dict(deployment.aliases),
        "roles": [
            {
                "name": role.name,
                "hosts": list(role.hosts),
                "cmd": role.cmd,
                "proxy": _proxy(role.proxy),
                "options": [str(mount) for mount in role.mounts],
                "asset_path": role.asset_path,
                "tags": {host: list(tags) for host, tags in role.tags.items()},
                "env": _env(role.env),
            }
            for role in deployment.roles.values()
        ],
        "accessories": [
            {
                "name": one.name,
                "service_name": one.service_name,
                "image": one.image,
                "hosts": list(one.hosts),
                "cmd": one.cmd,
                "files": [remote for _, remote in one.files],
                "volumes": [
                    str(mount)
                    for mount in one.mounts
                    if mount.source not in _values(one.options.get("volume"))
                ],
                "env": _env(one.env),
                "options": [],
                "proxy": _proxy(one.proxy),
            }
            for one in deployment.accessories.values()
        ],
    }


def kamals(answer: dict[str, Any]) -> dict[str, Any]:
    """Return Kamal's answer without what is not compared."""
    for role in answer["roles"]:
        pairs = zip(role["options"], role["options"][1:], strict=False)
        role["options"] = [_unescaped(value) for key, value in pairs if key == "--volume"]
    for accessory in answer["accessories"]:
        accessory["options"] = []
        # None for a role that is not there; the same host for several roles.
        accessory["hosts"] = list(filter(None, dict.fromkeys(accessory["hosts"] or [])))
    return answer


def _unescaped(value: str) -> str:
    """Undo Kamal::Utils.escape_shell_value."""
    return value.strip('"').replace("\\$", "$")


def _values(volumes: Any) -> list[str]:
    written = volumes if isinstance(volumes, list) else [volumes]
    return [str(one).split(":")[0] for one in written if one]


def _env(env: Env) -> dict[str, Mapping[str, str | None]]:
    return {"clear": env.clear, "secret": env.secret}


def _proxy(proxy: Proxy | None) -> dict[str, Any] | None:
    if proxy is None:
        return None
    return {
        "hosts": list(proxy.hosts),
        "app_port": proxy.app_port,
        "ssl": proxy.ssl,
    }

"""The two requests to S3 that Litestream has no command for: list, and delete.

Signature Version 4, path-style addresses: docs.aws.amazon.com, "Authenticating Requests".
"""

from __future__ import annotations

import hashlib
import hmac
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

_EMPTY = hashlib.sha256(b"").hexdigest()


@dataclass(frozen=True)
class Bucket:
    """A bucket at `endpoint` (empty: AWS) in `region`, and the keys to it."""

    endpoint: str
    region: str
    name: str
    access_key_id: str
    secret_access_key: str = field(repr=False)

    @property
    def address(self) -> str:
        """The URL of the S3 server."""
        return self.endpoint or f"https://s3.{self.region}.amazonaws.com"

    def reach(self) -> None:
        """Open a connection and close it; raise OSError where nothing answers."""
        url = urlsplit(self.address)
        port = url.port or (443 if url.scheme == "https" else 80)
        socket.create_connection((url.hostname or "", port), timeout=15).close()

    def remove(self, prefix: str) -> None:
        """Delete every object below `prefix`. Raises OSError where that fails."""
        for key in self._keys(prefix):
            self._request("DELETE", key)

    def _keys(self, prefix: str) -> Iterator[str]:
        query = {"list-type": "2", "prefix": prefix}
        while True:
            tree = ElementTree.fromstring(self._request("GET", "", query))
            for element in tree.iter():
                if element.tag.endswith("}Key") or element.tag == "Key":
                    yield element.text or ""
            token = next(
                (e.text for e in tree.iter() if e.tag.endswith("NextContinuationToken")), None
            )
            if not token:
                return
            query["continuation-token"] = token

    def _request(self, method: str, key: str, query: dict[str, str] | None = None) -> bytes:
        host = urlsplit(self.address).netloc
        path = f"/{quote(self.name)}/{quote(key)}"
        parameters = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}"
            for name, value in sorted((query or {}).items())
        )
        now = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
        headers = {"host": host, "x-amz-content-sha256": _EMPTY, "x-amz-date": now}
        signed = ";".join(headers)
        canonical = "\n".join(
            [
                method,
                path,
                parameters,
                *(f"{k}:{v}" for k, v in headers.items()),
                "",
                signed,
                _EMPTY,
            ]
        )
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        digest = hashlib.sha256(canonical.encode()).hexdigest()
        to_sign = f"AWS4-HMAC-SHA256\n{now}\n{scope}\n{digest}"
        signature = hmac.new(self._signing_key(now[:8]), to_sign.encode(), "sha256").hexdigest()
        headers["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key_id}/{scope}, "
            f"SignedHeaders={signed}, Signature={signature}"
        )
        url = f"{self.address}{path}" + (f"?{parameters}" if parameters else "")
        request = urllib.request.Request(url, method=method, headers=headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())

    def _signing_key(self, day: str) -> bytes:
        key = f"AWS4{self.secret_access_key}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), "sha256").digest()
        return key

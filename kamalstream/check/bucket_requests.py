"""The two requests to S3 that Litestream has no command for: list, and delete, as it makes them.

ListObjectsV2 and DeleteObjects, as in s3/replica_client.go; Signature Version 4:
docs.aws.amazon.com, "Authenticating Requests".
"""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from urllib.parse import quote, urlsplit
from xml.etree import ElementTree

# As many as one request deletes (MaxKeys in s3/replica_client.go).
_AT_ONCE = 1000


class NotDeletedError(OSError):
    """The storage says that objects were deleted, or why not, and still lists them."""


@dataclass(frozen=True)
class Bucket:
    """A bucket at `endpoint` (empty: AWS) in `region`, and the keys to it.

    `path_style` and `content_md5` are Litestream's force-path-style and require-content-md5; where
    the first is None, it is as Litestream has it by itself: on wherever there is an endpoint.
    """

    endpoint: str
    region: str
    name: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    path_style: bool | None = None
    content_md5: bool = True

    @property
    def address(self) -> str:
        """The URL of the S3 server."""
        return self.endpoint or f"https://s3.{self.region}.amazonaws.com"

    def reach(self) -> None:
        """Open a connection and close it; raise OSError where nothing answers."""
        url = urlsplit(self.address)
        port = url.port or (443 if url.scheme == "https" else 80)
        socket.create_connection((url.hostname or "", port), timeout=15).close()

    def look(self) -> None:
        """List one object; raise urllib.error.HTTPError where the keys do not open the bucket."""
        self._request("GET", "", {"list-type": "2", "max-keys": "1"})

    def remove(self, prefix: str) -> None:
        """Delete every object below `prefix`, and look that they are gone.

        Raises OSError where that fails, NotDeletedError where the answer was that it did not.
        """
        keys = list(self._keys(prefix))
        said = [self._delete(keys[at : at + _AT_ONCE]) for at in range(0, len(keys), _AT_ONCE)]
        if left := len(list(self._keys(prefix))):
            words = next(filter(None, said), "it said that they were deleted")
            raise NotDeletedError(f"{left} of {len(keys)} objects are still there: {words}")

    def _delete(self, keys: Sequence[str]) -> str:
        """Delete some; return the first reason why one was not, empty where there is none."""
        root = ElementTree.Element("Delete", xmlns="http://s3.amazonaws.com/doc/2006-03-01/")
        for key in keys:
            ElementTree.SubElement(ElementTree.SubElement(root, "Object"), "Key").text = key
        body = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
        answer = self._request("POST", "", {"delete": ""}, body)
        said = re.search(r"<Error>.*?<Message>([^<]*)", answer.decode("utf-8", "replace"), re.S)
        return said[1] if said else ""

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

    def _place(self, key: str) -> tuple[str, str]:
        """Return the host and the path of an object, of the bucket itself where `key` is empty."""
        url = urlsplit(self.address)
        path_style = bool(self.endpoint) if self.path_style is None else self.path_style
        # A certificate for *.HOST is none for a name with dots; the SDK goes by the path then.
        if path_style or ("." in self.name and url.scheme == "https"):
            return url.netloc, f"{url.path.rstrip('/')}/{quote(self.name)}/{quote(key)}"
        return f"{self.name}.{url.netloc}", f"{url.path.rstrip('/')}/{quote(key)}"

    def _request(
        self, method: str, key: str, query: dict[str, str] | None = None, body: bytes = b""
    ) -> bytes:
        host, path = self._place(key)
        parameters = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}"
            for name, value in sorted((query or {}).items())
        )
        now = f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}"
        content = hashlib.sha256(body).hexdigest()
        headers = {"host": host, "x-amz-content-sha256": content, "x-amz-date": now}
        signed = ";".join(headers)
        canonical = "\n".join(
            [
                method,
                path,
                parameters,
                *(f"{k}:{v}" for k, v in headers.items()),
                "",
                signed,
                content,
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
        if body:
            headers["content-type"] = "application/xml"
        if body and self.content_md5:
            headers["content-md5"] = b64encode(hashlib.md5(body).digest()).decode()
        scheme = urlsplit(self.address).scheme
        url = f"{scheme}://{host}{path}" + (f"?{parameters}" if parameters else "")
        request = urllib.request.Request(url, body or None, headers, method=method)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())

    def _signing_key(self, day: str) -> bytes:
        key = f"AWS4{self.secret_access_key}".encode()
        for part in (day, self.region, "s3", "aws4_request"):
            key = hmac.new(key, part.encode(), "sha256").digest()
        return key

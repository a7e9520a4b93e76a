"""The format of a Rails encrypted file, read and written without Ruby.

Source: activesupport 6.1 to 8.1, lib/active_support/encrypted_file.rb and message_encryptor.rb.
The file is `Base64(data)--Base64(iv)--Base64(tag)`, AES-128-GCM, and what is encrypted is the text
as Ruby's Marshal dumps a String. Rails names Marshal as the serializer of these files itself, so
`config.active_support.message_serializer` does not reach them.
"""

from __future__ import annotations

import base64
import os
import re

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

IV_BYTES = 12
TAG_BYTES = 16
# The one instance variable of a dumped String: its encoding, UTF-8 (true) or US-ASCII (false).
UTF_8, US_ASCII = b"\x06:\x06ET", b"\x06:\x06EF"


class UnreadableError(Exception):
    """A file that is not what Rails writes; the text completes "FILE …" and holds nothing of it."""


def parse_key(written: str) -> bytes | None:
    """Return the 16 bytes that 32 hexadecimal digits stand for, or None for any other text."""
    return bytes.fromhex(written) if re.fullmatch("[0-9a-fA-F]{32}", written) else None


def encrypt(text: bytes, key: bytes) -> bytes:
    """Return the content of an encrypted file that holds `text` (UTF-8)."""
    iv = os.urandom(IV_BYTES)
    sealed = AESGCM(key).encrypt(iv, _dump(text), None)
    parts = sealed[:-TAG_BYTES], iv, sealed[-TAG_BYTES:]
    return b"--".join(base64.b64encode(part) for part in parts)


def decrypt(content: bytes, key: bytes) -> bytes:
    """Return the text that an encrypted file with this `content` holds.

    Raises UnreadableError where the content is damaged, the key is another one, or what is inside
    is no UTF-8, ASCII or binary String.
    """
    try:
        data, iv, tag = (base64.b64decode(p, validate=True) for p in content.strip().split(b"--"))
    except ValueError:
        data = iv = tag = b""
    if len(iv) != IV_BYTES or len(tag) != TAG_BYTES:
        raise UnreadableError("is damaged: it is not the three Base64 parts that Rails writes")
    try:
        text = _load(AESGCM(key).decrypt(iv, data + tag, None))
    except InvalidTag:
        why = "cannot be decrypted: the key is another one or the file is damaged"
        raise UnreadableError(why) from None
    if text is None:
        raise UnreadableError("holds something else than a text that Rails wrote")
    return text


def _dump(text: bytes) -> bytes:
    return b'\x04\x08I"' + _dump_length(len(text)) + text + UTF_8


def _load(dumped: bytes) -> bytes | None:
    """Undo Marshal.dump(String). Those of `credentials:edit` are binary: they have no encoding."""
    head = re.match(rb'\x04\x08(I?)"', dumped)
    if head is None:
        return None
    at = head.end()
    size = dumped[at] if at < len(dumped) else 0
    if 1 <= size <= 4:
        length = int.from_bytes(dumped[at + 1 : at + 1 + size], "little")
        at += size
    else:
        length = max(size - 5, 0)
    text, rest = dumped[at + 1 : at + 1 + length], dumped[at + 1 + length :]
    endings = (UTF_8, US_ASCII) if head[1] else (b"",)
    return text if len(text) == length and rest in endings else None


def _dump_length(length: int) -> bytes:
    """Marshal's Integer: 0; 1 to 122 plus 5; else a byte count and the bytes, little-endian."""
    if length == 0:
        return b"\0"
    if length < 123:
        return bytes([length + 5])
    digits = length.to_bytes((length.bit_length() + 7) // 8, "little")
    return bytes([len(digits)]) + digits

"""Section 6: envelopes and what is in them."""

from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from refused import Refused, require
from texts import b64u_decode, integer, read_object, text

OPTIONS, READY, DONE, EVENT = 0x01, 0x02, 0x03, 0x04
OPTIONS_REPLY, READY_REPLY, DONE_REPLY = 0x81, 0x82, 0x83
CANCEL, CANCEL_REPLY = 0x84, 0x86
KINDS = (OPTIONS, READY, DONE, EVENT, OPTIONS_REPLY, READY_REPLY, DONE_REPLY, CANCEL, CANCEL_REPLY)
CODES = "bad_input handler_failed cancelled timeout too_large internal unknown_stream".split()
LEVELS = ("debug", "info", "warn", "error")


def by_client(kind):
    return kind & 0x80 != 0 and kind != CANCEL_REPLY


@dataclass
class Header:
    kind: int
    attempt: int
    number: int
    key: bytes

    def __init__(self, envelope):
        require(len(envelope) >= 60, "short")
        require(envelope[0] == 1, "version")
        self.kind = envelope[1]
        require(self.kind in KINDS, "kind")
        self.attempt = int.from_bytes(envelope[2:4], "big")
        self.number = int.from_bytes(envelope[4:12], "big")
        self.key = envelope[12:44]


@dataclass
class Opened:
    padded_bytes: int
    head_text: bytes
    head: dict
    body: bytes


def open_envelope(key, envelope):
    """Takes an envelope apart with an AEAD key and its base nonce."""
    header = Header(envelope)
    start = 76 if header.kind == OPTIONS else 44
    require(len(envelope) >= start + 16, "short")
    base = int.from_bytes(key[32:], "big")
    nonce = (base ^ header.number).to_bytes(12, "big")
    try:
        plaintext = ChaCha20Poly1305(key[:32]).decrypt(nonce, envelope[start:], envelope[:44])
    except InvalidTag:
        raise Refused("tag") from None
    return read_plaintext(plaintext)


def read_plaintext(plaintext):
    require(len(plaintext) >= 8, "lengths")
    head_end = 8 + int.from_bytes(plaintext[:4], "big")
    body_end = head_end + int.from_bytes(plaintext[4:8], "big")
    require(head_end - 8 <= 16_384, "head" if head_end <= len(plaintext) else "lengths")
    require(body_end <= len(plaintext), "lengths")
    require(not any(plaintext[body_end:]), "padding")
    head_text, body = plaintext[8:head_end], plaintext[head_end:body_end]
    head = read_head(head_text)
    require("content" in head or not body, "content")
    return Opened(len(plaintext), head_text, head, body)


def read_head(data):
    head = read_object(data)
    if "content" in head:
        require(head["content"] in ("json", "bytes", "stream"), "content")
    if "re" in head:
        integer(head["re"], "re")
    if "error" in head:
        error = head["error"]
        require(isinstance(error, dict) and error.get("code") in CODES, "error")
        text(error.get("message"), "error", 0, 8192)
    for member in ("worker", "receipt", "cert"):
        if member in head:
            text(head[member], member)
    for member, length in (("instance", 16), ("close", 32), ("cancel", 32), ("salt", 32)):
        if member in head:
            b64u_decode(head[member], member, length)
    if "event" in head:
        read_event(head["event"])
    return head


def read_event(event):
    require(isinstance(event, dict), "event")
    require(("progress" in event) != ("log" in event), "event")
    text(event.get("message", ""), "event")
    if "progress" in event:
        require(type(event["progress"]) is not bool, "event")
        require(isinstance(event["progress"], (int, float)) and 0 <= event["progress"] <= 1, "event")
    else:
        log = event["log"]
        require(isinstance(log, dict) and log.get("level") in LEVELS, "event")
        text(log.get("line"), "event")


def padded(length):
    """Padmé."""
    length = max(256, length)
    e = length.bit_length() - 1
    s = e.bit_length()
    unit = 1 << (e - s)
    return -(-length // unit) * unit

"""Sections 5 to 7: what a client and a worker take, and when."""

import hpke
import jose
from jose import thumbprint, verify_compact
from message import (
    CANCEL,
    CANCEL_REPLY,
    DONE,
    DONE_REPLY,
    EVENT,
    OPTIONS,
    OPTIONS_REPLY,
    READY,
    READY_REPLY,
    Header,
    open_envelope,
)
from receipt import read_receipt, take_receipt
from refused import Refused, require
from texts import b64u, b64u_decode, integer, is_job_id, is_worker_name, read_object, sha256


def read_proof(jws, job_id, worker, enc, attempt):
    """The thumbprint of who signed the proof of a worker."""
    payload, key = verify_compact("subrosa-worker", jws, 4096)
    claims = read_object(payload)
    require(is_job_id(claims.get("job")) and claims["job"] == job_id, "job")
    require(is_worker_name(claims.get("worker")) and claims["worker"] == worker, "worker")
    require(b64u_decode(claims.get("enc"), "enc", 32) == sha256(enc), "enc")
    require(integer(claims.get("attempt"), "attempt") == attempt, "attempt")
    return thumbprint(key)


def prove(job, secret, trust, envelope, least):
    """An `options` of at least this attempt, by a worker that is trusted: what it leads to."""
    header, members = Header(envelope), job.members
    require(header.kind == OPTIONS, "kind")
    require(header.number == 0, "number")
    require(least <= header.attempt <= members["max_attempts"], "attempt")
    enc = envelope[44:76]
    require(len(envelope) >= 92, "short")
    require(enc == header.key, "enc")
    require("psk_id" not in members, "psk")
    exporter = hpke.Exporter(secret, enc, enc, job.client_key, job.info)
    opened = open_envelope(exporter.options_key(), envelope)
    require("worker" in opened.head, "proof")
    require("instance" in opened.head, "instance")
    require("event" not in opened.head, "event")
    try:
        worker = read_proof(opened.head["worker"], job.id, members["worker"], enc, header.attempt)
    except Refused:
        raise Refused("proof") from None
    # The client's clock shows the time at which it made the job.
    cert, now_ms = opened.head.get("cert"), members["created_ms"]
    require(trust.vouched(worker, members["worker"], cert, now_ms), "trust", "untrusted")
    return header, exporter, opened, worker


class Client:
    """A client that waits for messages of one job."""

    def __init__(self, job, secret, nonces, trust, signers):
        self.job, self.secret, self.trust = job, secret, trust
        self.signers = sorted(signers)
        self.nonces = iter(nonces)
        self.highest = 0
        self.state = "launched"

    def sent(self, envelope):
        """A reply of this client's own."""
        header = Header(envelope)
        require((header.attempt, header.key) == (self.highest, self.nonce), "past")
        opened = open_envelope(self.to_worker, envelope)
        head = opened.head
        if header.kind == CANCEL:
            require(self.state not in ("launched", "over", "cancelling"), "past")
            self.state, self.cancel = "cancelling", header.number
            return
        self.said[header.kind] = opened.body
        expected = {"owes options": OPTIONS_REPLY, "owes payload": READY_REPLY, "owes status": DONE_REPLY}
        require(expected.get(self.state) == header.kind and head.get("re") == self.latest[0], "past")
        after = {OPTIONS_REPLY: "ready", READY_REPLY: "done", DONE_REPLY: "over"}
        self.state = "over" if "error" in head else after[header.kind]

    def receive(self, envelope):
        header = Header(envelope)
        if header.kind == CANCEL_REPLY:
            return self.receive_cancelled(header, envelope)
        require(header.kind in (OPTIONS, READY, DONE, EVENT), "kind" if self.state == "launched" else "session")
        require(self.state != "cancelling", "state")
        if self.state != "launched" and envelope == self.latest[1]:
            raise Refused("number", "repeat")
        if header.kind == OPTIONS:
            return self.receive_options(header, envelope)
        require(self.state not in ("launched", "over"), "state")
        require((header.attempt, header.key) == (self.highest, self.enc), "session")
        waits_for = {"ready": (READY, DONE), "done": (DONE,)}.get(self.state, ())
        require(header.kind == EVENT or header.kind in waits_for, "state")
        require(header.number > self.numbers.get(header.kind, -1), "number")
        opened = open_envelope(self.to_client, envelope)
        require(("event" in opened.head) == (header.kind == EVENT), "event")
        if header.kind == DONE and self.state == "ready":
            require("error" in opened.head, "state")
        if header.kind == DONE and "error" not in opened.head:
            self.check_receipt(header, opened)
        self.numbers[header.kind] = header.number
        if header.kind != EVENT:
            self.latest = (header.number, envelope)
            self.state = "owes payload" if header.kind == READY else "owes status"
        return opened

    def receive_cancelled(self, header, envelope):
        require(self.state == "cancelling", "state")
        require((header.attempt, header.key) == (self.highest, self.enc), "session")
        opened = open_envelope(self.to_client, envelope)
        require(opened.head.get("re") == self.cancel, "re")
        self.state = "over"
        return opened

    def check_receipt(self, header, opened):
        members = self.job.members
        known = {
            "job": self.job.id,
            "worker": members["worker"],
            "attempt": header.attempt,
            "signers": self.signers,
            "options": self.said[OPTIONS_REPLY],
            "payload": self.said[READY_REPLY],
            "result": opened.body,
        }
        if "client" in members:
            known["client"] = members["client"]
        try:
            take_receipt(opened.head, self.worker, known)
        except Refused as refusal:
            raise Refused(refusal.fault, "bad_input") from None

    def receive_options(self, header, envelope):
        header, exporter, opened, worker = prove(self.job, self.secret, self.trust, envelope, self.highest + 1)
        self.highest, self.enc, self.nonce = header.attempt, header.key, next(self.nonces)
        self.to_client = exporter.to_client_key(self.nonce)
        self.to_worker = exporter.to_worker_key(self.nonce)
        self.worker, self.said = worker, {}
        self.numbers, self.latest, self.state = {}, (0, envelope), "owes options"
        return opened


class Worker:
    """A worker that serves one attempt at one job."""

    def __init__(self, job, secret, attempt, seed, instance):
        self.job, self.attempt, self.enc = job, attempt, hpke.public(secret)
        self.identity, self.instance = thumbprint(jose.public(seed)), instance
        self.exporter = hpke.Exporter(secret, job.client_key, self.enc, job.client_key, job.info)
        self.nonce = None
        self.numbers = {}
        self.over, self.cancel = False, None

    def sent(self, envelope):
        """A message of this worker's own."""
        header = Header(envelope)
        require((header.attempt, header.key) == (self.attempt, self.enc), "past")
        if header.kind == OPTIONS:
            require(envelope[44:76] == self.enc, "past")
            self.sealed = open_envelope(self.exporter.options_key(), envelope)
            head, worker = self.sealed.head, self.job.members["worker"]
            signer = read_proof(head["worker"], self.job.id, worker, self.enc, self.attempt)
            require((signer, head["instance"]) == (self.identity, self.instance), "past")
        else:
            self.sealed = open_envelope(self.exporter.to_client_key(self.nonce), envelope)
            if header.kind == DONE and "error" not in self.sealed.head:
                require(read_receipt(self.sealed.head["receipt"])[1] == self.identity, "past")
        if header.kind == CANCEL_REPLY:
            require(self.sealed.head.get("re") == Header(self.cancel).number, "past")
        elif header.kind != EVENT:
            self.step, self.waits_for = header.number, header.kind | 0x80

    def receive(self, envelope):
        header = Header(envelope)
        if header.kind == CANCEL:
            return self.receive_cancel(header, envelope)
        require(header.kind == self.waits_for, "state")
        require(header.attempt == self.attempt, "session")
        require(self.nonce is None or header.key == self.nonce, "session")
        require(header.number > self.numbers.get(header.kind, -1), "number")
        opened = open_envelope(self.exporter.to_worker_key(header.key), envelope)
        require(opened.head.get("re") == self.step, "re")
        failed = "error" in self.sealed.head or "error" in opened.head
        if header.kind == DONE_REPLY and not failed:
            token = b64u_decode(opened.head.get("close"), "close", 32)
            require(sha256(sha256(token)) == b64u_decode(self.job.members["close"], "close"), "close")
        if header.kind == READY_REPLY and "input" in self.job.members and not failed:
            self.check_input(opened)
        self.nonce = header.key
        self.numbers[header.kind] = header.number
        self.waits_for = None
        self.over = header.kind == DONE_REPLY or failed
        return opened

    def receive_cancel(self, header, envelope):
        if envelope == self.cancel:
            raise Refused("number", "repeat")
        require(not self.over, "state")
        require(header.attempt == self.attempt, "session")
        require(self.nonce is None or header.key == self.nonce, "session")
        opened = open_envelope(self.exporter.to_worker_key(header.key), envelope)
        require("cancel" in opened.head, "cancel")
        token = b64u_decode(opened.head["cancel"], "cancel", 32)
        require(sha256(token) == b64u_decode(self.job.members["cancel"], "cancel"), "cancel")
        self.nonce, self.over, self.cancel, self.waits_for = header.key, True, envelope, None
        return opened

    def check_input(self, opened):
        salt = opened.head.get("salt")
        require(salt is not None, "input", "bad_input")
        bound = b64u(sha256(b64u_decode(salt, "salt") + sha256(opened.body)))
        require(bound == self.job.members["input"], "input", "bad_input")

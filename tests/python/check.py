"""Checks the test vectors with a second, small implementation of the protocol.

    python check.py FOLDER

It is written from docs/protocol.md alone. Prints a line for each file that it disagrees with, then how many it
has checked, and fails if there was any.
"""

import re
import sys
import traceback
from pathlib import Path

import hpke
import message
from jose import Trust
from job import Job, read_launch
from receipt import fits, read_receipt
from record import follows, read_record
from refused import Refused, require
from session import Client, Worker, read_proof
from stored import read_stored
from texts import b64u_decode, read_object


class Disagreement(Exception):
    pass


class Case(dict):
    """The members of a file; remembers which were looked at."""

    def __init__(self, members):
        super().__init__(members)
        self.seen = {"kind", "about", "because", "verdict", "fault"}

    def __getitem__(self, name):
        self.seen.add(name)
        return super().__getitem__(name)

    def get(self, name, default=None):
        return self[name] if name in self else default

    def bytes(self, name):
        return bytes.fromhex(self[name])

    def text(self, name):
        """A text, which may be given in parts, as bytes; or the bytes themselves, as hexadecimal."""
        if name not in self:
            return self.bytes(f"{name}_hex")
        parts = self[name] if isinstance(self[name], list) else [self[name]]
        texts = [part if isinstance(part, str) else part["repeat"] * part["times"] for part in parts]
        return "".join(texts).encode()

    def same(self, name, value):
        if self[name] != value:
            raise Disagreement(f"`{name}` is {value!r} here")

    def same_if_there(self, name, value):
        if name in self or value is not None:
            self.same(name, value)


def check_job(case):
    job = Job(case.text("job"), case.get("namespace", "subrosa"))
    if "subject" in case:
        worker, name = case["subject"].split(".")[3:]
        if worker != job.members["worker"]:
            raise Refused("worker", "wrong_subject")
        if name != job.id:
            raise Refused("id", "wrong_subject")
    if case["verdict"] == "ok":
        case.same("id", job.id)


def check_launch(case):
    job, signers = read_launch(case.text("request"), case["worker"], case["now_ms"])
    case.same("id", job.id)
    case.same("signers", signers)
    case.same_if_there("client", job.members.get("client"))


def check_session(case):
    job = Job(case.text("job"))
    psk = case.bytes("psk") if "psk" in case else b""
    psk_id = case.get("psk_id", "")
    client_key = job.client_key
    if "client_key" in case:
        case.same("client_key", client_key.hex())
    both = []
    if "worker_secret" in case:
        secret = case.bytes("worker_secret")
        enc = hpke.public(secret)
        case.same_if_there("enc", enc.hex() if "enc" in case else None)
        both.append(hpke.Exporter(secret, client_key, enc, client_key, job.info, psk, psk_id.encode()))
    if "client_secret" in case:
        secret, enc = case.bytes("client_secret"), case.bytes("enc")
        if hpke.public(secret) != client_key:
            raise Disagreement("`client_key` is not that of `client_secret`")
        both.append(hpke.Exporter(secret, enc, enc, client_key, job.info, psk, psk_id.encode()))
    if psk and job.members.get("psk_id") != psk_id:
        raise Disagreement("the job names another psk")
    nonce = case.bytes("nonce")
    case.same("info", job.info.hex())
    for exporter in both:
        case.same("shared_secret", exporter.shared_secret.hex())
        case.same("exporter_secret", exporter.secret.hex())
        case.same("options_key", exporter.options_key().hex())
        case.same("to_client_key", exporter.to_client_key(nonce).hex())
        case.same("to_worker_key", exporter.to_worker_key(nonce).hex())


def check_message(case):
    job = Job(case.text("job"))
    past, envelope = [bytes.fromhex(old) for old in case["past"]], case.bytes("envelope")
    if case["receiver"] == "client":
        nonces = [bytes.fromhex(nonce) for nonce in case["nonces"]]
        signers, trust = case.get("signers", []), Trust(case.text("trust"))
        receiver = Client(job, case.bytes("client_secret"), nonces, trust, signers)
    elif case["receiver"] == "worker":
        secret, seed = case.bytes("worker_secret"), case.bytes("worker_seed")
        receiver = Worker(job, secret, case["attempt"], seed, case["instance"])
    else:
        raise Disagreement("there is no such receiver")
    try:
        for old in past:
            own = message.by_client(old[1]) == (case["receiver"] == "client")
            (receiver.sent if own else receiver.receive)(old)
    except Refused as refusal:
        raise Disagreement(f"`past` is refused: {refusal.fault}") from None
    for forged in case.get("dropped", []):
        try:
            receiver.receive(bytes.fromhex(forged))
        except Refused as refusal:
            if refusal.verdict in (None, "untrusted"):
                continue
        raise Disagreement("one of `dropped` is not")
    opened = receiver.receive(envelope)
    case.same("padded_bytes", opened.padded_bytes)
    case.same("head", opened.head_text.decode())
    if "body" in case:
        case.same("body", opened.body.decode())
    else:
        case.same("body_hex", opened.body.hex())


def check_stored(case):
    job, trust = Job(case.text("job")), Trust(case.text("trust"))
    sent = [case.get(name, "").encode() for name in ("options", "payload")]
    secret, signers = case.bytes("client_secret"), case.get("signers", [])
    opening, done = case.bytes("opening"), case.bytes("done")
    opened, worker = read_stored(job, secret, trust, signers, case["attempt"], sent, opening, done)
    error = opened.head.get("error")
    if error:
        case.same("error_code", error["code"])
        case.same("error_message", error["message"])
    else:
        case.same("result", opened.body.decode())
        case.same("worker", worker)


def check_proof(case):
    enc = case.bytes("enc")
    signer = read_proof(case["proof"], case["job_id"], case["worker"], enc, case["attempt"])
    case.same("signer", signer)


def check_receipt(case):
    trust = Trust(case.text("trust"))
    salt = b64u_decode(case["salt"], "salt", 32)
    receipt, signer = read_receipt(case["receipt"])
    require(trust.worker(signer, receipt["worker"]), "trust")
    if "result" in case:
        fits(receipt, "result_hash", salt, case.text("result"))
    if "options" in case:
        fits(receipt, "input_hash", salt, case.text("options"), case.text("payload"))
    case.same("signer", signer)
    case.same("job_id", receipt["job"])
    for member in ("worker", "attempt", "started_ms", "finished_ms", "signers"):
        case.same(member, receipt[member])
    case.same_if_there("client", receipt.get("client"))


def check_record(case):
    trust = Trust(case.text("trust"))
    record, signer = read_record(case["record"], case["job_id"], case["worker"], trust)
    if "before" in case:
        follows(record, case.text("before"))
    case.same("signer", signer)
    for member in ("event", "at_ms", "attempt"):
        case.same(member, record[member])


def check_trust(case):
    trust, key = Trust(case.text("set")), case["key"]
    good_for = [f"worker {name}" for name in ("echo", "prove") if trust.worker(key, name)]
    good_for += ["launcher"] if trust.launcher(key) else []
    good_for += [f"authority {name}" for name in ("echo", "prove") if trust.authority(key, name)]
    case.same("good_for", good_for)


def check_cert(case):
    lines = case.get("revoked", "").splitlines()
    revoked = [line for line in lines if line and not line.startswith("#")]
    trust = Trust(case.text("trust"), revoked, case.get("image"))
    authority = trust.certified(case["key"], case["worker"], case["cert"], case["now_ms"])
    case.same("authority", authority)


def check_padding(case):
    case.same("lengths", [[length, message.padded(length)] for length, _ in case["lengths"]])


def check_inbox(case):
    def answered(subject):
        inbox = re.fullmatch(r"_INBOX(_[^.]*)?(\.[^.]+)+", subject)
        plain = re.fullmatch(r"[!-~]{1,255}", subject) and not re.search("[*>]", subject)
        return bool(inbox and plain)

    everything = case["answered"] + case["not_answered"]
    case.same("answered", [subject for subject in everything if answered(subject)])
    case.same("not_answered", [subject for subject in everything if not answered(subject)])


CHECKS = {name[6:]: check for name, check in globals().items() if name.startswith("check_")}


def verdict_of(case):
    """What this implementation says: the verdict, and the rule that is broken first."""
    refused = {
        "job": "bad_request",
        "launch": "bad_request",
        "session": "no_session",
        "message": "drop",
        "stored": "drop",
        "proof": "refused",
        "receipt": "refused",
        "record": "refused",
        "trust": "refused",
        "cert": "refused",
    }
    kind = case["kind"]
    try:
        CHECKS[kind](case)
    except Refused as refusal:
        return refusal.verdict or refused[kind], refusal.fault
    return "ok", None


def check(path):
    case = Case(read_object(path.read_bytes()))
    if case["kind"] != path.parent.name:
        raise Disagreement(f"a `{case['kind']}` in the folder {path.parent.name}")
    verdict, fault = verdict_of(case)
    if verdict != case["verdict"]:
        raise Disagreement(f"the verdict is {verdict} ({fault}) here")
    if fault != case.get("fault"):
        raise Disagreement(f"the fault is {fault} here")
    if "about" not in case and "because" not in case:
        raise Disagreement("nothing says what it is about")
    if verdict == "ok" and set(case) - case.seen:
        raise Disagreement(f"unknown members: {set(case) - case.seen}")


def main(folder):
    paths = sorted(Path(folder).glob("*/*.json"))
    disagreements = 0
    for path in paths:
        try:
            check(path)
        except Exception as reason:
            disagreements += 1
            what = reason if isinstance(reason, Disagreement) else traceback.format_exc(limit=-1)
            print(f"{path.relative_to(folder)}: {what}")
    print(f"{len(paths)} files checked, {disagreements} disagreements")
    return 1 if disagreements or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

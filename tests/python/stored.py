"""Section 7: what a client that has come back believes of what a worker has stored."""

from message import DONE, Header, open_envelope
from receipt import take_receipt
from refused import Refused, require
from session import prove


def read_stored(job, secret, trust, signers, attempt, sent, opening, done):
    """What is in `done`, and the worker's thumbprint."""
    require(len(opening) >= 32, "short")
    nonce, options = opening[:32], opening[32:]
    header, exporter, _, worker = prove(job, secret, trust, options, attempt)
    require(len(done) >= 60, "short")
    found = Header(done)
    require(found.kind == DONE, "kind")
    require((found.attempt, found.key) == (header.attempt, header.key), "session")
    opened = open_envelope(exporter.to_client_key(nonce), done)
    require("event" not in opened.head, "event")
    if "error" in opened.head:
        return opened, worker
    members = job.members
    known = {
        "job": job.id,
        "worker": members["worker"],
        "attempt": header.attempt,
        "signers": sorted(signers),
        "options": sent[0],
        "payload": sent[1],
        "result": opened.body,
    }
    if "client" in members:
        known["client"] = members["client"]
    try:
        take_receipt(opened.head, worker, known)
    except Refused as refusal:
        raise Refused(refusal.fault, "unproven") from None
    return opened, worker

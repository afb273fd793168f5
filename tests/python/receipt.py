"""Section 6: receipts."""

from jose import thumbprint, verify_compact
from refused import Refused, require
from texts import b64u_decode, integer, is_job_id, is_worker_name, read_object, sha256


def read_receipt(jws):
    """A receipt whose signature holds, and its signer."""
    payload, key = verify_compact("subrosa-receipt", jws, 8192)
    receipt = read_object(payload)
    require(is_job_id(receipt.get("job")), "job")
    require(is_worker_name(receipt.get("worker")), "worker")
    integer(receipt.get("attempt"), "attempt", 1, 10)
    for time in ("started_ms", "finished_ms"):
        integer(receipt.get(time), time)
    for hashed in ("input_hash", "result_hash"):
        b64u_decode(receipt.get(hashed), hashed, 32)
    if "client" in receipt:
        b64u_decode(receipt["client"], "client", 32)
    signers = receipt.get("signers")
    require(isinstance(signers, list) and len(signers) <= 16, "signers")
    for signer in signers:
        b64u_decode(signer, "signers", 32)
    require(signers == sorted(set(signers)), "signers")
    require("client" not in receipt or receipt["client"] in signers, "client")
    return receipt, thumbprint(key)


def fits(receipt, member, salt, *data):
    """Whether a hash is that of the salt and of the data's hashes."""
    hashed = sha256(salt + b"".join(sha256(part) for part in data))
    require(b64u_decode(receipt[member], member) == hashed, member)


def take_receipt(head, worker, known):
    """The receipt in the head of a `done`: by this worker, over all that is known."""
    require("receipt" in head, "receipt")
    require("salt" in head, "salt")
    try:
        receipt, signer = read_receipt(head["receipt"])
    except Refused:
        raise Refused("receipt_jws") from None
    require(signer == worker, "signer")
    for member in ("job", "worker", "attempt", "client", "signers"):
        require(receipt.get(member) == known.get(member), member)
    salt = b64u_decode(head["salt"], "salt")
    fits(receipt, "input_hash", salt, known["options"], known["payload"])
    fits(receipt, "result_hash", salt, known["result"])

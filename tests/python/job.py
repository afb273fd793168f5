"""Section 4: jobs and launch requests."""

import re

from jose import thumbprint, verify
from refused import Refused, require
from texts import b64u_decode, integer, is_worker_name, read_object, sha256, text

MEMBERS = (
    "v worker client label suite client_key psk_id reply created_ms expires_ms timeout_ms max_attempts"
    " cancel close input crit"
).split()
DAY_MS = 24 * 60 * 60 * 1000
CLOCK_MS = 120_000


class Job:
    def __init__(self, data, namespace="subrosa"):
        job = read_object(data)
        self.data, self.id, self.members = data, sha256(data).hex(), job
        if integer(job.get("v"), "v") != 1:
            raise Refused("v", "unsupported")
        require("suite" not in job or isinstance(job["suite"], str), "suite")
        crit = job.get("crit", [])
        require(isinstance(crit, list) and all(isinstance(name, str) for name in crit), "crit")
        if "suite" in job and job["suite"] != "x25519":
            raise Refused("suite", "unsupported")
        if any(name not in MEMBERS for name in crit):
            raise Refused("crit", "unsupported")

        require("suite" in job, "suite")
        require(is_worker_name(job.get("worker")), "worker")
        for hashed in ("client", "input"):
            if hashed in job:
                b64u_decode(job[hashed], hashed, 32)
        for hashed in ("client_key", "cancel", "close"):
            b64u_decode(job.get(hashed), hashed, 32)
        if "label" in job:
            text(job["label"], "label", 0, 1024)
        if "psk_id" in job:
            text(job["psk_id"], "psk_id", 1, 256)
        prefix = re.escape(f"{namespace}.v1.client.")
        reply = text(job.get("reply"), "reply")
        require(re.fullmatch(prefix + "[A-Za-z0-9]{16,64}", reply), "reply")
        created_ms = integer(job.get("created_ms"), "created_ms")
        integer(job.get("expires_ms"), "expires_ms", created_ms, created_ms + DAY_MS)
        integer(job.get("timeout_ms"), "timeout_ms", 1, DAY_MS)
        integer(job.get("max_attempts"), "max_attempts", 1, 10)

    @property
    def client_key(self):
        return b64u_decode(self.members["client_key"], "client_key", 32)

    @property
    def info(self):
        return b"subrosa/1" + bytes.fromhex(self.id)


def read_launch(data, worker, now_ms):
    """The job of a launch request, and its signers."""
    require(len(data) <= 65_536, "size", "too_large")
    request = read_object(data)
    payload, signatures = request.get("payload"), request.get("signatures")
    require(isinstance(signatures, list) and len(signatures) <= 16, "signatures")
    for signature in signatures:
        require(isinstance(signature, dict), "signatures")
        require(set(signature) == {"protected", "signature"}, "signatures")
        require(all(isinstance(value, str) for value in signature.values()), "signatures")
    job = Job(b64u_decode(payload, "payload"))
    require(job.members["worker"] == worker, "worker")
    require(job.members["created_ms"] <= now_ms + CLOCK_MS, "created_ms")
    require(now_ms <= job.members["expires_ms"] + CLOCK_MS, "expires_ms", "expired")
    signers = set()
    for signature in signatures:
        try:
            key = verify("subrosa-job", signature["protected"], payload, signature["signature"])
        except Refused as refusal:
            raise Refused(refusal.fault, "bad_signature") from None
        signers.add(thumbprint(key))
    owner = job.members.get("client")
    require(owner is None or owner in signers, "client", "unauthorized")
    return job, sorted(signers)

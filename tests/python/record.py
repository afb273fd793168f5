"""Section 8: records."""

from jose import thumbprint, verify_compact
from refused import require
from texts import b64u_decode, integer, is_job_id, read_object, sha256, text

ENDINGS = ("closed", "failed", "cancelled", "expired")
ATTEMPTS = {"queued": (0, 0), "taken": (1, 10), "running": (1, 10), "finished": (1, 10)}
NEEDED = {"queued": ["request"], "taken": ["instance"], "running": ["instance"], "closed": ["close"]}
TIMES = ("taken_ms", "options_ms", "payload_ms", "done_ms", "closed_ms")


def read_record(data, job_id, worker, trust):
    """A record that verifies, and its signer."""
    payload, key = verify_compact("subrosa-record", data, 163_840)
    signer, record = thumbprint(key), read_object(payload)
    require(is_job_id(record.get("job")), "job")
    event = record.get("event")
    require(isinstance(event, str) and (event in ATTEMPTS or event in ENDINGS), "event")
    integer(record.get("at_ms"), "at_ms")
    integer(record.get("attempt"), "attempt", *ATTEMPTS.get(event, (0, 10)))
    require("prev" in record, "prev")
    if record["prev"] is not None:
        b64u_decode(record["prev"], "prev", 32)
    read_details(record, event)
    require(record["job"] == job_id, "job")
    by_launcher, by_worker = trust.launcher(signer), trust.vouched(signer, worker, record.get("cert"), record["at_ms"])
    if event == "queued":
        require(by_launcher, "signer")
    elif event in ENDINGS:
        require(by_launcher or by_worker, "signer")
    else:
        require(by_worker, "signer")
    return record, signer


def read_details(record, event):
    """The members of the events: each has its type wherever it stands, and its event asks for more."""
    for member, length in (("instance", 16), ("close", 32), ("cancel", 32)):
        if member in record:
            b64u_decode(record[member], member, length)
    for member in ("request", "code", "reason", "cert"):
        if member in record:
            text(record[member], member)
    times = record.get("times", {})
    require(isinstance(times, dict), "times")
    for time in TIMES:
        if time in times:
            integer(times[time], "times")
    for member in NEEDED.get(event, []):
        require(member in record, member)
    if event == "queued":
        require(len(b64u_decode(record["request"], "request")) <= 65_536, "request")
    if event in ("failed", "cancelled", "expired"):
        text(record.get("code"), "code", 1, 64)
        text(record.get("reason", ""), "reason", 0, 1024)


def follows(record, before):
    """Whether `prev` is the hash of the message before."""
    require(record["prev"] is not None, "prev")
    require(b64u_decode(record["prev"], "prev", 32) == sha256(before), "prev")

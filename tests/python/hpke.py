"""Section 5: HPKE (RFC 9180), export only, and the keys of a session."""

import hashlib
import hmac

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from refused import Refused

KEM = b"KEM" + bytes.fromhex("0020")
SUITE = b"HPKE" + bytes.fromhex("002000010003")


def _hmac(key, data):
    return hmac.digest(key, data, hashlib.sha256)


def _extract(suite, salt, label, ikm):
    return _hmac(salt, b"HPKE-v1" + suite + label + ikm)


def _expand(suite, prk, label, info, length):
    info = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    okm, block = b"", b""
    for number in range(1, length // 32 + 2):
        block = _hmac(prk, block + info + bytes([number]))
        okm += block
    return okm[:length]


def public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


class Exporter:
    """What both ends have in common. `secret` is this end's own, `peer` the other's public key."""

    def __init__(self, secret, peer, enc, client_key, info, psk=b"", psk_id=b""):
        try:
            private = X25519PrivateKey.from_private_bytes(secret)
            dh = private.exchange(X25519PublicKey.from_public_bytes(peer))
        except ValueError:
            raise Refused("zero") from None
        eae_prk = _extract(KEM, b"", b"eae_prk", dh)
        self.shared_secret = _expand(KEM, eae_prk, b"shared_secret", enc + client_key, 32)
        mode = bytes([1 if psk else 0])
        context = mode + _extract(SUITE, b"", b"psk_id_hash", psk_id) + _extract(SUITE, b"", b"info_hash", info)
        secret = _extract(SUITE, self.shared_secret, b"secret", psk)
        self.secret = _expand(SUITE, secret, b"exp", context, 32)

    def export(self, context):
        return _expand(SUITE, self.secret, b"sec", context, 44)

    def options_key(self):
        return self.export(b"subrosa/1 options")

    def to_client_key(self, nonce):
        return self.export(b"subrosa/1 worker to client" + nonce)

    def to_worker_key(self, nonce):
        return self.export(b"subrosa/1 client to worker" + nonce)

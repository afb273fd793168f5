"""Section 3: keys, signatures and trust."""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from refused import Refused, require
from texts import b64u, b64u_decode, is_worker_name, read_object, sha256

PRIVATE = ["d", "k", "p", "q", "dp", "dq", "qi", "oth"]
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493


def _decompress(data):
    """The point of a canonical encoding (RFC 8032, section 5.1.3), or None."""
    sign, y = data[31] >> 7, int.from_bytes(data, "little") & (2**255 - 1)
    if y >= P:
        return None
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if x * x % P != square:
        x = x * pow(2, (P - 1) // 4, P) % P
    if x * x % P != square or (x == 0 and sign == 1):
        return None
    return (x if x & 1 == sign else P - x, y)


def _add(a, b):
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2 % P
    x3 = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P)
    y3 = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P)
    return (x3 % P, y3 % P)


def _is_strong(data):
    """A canonical point that is not of small order: 8 times it is not the neutral element."""
    point = _decompress(data)
    if point is None:
        return False
    for _ in range(3):
        point = _add(point, point)
    return point != (0, 1)


def public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def thumbprint(x):
    return b64u(sha256(b'{"crv":"Ed25519","kty":"OKP","x":"' + b64u(x).encode() + b'"}'))


def read_key(jwk, exact):
    """The 32 bytes of a public key; with `exact`, no other member may be there."""
    require(isinstance(jwk, dict), "jwk")
    require(not any(member in jwk for member in PRIVATE), "private")
    require((jwk.get("kty"), jwk.get("crv")) == ("OKP", "Ed25519"), "jwk")
    x = b64u_decode(jwk.get("x"), "x", 32)
    require(_is_strong(x), "key")
    require(not exact or set(jwk) == {"crv", "kty", "x"}, "jwk")
    return x


def verify(typ, protected, payload, signature):
    """One signature over texts that are base64url still; gives the signer's public key."""
    header = b64u_decode(protected, "header")
    require(len(header) <= 2048, "size")
    try:
        header = read_object(header)
    except Refused as refusal:
        raise Refused("header" if refusal.fault == "object" else "json") from None
    require(set(header) == {"alg", "typ", "jwk"}, "header")
    require(header["typ"] == typ, "typ")
    key = read_key(header["jwk"], exact=True)
    require(header["alg"] in ("EdDSA", "Ed25519"), "alg")
    signature = b64u_decode(signature, "signature", 64)
    require(int.from_bytes(signature[32:], "little") < ORDER, "signature")
    require(_is_strong(signature[:32]), "signature")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, f"{protected}.{payload}".encode())
    except InvalidSignature:
        raise Refused("signature") from None
    return key


def verify_compact(typ, jws, max_bytes):
    """The payload of a compact JWS, and the signer's public key."""
    require(len(jws.encode()) <= max_bytes, "size")
    parts = jws.split(".")
    require(len(parts) == 3, "compact")
    key = verify(typ, *parts)
    return b64u_decode(parts[1], "payload"), key


class Trust:
    """A trust file."""

    def __init__(self, data):
        require(len(data) <= 2**20, "size")
        keys = read_object(data).get("keys")
        require(isinstance(keys, list), "keys")
        self.grants = []
        for jwk in keys:
            key = read_key(jwk, exact=False)
            role = jwk.get("role", "worker")
            require("role" not in jwk or role in ("worker", "launcher", "authority"), "role")
            workers = None
            if "workers" in jwk:
                workers = jwk["workers"]
                require(role != "launcher", "workers")
                require(isinstance(workers, list) and workers, "workers")
                require(all(is_worker_name(name) for name in workers), "workers")
            self.grants.append((thumbprint(key), role, workers))

    def worker(self, key, name):
        return any(
            grant[:2] == (key, "worker") and (grant[2] is None or name in grant[2]) for grant in self.grants
        )

    def launcher(self, key):
        return any(grant[:2] == (key, "launcher") for grant in self.grants)

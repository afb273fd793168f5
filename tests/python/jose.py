"""Section 3: keys, signatures, certificates and trust."""

import re

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from refused import Refused, require
from texts import b64u, b64u_decode, integer, is_worker_name, read_object, sha256, text

PRIVATE = ["d", "k", "p", "q", "dp", "dq", "qi", "oth"]
P = 2**255 - 19
D = -121665 * pow(121666, -1, P) % P
ORDER = 2**252 + 27742317777372353535851937790883648493
CLOCK_MS = 120_000


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


# A public key is its bytes: the 32 of an Ed25519 key, or the 64 of both coordinates on secp256k1.


def thumbprint(key):
    if len(key) == 32:
        jwk = f'{{"crv":"Ed25519","kty":"OKP","x":"{b64u(key)}"}}'
    else:
        jwk = f'{{"crv":"secp256k1","kty":"EC","x":"{b64u(key[:32])}","y":"{b64u(key[32:])}"}}'
    return b64u(sha256(jwk.encode()))


def read_key(jwk, exact):
    """The bytes of a public key; with `exact`, no other member may be there."""
    require(isinstance(jwk, dict), "jwk")
    require(not any(member in jwk for member in PRIVATE), "private")
    kind = (jwk.get("kty"), jwk.get("crv"))
    require(kind in (("OKP", "Ed25519"), ("EC", "secp256k1")), "jwk")
    coordinates = ("x",) if kind[0] == "OKP" else ("x", "y")
    key = b"".join(b64u_decode(jwk.get(member), member, 32) for member in coordinates)
    require(_is_strong(key) if len(key) == 32 else _on_secp256k1(key) is not None, "key")
    require(not exact or set(jwk) == {"crv", "kty", *coordinates}, "jwk")
    return key


def _on_secp256k1(key):
    """The public key at these coordinates, or None if no point is there."""
    x, y = (int.from_bytes(half, "big") for half in (key[:32], key[32:]))
    try:
        return ec.EllipticCurvePublicNumbers(x, y, ec.SECP256K1()).public_key()
    except ValueError:
        return None


def _verify_ed25519(key, signature, message):
    require(int.from_bytes(signature[32:], "little") < ORDER, "signature")
    require(_is_strong(signature[:32]), "signature")
    Ed25519PublicKey.from_public_bytes(key).verify(signature, message)


def _verify_es256k(key, signature, message):
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    _on_secp256k1(key).verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


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
    algorithms, check = (
        (("EdDSA", "Ed25519"), _verify_ed25519) if len(key) == 32 else (("ES256K",), _verify_es256k)
    )
    require(header["alg"] in algorithms, "alg")
    signature = b64u_decode(signature, "signature", 64)
    try:
        check(key, signature, f"{protected}.{payload}".encode())
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


def read_cert(jwt):
    """The claims of a certificate whose signature holds: name, key, first and last second, image; and its signer."""
    payload, signer = verify_compact("subrosa-cert+jwt", jwt, 4096)
    claims = read_object(payload)
    require(is_worker_name(claims.get("sub")), "sub")
    confirmation = claims.get("cnf")
    require(isinstance(confirmation, dict) and "jwk" in confirmation, "cnf")
    key = read_key(confirmation["jwk"], exact=False)
    issued, expires = (integer(claims.get(member), member) for member in ("iat", "exp"))
    require(expires > issued, "exp")
    if "image" in claims:
        text(claims["image"], "image")
        require(re.fullmatch("sha256:[0-9a-f]{64}", claims["image"]), "image")
    require(key != signer, "self")
    return claims["sub"], thumbprint(key), issued, expires, claims.get("image"), thumbprint(signer)


class Trust:
    """A trust file, the thumbprints of revoked keys, and the image that workers have to be certified for."""

    def __init__(self, data, revoked=(), image=None):
        self.revoked, self.image = set(revoked), image
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

    def in_role(self, key, role, name):
        return key not in self.revoked and any(
            grant[:2] == (key, role) and (grant[2] is None or name in grant[2]) for grant in self.grants
        )

    def worker(self, key, name):
        return self.in_role(key, "worker", name)

    def authority(self, key, name):
        return self.in_role(key, "authority", name)

    def launcher(self, key):
        return self.in_role(key, "launcher", None)

    def certified(self, key, name, cert, at_ms):
        """The authority by whose word this key may serve this name."""
        worker, certified, issued, expires, image, authority = read_cert(cert)
        require(issued * 1000 <= at_ms + CLOCK_MS, "iat")
        require(at_ms < expires * 1000 + CLOCK_MS, "exp")
        require(certified == key, "key")
        require(worker == name, "worker")
        require(self.image in (None, image), "image")
        require(not {key, authority} & self.revoked, "revoked")
        require(self.authority(authority, name), "authority")
        return authority

    def vouched(self, key, name, cert, at_ms):
        """Whether this key may serve this name: it is pinned, or the certificate says so."""
        if self.image is None and self.worker(key, name):
            return True
        try:
            return cert is not None and self.certified(key, name, cert, at_ms) is not None
        except Refused:
            return False

"""Keys, signatures and certificates by jwcrypto, which knows nothing of this protocol.

Reads a JSON array of orders from standard input, and writes the array of the answers: null for what jwcrypto
refuses.
"""

import json
import sys

from jwcrypto import jwk, jws, jwt
from jwcrypto.common import JWException, base64url_decode, base64url_encode

KINDS = {"ed25519": {"kty": "OKP", "crv": "Ed25519"}, "secp256k1": {"kty": "EC", "crv": "secp256k1"}}
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def describe(key):
    private = key.export_private() if key.has_private else None
    return {"private": private, "public": key.export_public(), "thumbprint": key.thumbprint()}


def generate(kind):
    return describe(jwk.JWK.generate(**KINDS[kind]))


def read(key):
    return describe(jwk.JWK.from_json(key))


def with_other_s(signature):
    """The same ES256K signature with n - s in place of s."""
    data = base64url_decode(signature)
    other = ORDER - int.from_bytes(data[32:], "big")
    return base64url_encode(data[:32] + other.to_bytes(32, "big"))


def flip(token):
    """A compact JWS with the other s."""
    *signed, signature = token.split(".")
    return ".".join([*signed, with_other_s(signature)])


def header(key, typ, alg=None):
    algorithms = {"OKP": "EdDSA", "EC": "ES256K"}
    members = {"alg": alg or algorithms[key["kty"]], "typ": typ, "jwk": key.export_public(as_dict=True)}
    return json.dumps(members)


def sign(key, typ, payload):
    """A compact JWS."""
    key, token = jwk.JWK.from_json(key), jws.JWS(payload)
    token.add_signature(key, protected=header(key, typ))
    return token.serialize(compact=True)


def sign_general(keys, typ, payload):
    """A JWS in general JSON serialisation, with a signature by each key."""
    token = jws.JWS(payload)
    for key in map(jwk.JWK.from_json, keys):
        token.add_signature(key, protected=header(key, typ))
    return token.serialize()


def authenticate(key, typ, payload):
    """An HMAC with the public key as the secret, under a header that shows that key."""
    public = jwk.JWK.from_json(key)
    token = jws.JWS(payload)
    secret = jwk.JWK(kty="oct", k=public.export_public(as_dict=True)["x"])
    token.add_signature(secret, protected=header(public, typ, "HS256"))
    return token.serialize(compact=True)


def verify(key, typ, token):
    """The payload that this key has signed for this use, in either serialisation."""
    signed = jws.JWS()
    signed.deserialize(token)
    signed.verify(jwk.JWK.from_json(key))
    headers = signed.jose_header
    for found in headers if isinstance(headers, list) else [headers]:
        if found["typ"] != typ:
            return None
    return signed.payload.decode()


def certify(key, claims):
    """A JWT."""
    key = jwk.JWK.from_json(key)
    token = jwt.JWT(header=header(key, "subrosa-cert+jwt"), claims=claims)
    token.make_signed_token(key)
    return token.serialize()


def read_certificate(key, token):
    """The claims of a JWT that holds now, for jwcrypto looks at its dates."""
    read = jwt.JWT(jwt=token, key=jwk.JWK.from_json(key), check_claims={"exp": None, "iat": None})
    return json.loads(read.claims)


ORDERS = [generate, read, flip, sign, sign_general, authenticate, verify, certify, read_certificate]


def answer(order):
    perform = {known.__name__: known for known in ORDERS}[order.pop("do")]
    try:
        return perform(**order)
    except (JWException, ValueError):
        return None


if __name__ == "__main__":
    json.dump([answer(order) for order in json.load(sys.stdin)], sys.stdout)

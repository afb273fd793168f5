"""Section 1: base64url, hexadecimal and JSON, each in its one spelling."""

import base64
import hashlib
import json
import math
import re

from refused import Refused, require

MAX_DEPTH = 16
MAX_INTEGER = 2**53 - 1


def sha256(data):
    return hashlib.sha256(data).digest()


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64u_decode(text, fault, length=None):
    """The bytes, if the text is their one spelling, and of that length."""
    require(isinstance(text, str) and re.fullmatch("[A-Za-z0-9_-]*", text), fault)
    require(len(text) % 4 != 1, fault)
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    require(b64u(data) == text and (length is None or len(data) == length), fault)
    return data


def is_job_id(text):
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{64}", text) is not None


def is_worker_name(text):
    return isinstance(text, str) and re.fullmatch("[a-z0-9-]{1,64}", text) is not None


class Other(float):
    """A number that is no integer of the protocol's: with a sign, a fraction or an exponent."""


def _other(text):
    number = Other(text)
    require(math.isfinite(number), "json")
    return number


def _integer(text):
    number = _other(text)
    return number if text.startswith("-") or number > 2 * MAX_INTEGER else int(text)


def _constant(_text):
    raise Refused("json")


def _object(pairs):
    members = dict(pairs)
    require(len(members) == len(pairs), "json")
    return members


def _check(value, depth):
    if isinstance(value, str):
        require(not any("\ud800" <= character <= "\udfff" for character in value), "json")
    elif isinstance(value, (dict, list)):
        require(depth < MAX_DEPTH, "json")
        for item in value if isinstance(value, list) else [*value.keys(), *value.values()]:
            _check(item, depth + 1)


def read_json(data):
    """Any JSON text, as bytes, checked as a whole."""
    try:
        value = json.loads(
            data.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_other,
            parse_constant=_constant,
        )
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError):
        raise Refused("json") from None
    _check(value, 0)
    return value


def read_object(data):
    value = read_json(data)
    require(isinstance(value, dict), "object")
    return value


def integer(value, fault, low=0, high=MAX_INTEGER):
    require(type(value) is int and low <= value <= high, fault)
    return value


def text(value, fault, low=0, high=None):
    """A string of so many bytes."""
    require(isinstance(value, str), fault)
    length = len(value.encode())
    require(length >= low and (high is None or length <= high), fault)
    return value

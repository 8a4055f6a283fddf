#!/usr/bin/env python3
"""Another implementation of keys made elsewhere: prints `legacy-v1.json`, from the rules in `src/legacy/legacy_key.rs`.

    python3 tests/vectors/legacy-v1.py | diff - tests/vectors/legacy-v1.json
"""

import base64
import hashlib
import itertools
import json
import re

ALPHANUMERIC = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
BASE64URL = ALPHANUMERIC + "-_"
HEX = "0123456789abcdef"

# name: (kind, name of a custom format, algorithm, the shape, the handle of a match, the stored hash)
FORMATS = {
    "prefix_secret_sha256": ("prefix.secret", "", "sha256-v1", r"([A-Za-z0-9]{8})\.[A-Za-z0-9]{32}", 1, hashlib.sha256),
    "prefix_secret_sha512": ("prefix.secret", "", "sha512-v1", r"([A-Za-z0-9]{8})\.[A-Za-z0-9]{32}", 1, hashlib.sha512),
    "opaque_alphanumeric": ("opaque", "", "sha256-v1", r"old_live_[A-Za-z0-9]{24,32}", 0, hashlib.sha256),
    "opaque_base64url": ("opaque", "", "sha256-v1", r"old-[A-Za-z0-9_-]{43}", 0, hashlib.sha256),
    "opaque_hex": ("opaque", "", "sha256-v1", r"[0-9a-f]{40}", 0, hashlib.sha256),
    "custom_uuid": (
        "custom", "uuid-sha1", "custom-v1",
        r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", 0, hashlib.sha1,
    ),
    "custom_handle": ("custom", "numbered", "custom-v1", r"([1-9][0-9]*)~[A-Za-z0-9]{40}", 1, hashlib.sha384),
}

REJECT = {
    "prefix_secret_sha512": [
        "", ".", "Xj6zVG9w", "Xj6zVG9w.", ".4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK",
        "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7Ao", "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoKK",
        "Xj6zVG9.w4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK", "Xj6zVG9wX.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7Ao",
        "Xj6zVG9w_4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK", "Xj6zVG9w..dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK",
        "Xj6zVG-w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK", "Xj6zVG9w.4dUQ1mRkTz0bYcN-sWvLx2HfPgJe7AoK",
        " Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK", "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK ",
        "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK\n", "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK\0",
        "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7A\u00e9", "\u00e96zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "Xj6zVG9w.4dUQ1mRkTz0bYcN8sWvLx2HfPgJe7AoK.x",
    ],
    "opaque_alphanumeric": [
        "", "old_live_", "old_live_" + "a" * 23, "old_live_" + "a" * 33, "old_live_" + "a" * 23 + "_",
        "Old_live_" + "a" * 24, "old_test_" + "a" * 24, "xold_live_" + "a" * 24, "a" * 24, "old_live_" + "a" * 23 + "\u00e9",
        "old_live_ " + "a" * 24, "old_live_" + "a" * 300,
    ],
    "opaque_base64url": ["old-" + "a" * 42, "old-" + "a" * 44, "old-" + "a" * 42 + "=", "old-" + "a" * 42 + "+"],
    "opaque_hex": ["0" * 39, "0" * 41, "A" * 40, "g" * 40, "0x" + "0" * 38],
    "custom_uuid": ["0b5d1a2c-7f3e-1c1b-9a68-2f4e6d8c0b1a", "0b5d1a2c7f3e4c1b9a682f4e6d8c0b1a"],
    "custom_handle": ["~" + "a" * 40, "01~" + "a" * 40, "1~" + "a" * 39, "9" * 129 + "~" + "a" * 40, "9" * 300 + "~" + "a" * 40],
}


def framed(parts):
    return b"".join(len(part).to_bytes(2, "big") + part for part in parts)


def digest(purpose, kind, name, *parts):
    head = [b"keygate legacy key", purpose.encode(), kind.encode(), name.encode()]
    return hashlib.sha256(framed(head + list(parts))).digest()


def key_id(kind, name, handle):
    for counter in range(256):
        block = digest("id-v1", kind, name, bytes([counter]), handle)
        for start in (0, 12):
            text = base64.urlsafe_b64encode(block[start : start + 12]).decode()
            if text.isalnum():
                return text, 2 * counter + start // 12
    raise AssertionError("no id")


def symbols(alphabet, seed, count):
    """Not random, and the same every time."""
    stream = hashlib.shake_256(seed.encode()).digest(8 * count)
    return "".join(alphabet[int.from_bytes(stream[8 * i : 8 * i + 8], "big") % len(alphabet)] for i in range(count))


def text_of(format, number):
    seed = f"{format} {number}"
    if format.startswith("prefix_secret"):
        return symbols(ALPHANUMERIC, seed + " prefix", 8) + "." + symbols(ALPHANUMERIC, seed, 32)
    if format == "opaque_alphanumeric":
        return "old_live_" + symbols(ALPHANUMERIC, seed, 24 + number % 9)
    if format == "opaque_base64url":
        return "old-" + symbols(BASE64URL, seed, 43)
    if format == "opaque_hex":
        return symbols(HEX, seed, 40)
    if format == "custom_uuid":
        text = symbols(HEX, seed, 32)
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{text[16:20]}-{text[20:]}"
    return f"{10 ** number + number}~" + symbols(ALPHANUMERIC, seed, 40)


def accept(format, number):
    kind, name, algorithm, shape, group, hasher = FORMATS[format]
    text = text_of(format, number)
    match = re.fullmatch(shape, text, re.ASCII)
    stored = hasher(text.encode()).digest()
    handle = match[group].encode() if group else stored
    identity, draws = key_id(kind, name, handle)
    return {
        "format": format,
        "text": text,
        "handle": match[group] if group else None,
        "stored": stored.hex(),
        "key_id": identity,
        "draws": draws,
        "digest_of_hash": f"{algorithm}${digest(algorithm, kind, name, handle, stored)[:28].hex()}",
        "digest_of_text": f"legacy-v1${digest('legacy-v1', kind, name, text.encode())[:28].hex()}",
    }


def reject(format, text):
    assert not re.fullmatch(FORMATS[format][3], text, re.ASCII) or len(text.split("~")[0]) > 128
    return {"format": format, "text": text}


def main():
    vectors = {
        "version": 1,
        "accept": [accept(format, number) for format, number in itertools.product(FORMATS, range(12))],
        "reject": [reject(format, text) for format, texts in REJECT.items() for text in texts],
    }
    lists = [
        f'  "{name}": [\n' + ",\n".join(f"    {json.dumps(entry)}" for entry in vectors[name]) + "\n  ]"
        for name in ("accept", "reject")
    ]
    print('{\n  "version": 1,\n' + ",\n".join(lists) + "\n}")


main()

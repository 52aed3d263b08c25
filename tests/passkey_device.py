"""A device with passkeys, in software: what a browser's toJSON() would hand over, and what a dishonest one might."""

import hashlib
import json
import secrets
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url

PRESENT, VERIFIED, CAN_BE_BACKED_UP, BACKED_UP, ATTESTED = 1, 4, 8, 16, 64
OWNERS_HAND = PRESENT | VERIFIED


@dataclass
class Key:
    """One passkey on the device."""

    id: bytes
    private: ec.EllipticCurvePrivateKey
    handle: str
    count: int = 0


@dataclass
class Authenticator:
    """`origin` is the page that asks it. `last` is the passkey that it has made last."""

    origin: str
    rp_id: str = "localhost"
    counts: bool = True
    flags: int = OWNERS_HAND
    keys: dict[str, Key] = field(default_factory=dict)

    @property
    def last(self) -> Key:
        return list(self.keys.values())[-1]

    def create(self, options: str, id: bytes | None = None, **given: Any) -> str:
        """The answer to navigator.credentials.create()."""
        asked = json.loads(options)
        key = Key(id or secrets.token_bytes(20), ec.generate_private_key(ec.SECP256R1()), asked["user"]["id"])
        self.keys[bytes_to_base64url(key.id)] = key
        numbers = key.private.public_key().public_numbers()
        public = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})
        attested = b"\0" * 16 + len(key.id).to_bytes(2, "big") + key.id + public
        data = self._data(key, ATTESTED, given) + attested
        response = {
            "clientDataJSON": self._client_data("webauthn.create", asked, given),
            "attestationObject": bytes_to_base64url(cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})),
            "transports": ["internal", "hybrid", "telepathy"],
        }
        return _credential(key, response)

    def get(self, options: str, key: Key | None = None, **given: Any) -> str:
        """The answer to navigator.credentials.get()."""
        key = key or self.last
        client_data, data = self._client_data("webauthn.get", json.loads(options), given), self._data(key, 0, given)
        signed = data + hashlib.sha256(base64url_to_bytes(client_data)).digest()
        response = {
            "clientDataJSON": client_data,
            "authenticatorData": bytes_to_base64url(data),
            "signature": bytes_to_base64url(key.private.sign(signed, ec.ECDSA(SHA256()))),
            "userHandle": given.get("handle", key.handle),
        }
        return _credential(key, response)

    def _data(self, key: Key, more_flags: int, given: dict[str, Any]) -> bytes:
        key.count = given.get("count", key.count + self.counts)
        flags = given.get("flags", self.flags) | more_flags
        return hashlib.sha256(given.get("rp_id", self.rp_id).encode()).digest() + bytes([flags]) + key.count.to_bytes(4, "big")

    def _client_data(self, kind: str, asked: dict[str, Any], given: dict[str, Any]) -> str:
        told = {
            "type": given.get("type", kind),
            "challenge": given.get("challenge", asked["challenge"]),
            "origin": given.get("origin", self.origin),
            "crossOrigin": given.get("cross_origin", False),
        }
        return bytes_to_base64url(json.dumps(told).encode())


def _credential(key: Key, response: dict[str, Any]) -> str:
    id = bytes_to_base64url(key.id)
    return json.dumps({"id": id, "rawId": id, "type": "public-key", "response": response, "clientExtensionResults": {}})

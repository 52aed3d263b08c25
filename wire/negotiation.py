"""Media types: what a client may send, and what it is answered in."""

import functools
from dataclasses import dataclass

RESPONSE = b"application/graphql-response+json; charset=utf-8"
JSON = b"application/json; charset=utf-8"
_NEW = "application/graphql-response+json"
_UTF8 = frozenset({"utf-8", "utf8"})


@dataclass(slots=True, frozen=True)
class Accepted:
    """What a client takes. `json` is the type to answer in, None for none; `stream` and `html` whether it takes these."""

    json: bytes | None
    stream: bool
    html: bool


@functools.lru_cache(512)
def is_json(content_type: bytes) -> bool:
    """Whether a body is what may be read here: exactly application/json, in UTF-8."""
    name, *parameters = content_type.decode("latin-1").split(";")
    if name.strip(" \t").lower() != "application/json":
        return False
    for parameter in parameters:
        key, _, value = parameter.strip(" \t").partition("=")
        if key.lower() == "charset" and value.strip('"').lower() not in _UTF8:
            return False
    return True


@functools.lru_cache(512)
def accepted(accept: bytes | None) -> Accepted:
    """What an Accept header allows; none at all is the same as `*/*`, which is answered as application/json.

    Of the two JSON types the heavier counts, of equal ones the newer.
    """
    weights = _weights(accept)
    anything = weights.get("application/*", weights.get("*/*", 0.0))
    new = weights.get(_NEW, anything)
    old = weights.get("application/json", anything)
    chosen = None
    if new > old or (new and new == old and _NEW in weights):
        chosen = RESPONSE
    elif old:
        chosen = JSON
    return Accepted(chosen, bool(weights.get("text/event-stream")), bool(weights.get("text/html")))


def _weights(accept: bytes | None) -> dict[str, float]:
    """The ranges of an Accept header (lower case) with their weights, 0 to 1; unreadable ones are left out."""
    if accept is None or not accept.strip():
        return {"*/*": 1.0}
    weights: dict[str, float] = {}
    for part in accept.decode("latin-1").lower().split(","):
        name, *parameters = (piece.strip(" \t") for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            if parameter.startswith("q="):
                try:
                    weight = float(parameter[2:])
                except ValueError:
                    weight = -1.0
        if "/" in name and 0 <= weight <= 1:
            weights[name] = max(weight, weights.get(name, 0.0))
    return weights

"""The messages of graphql-transport-ws: which are valid, and how ours are written."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

import orjson

from models.refusals import ErrorCode, Failure, Refusal
from wire.errors import RequestError, error_body, logged, request_errors

LONGEST_ID = 255


class BadMessage(Exception):
    """Not a message that a client may send."""


@dataclass(frozen=True, slots=True)
class Subscribe:
    id: str
    query: str
    operation_name: str | None
    variables: dict[str, Any]

    @classmethod
    def of(cls, message: dict[str, Any]) -> "Subscribe":
        """From a message that is `checked`."""
        asked = message["payload"]
        return cls(message["id"], asked["query"], asked.get("operationName") or None, asked.get("variables") or {})


def checked(message: Any) -> dict[str, Any]:
    """`message` itself.

    Raises:
        BadMessage: the protocol has no such message from a client.
    """
    match message.get("type") if isinstance(message, dict) else None:
        case "connection_init" | "ping" | "pong":
            valid = _is_object_or_null(message.get("payload"))
        case "complete":
            valid = _is_id(message.get("id"))
        case "subscribe":
            valid = _is_id(message.get("id")) and _is_request(message.get("payload"))
        case _:
            valid = False
    if not valid:
        raise BadMessage
    return message


def _is_id(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST_ID


def _is_object_or_null(value: Any) -> bool:
    return value is None or isinstance(value, dict)


def _is_request(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("query"), str)
        and isinstance(value.get("operationName"), str | None)
        and _is_object_or_null(value.get("variables"))
        and _is_object_or_null(value.get("extensions"))
    )


def bearer_of(payload: dict[str, Any]) -> str | None:
    """The token that a `connection_init` brings: its member `authorization`, in any case, `Bearer …`; None without one.

    Raises:
        BadMessage: there are two, or it is something else.
    """
    given = [value for name, value in payload.items() if name.lower() == "authorization" and value not in (None, "")]
    if not given:
        return None
    scheme, _, token = given[0].partition(" ") if len(given) == 1 and isinstance(given[0], str) else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise BadMessage
    return token.strip()


def frame(message: dict[str, Any]) -> bytes:
    return orjson.dumps(message)


def pong(ping: dict[str, Any]) -> bytes:
    """The answer to a ping: its payload comes back as it was, whatever the size of its numbers."""
    payload = ping.get("payload")
    return json.dumps({"type": "pong"} if payload is None else {"type": "pong", "payload": payload}).encode()


def error_frame(operation_id: str, failure: Exception, language: str, request_id: str | None = None) -> bytes:
    """The message that ends the operation with `failure`."""
    return frame({"id": operation_id, "type": "error", "payload": errors_of(failure, language, request_id)})


def errors_of(failure: Exception, language: str, request_id: str | None = None) -> list[dict[str, Any]]:
    """`failure` as a client may see it, with codes of the closed list; what is not ours is logged and called internal."""
    request_id = request_id or str(uuid.uuid4())
    if isinstance(failure, Refusal):
        return [error_body(failure, request_id, language)]
    if not isinstance(failure, RequestError | Failure):
        logged(failure, request_id)
        failure = Failure(ErrorCode.INTERNAL_SERVER_ERROR)
    return request_errors(failure, request_id, language)

"""What a client sent, read strictly: one JSON object in UTF-8, without duplicate keys, of bounded depth and numbers."""

import json
import math
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import parse_qsl

import orjson

from models.refusals import ErrorCode
from wire.errors import RequestError

MAX_NESTING = 64
MAX_DIGITS = 64
_FAR = 1 << 40

_MEMBERS = ("query", "variables", "operationName", "extensions")


@dataclass(slots=True)
class GraphQLRequest:
    """What to run. `variables` is empty where none were sent; `operation_name` is None where empty or absent."""

    query: str
    variables: dict[str, Any]
    operation_name: str | None


def read_json(raw: bytes) -> Any:
    """The JSON value in `raw`.

    Raises:
        RequestError: BAD_REQUEST. Not UTF-8, not JSON, more than one value, a key twice in one object, NaN or Infinity,
            a lone surrogate, nested deeper than 64, a number of more than 64 digits.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        # orjson cannot hold an integer of some hundred digits; whatever it refuses is refused.
        raise _bad() from None
    # orjson keeps one of two equal keys, and makes a float of a long integer. If no more quotes stand in the text than
    # keys and strings of the value account for, and it has no floats, nothing was lost. An escaped quote only costs the
    # slow way.
    if raw.count(b'"') == 2 * _strings(value):
        return value
    try:
        return json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_distinct,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_never,
        )
    except (ValueError, RecursionError):
        raise _bad() from None


def posted(raw: bytes) -> GraphQLRequest:
    """The GraphQL request in the body of a POST.

    Raises:
        RequestError: BAD_REQUEST, or BATCHING_DISABLED for a list.
    """
    value = read_json(raw)
    if type(value) is list:
        raise RequestError(400, ErrorCode.BATCHING_DISABLED)
    return _request(value)


def asked(query_string: bytes) -> GraphQLRequest | None:
    """The GraphQL request in the query string of a GET; None where it names no document. Empty is the same as absent.

    Raises:
        RequestError: BAD_REQUEST.
    """
    try:
        pairs = parse_qsl(query_string.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=32)
    except ValueError:
        raise _bad() from None
    given = [(name, value) for name, value in pairs if name in _MEMBERS and value]
    members: dict[str, Any] = dict(given)
    if len(members) != len(given):
        raise _bad()
    if "query" not in members:
        return None
    for name in ("variables", "extensions"):
        if name in members:
            members[name] = read_json(members[name].encode())
    return _request(members)


def _request(value: Any) -> GraphQLRequest:
    if type(value) is not dict:
        raise _bad()
    query = value.get("query")
    variables = value.get("variables")
    operation_name = value.get("operationName")
    extensions = value.get("extensions")
    if (
        type(query) is not str
        or (variables is not None and type(variables) is not dict)
        or (operation_name is not None and type(operation_name) is not str)
        or (extensions is not None and type(extensions) is not dict)
    ):
        raise _bad()
    return GraphQLRequest(query, variables or {}, operation_name or None)


def _strings(value: Any, depth: int = 0) -> int:
    """How many keys and strings `value` has; less than none where there are floats.

    Raises:
        RequestError: BAD_REQUEST, nested too deeply.
    """
    kind = type(value)
    if kind is str:
        return 1
    if kind is dict:
        count, entries = len(value), value.values()
    elif kind is list:
        count, entries = 0, value
    else:
        return -_FAR if kind is float else 0
    if depth == MAX_NESTING:
        raise _bad()
    for entry in entries:
        count += 1 if type(entry) is str else _strings(entry, depth + 1)
    return count


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError
    return int(digits)


def _number(digits: str) -> float:
    if len(digits) > MAX_DIGITS or not math.isfinite(number := float(digits)):
        raise ValueError
    return number


def _never(_: str) -> NoReturn:
    raise ValueError


def _bad() -> RequestError:
    return RequestError(400, ErrorCode.BAD_REQUEST)

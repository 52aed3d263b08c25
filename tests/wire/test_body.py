import orjson
import pytest

from models.refusals import ErrorCode
from wire.body import asked, posted, read_json
from wire.errors import RequestError

BAD = [
    b"",
    b"{",
    b"{} x",
    b"{}{}",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{\x00}\x00",
    b'{"query":"\xff"}',
    b"\x1f\x8b\x08\x00",
    b'{"query":"{a}","query":"{b}"}',
    b'{"query":"{a}","query" :"{b}"}',
    b'{"a":"\\"","b":{"c":1,"c":2}}',
    b'{"variables":{"a":1,"a":1}}',
    b'{"variables":{"a":1,"\\u0061":1}}',
    b'{"a":NaN}',
    b'{"a":Infinity}',
    b'{"a":-Infinity}',
    b'{"a":1e400}',
    b'{"a":"\\ud800"}',
    b'{"a":"\\udc00\\ud800"}',
    b'{"a":' + b"9" * 65 + b"}",
    b'{"a":' + b"9" * 5000 + b"}",
    b'{"a":0.' + b"9" * 65 + b"}",
    b'{"a":' + b"[" * 64 + b"]" * 64 + b"}",
    b"[" * 100_000,
    b'{"a":"\x01"}',
    b"{'a':1}",
    b'{"a":1,}',
]


@pytest.mark.parametrize("raw", BAD, ids=lambda raw: repr(raw[:24]))
def test_what_is_not_strict_json_is_refused(raw: bytes):
    with pytest.raises(RequestError) as refused:
        read_json(raw)
    assert (refused.value.status, refused.value.code) == (400, ErrorCode.BAD_REQUEST)


@pytest.mark.parametrize(
    "value",
    [
        None,
        1,
        -7,
        1.5,
        "x",
        [],
        {},
        {"a": {"b": [1, {"c": 'say "x": y'}, {"c": "\\"}, "ключ"]}, '"': 1, ":": ":"},
        {"query": '{ order(id: "a") { id } }'},
        {"a": 18446744073709551615},
    ],
)
def test_strict_json_is_read_as_it_is(value):
    assert read_json(orjson.dumps(value)) == value


def test_a_long_integer_keeps_its_digits_and_depth_counts_to_64():
    assert read_json(b'{"a":123456789012345678901234567890}') == {"a": 123456789012345678901234567890}
    assert read_json(b"[" * 64 + b"]" * 64)


@pytest.mark.parametrize(
    "raw",
    [
        b"null",
        b"1",
        b'"x"',
        b"true",
        b"{}",
        b'{"query":1}',
        b'{"query":null}',
        b'{"query":["{a}"]}',
        b'{"query":"{a}","variables":[]}',
        b'{"query":"{a}","variables":"x"}',
        b'{"query":"{a}","extensions":1}',
        b'{"query":"{a}","operationName":1}',
    ],
)
def test_members_of_another_type_are_refused(raw: bytes):
    with pytest.raises(RequestError) as refused:
        posted(raw)
    assert refused.value.code is ErrorCode.BAD_REQUEST


@pytest.mark.parametrize("raw", [b"[]", b'[{"query":"{me{id}}"}]'])
def test_a_list_of_operations_is_refused(raw: bytes):
    with pytest.raises(RequestError) as refused:
        posted(raw)
    assert refused.value.code is ErrorCode.BATCHING_DISABLED


def test_nulls_and_unknown_members_do_not_matter():
    request = posted(b'{"query":"{a}","variables":null,"operationName":null,"extensions":null,"id":"x","other":[1]}')
    assert (request.query, request.variables, request.operation_name) == ("{a}", {}, None)


def test_a_query_string_says_the_same_as_a_body():
    request = asked(b"query=%7Ba%7D&variables=%7B%22x%22%3A1%7D&operationName=A&extensions=&other=1")
    assert request is not None
    assert (request.query, request.variables, request.operation_name) == ("{a}", {"x": 1}, "A")


def test_empty_parameters_are_absent():
    assert asked(b"") is None
    assert asked(b"query=") is None
    assert asked(b"query=%7Ba%7D&operationName=&variables=").operation_name is None


@pytest.mark.parametrize(
    "query_string",
    [
        b"query=%7Ba%7D&query=%7Bb%7D",
        b"query=%FF",
        b"query=\xff",
        b"query=%7Ba%7D&variables=%5B%5D",
        b"query=%7Ba%7D&variables=x",
        b"query=%7Ba%7D&extensions=1",
        b"&".join([b"a=b"] * 100),
    ],
)
def test_a_query_string_is_read_as_strictly(query_string: bytes):
    with pytest.raises(RequestError) as refused:
        asked(query_string)
    assert refused.value.code is ErrorCode.BAD_REQUEST

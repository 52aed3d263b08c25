"""Columns that Tortoise's migrations do not write down rightly by themselves."""

from typing import Any

import orjson
from tortoise import fields


def dump_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def load_json(value: str | bytes) -> Any:
    return orjson.loads(value)


class GivenKey(fields.BigIntField):
    """A primary key that the writer gives, such as another table's id. (A written migration forgets `generated=False`.)"""

    class _db_sqlite:
        SQL_TYPE = "INTEGER"  # the row's own number, so the key needs no index of its own

    def __init__(self, **options: Any):
        super().__init__(**{**options, "primary_key": True, "generated": False})

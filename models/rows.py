"""Rows by the set: one statement for many."""

from collections.abc import Sequence
from functools import cache

from models.database import UnitConnection


async def insert_rows(connection: UnitConnection, table: str, columns: str, types: str, rows: Sequence[tuple]) -> None:
    """Insert rows by one statement, whose text is the same for any number of rows above one.

    `columns` are separated by commas; `types`, by spaces, are PostgreSQL's names of their types, in the same order.
    """
    if connection.capabilities.dialect == "sqlite":
        await connection.execute_each(insert_one(table, columns), rows)
    elif len(rows) == 1:  # cheaper than arrays of one
        await connection.execute_rows(insert_one(table, columns), rows[0])
    elif rows:
        by_column = [list(column) for column in zip(*rows, strict=True)]
        await connection.execute_rows(insert_arrays(table, columns, types), by_column)


@cache
def insert_one(table: str, columns: str) -> str:
    places = ", ".join(f"${n}" for n in range(1, columns.count(",") + 2))
    return f"INSERT INTO {table} ({columns}) VALUES ({places})"


@cache
def insert_arrays(table: str, columns: str, types: str) -> str:
    """Each parameter is a whole column; JSON travels as text, for asyncpg has no arrays of it."""
    numbered = list(enumerate(types.split(), 1))
    arrays = ", ".join(f"${n}::{'text' if kind == 'jsonb' else kind}[]" for n, kind in numbered)
    values = ", ".join(f"c{n}::jsonb" if kind == "jsonb" else f"c{n}" for n, kind in numbered)
    names = ", ".join(f"c{n}" for n, _ in numbered)
    return f"INSERT INTO {table} ({columns}) SELECT {values} FROM unnest({arrays}) AS given ({names})"

"""Rows by the set: one statement for many."""

from models.database import UnitConnection


async def insert_rows(connection: UnitConnection, table: str, columns: str, types: str, rows: list[tuple]) -> None:
    """Insert rows by one statement, whose text is the same for any number of rows.

    `types` are PostgreSQL's names of the columns' types, in order.
    """
    names = types.split()
    if connection.capabilities.dialect == "sqlite":
        places = ", ".join(f"${n}" for n in range(1, len(names) + 1))
        await connection.execute_each(f"INSERT INTO {table} ({columns}) VALUES ({places})", rows)
        return
    arrays = ", ".join(f"${n}::{'text' if t == 'jsonb' else t}[]" for n, t in enumerate(names, 1))
    fields_ = ", ".join(f"c{n}::jsonb" if t == "jsonb" else f"c{n}" for n, t in enumerate(names, 1))
    aliases = ", ".join(f"c{n}" for n in range(1, len(names) + 1))
    await connection.execute_rows(
        f"INSERT INTO {table} ({columns}) SELECT {fields_} FROM unnest({arrays}) AS given ({aliases})",
        [list(column) for column in zip(*rows, strict=True)],
    )

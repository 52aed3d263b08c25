"""A database's schema as lines that read the same on SQLite and PostgreSQL, to compare with an expected list.

`python -m tests.schema_listing > tests/models/expected_schema.txt` writes the list anew; its diff is to be read.
"""

import asyncio
import tempfile
from pathlib import Path

from models.database import dialect, fetch
from tests.databases import migrated_database

NOT_OURS = {"sqlite_sequence"}

POSTGRES_COLUMNS = """
SELECT table_name, column_name, is_nullable = 'NO' FROM information_schema.columns WHERE table_schema = 'public'
"""
POSTGRES_KEYS = """
SELECT c.relname, a.attname, p.relname, pa.attname, con.confdeltype FROM pg_constraint con
JOIN pg_class c ON c.oid = con.conrelid JOIN pg_attribute a ON a.attrelid = con.conrelid AND a.attnum = con.conkey[1]
JOIN pg_class p ON p.oid = con.confrelid JOIN pg_attribute pa ON pa.attrelid = con.confrelid AND pa.attnum = con.confkey[1]
WHERE con.contype = 'f'
"""
POSTGRES_INDEXES = """
SELECT t.relname, i.indisunique, i.indpred IS NOT NULL, i.indisprimary,
       array_agg(pg_get_indexdef(i.indexrelid, n, false) || CASE WHEN i.indoption[n - 1] & 1 = 1 THEN ' desc' ELSE '' END
                 ORDER BY n)
FROM pg_index i JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace s ON s.oid = t.relnamespace,
     generate_series(1, i.indnkeyatts) n
WHERE s.nspname = 'public' GROUP BY i.indexrelid, t.relname, i.indisunique, i.indpred, i.indisprimary
"""
POSTGRES_CHECKS = """
SELECT c.relname, con.conname FROM pg_constraint con JOIN pg_class c ON c.oid = con.conrelid
JOIN pg_namespace s ON s.oid = c.relnamespace WHERE con.contype = 'c' AND s.nspname = 'public'
"""
POSTGRES_TRIGGERS = """
SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal
"""
ON_DELETE = {"a": "no action", "r": "restrict", "c": "cascade", "n": "set null", "d": "set default"}


async def listing() -> list[str]:
    """Tables, columns, keys, indexes, foreign keys, checks and triggers of the open database, sorted."""
    lines = await (sqlite_lines() if dialect() == "sqlite" else postgres_lines())
    return sorted(set(lines))


async def postgres_lines() -> list[str]:
    lines = [column_line(*row) for row in await fetch(POSTGRES_COLUMNS)]
    lines += [key_line(*row[:4], ON_DELETE[as_letter(row[4])]) for row in await fetch(POSTGRES_KEYS)]
    lines += [index_line(*row) for row in await fetch(POSTGRES_INDEXES)]
    lines += [f"check {name} on {table}" for table, name in await fetch(POSTGRES_CHECKS)]
    triggers = [(table, name) for table, name in await fetch(POSTGRES_TRIGGERS) if not name.endswith("_never_truncated")]
    return lines + [f"trigger {name} on {table}" for table, name in triggers]


def as_letter(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


async def sqlite_lines() -> list[str]:
    lines = []
    for (table,) in await fetch("SELECT name FROM sqlite_master WHERE type = 'table'"):
        if table in NOT_OURS:
            continue
        columns = await fetch("SELECT name, \"notnull\" OR pk > 0, pk FROM pragma_table_info($1)", table)
        lines += [column_line(table, name, bool(required)) for name, required, _ in columns]
        lines.append(index_line(table, True, False, True, [c[0] for c in sorted(columns, key=lambda c: c[2]) if c[2]]))
        keys = await fetch('SELECT "from", "table", "to", on_delete FROM pragma_foreign_key_list($1)', table)
        lines += [key_line(table, column, parent, to or "id", action.lower()) for column, parent, to, action in keys]
        lines += await sqlite_indexes(table)
    for name, table in await fetch("SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"):
        if name.endswith("_never_replaced") or "_kept_for_" in name:
            continue  # SQLite's alone: elsewhere the foreign key and the delete trigger cannot be switched off
        is_check = name.endswith(("_on_insert", "_on_update"))
        lines.append(f"check {name[:-10]} on {table}" if is_check else f"trigger {name} on {table}")
    return lines


async def sqlite_indexes(table: str) -> list[str]:
    lines = []
    found = await fetch('SELECT name, "unique", partial FROM pragma_index_list($1) WHERE origin != \'pk\'', table)
    for name, unique, partial in found:
        parts = await fetch('SELECT name, "desc" FROM pragma_index_xinfo($1) WHERE key ORDER BY seqno', name)
        columns = [f"{column or 'expression'}{' desc' if down else ''}" for column, down in parts]
        lines.append(index_line(table, bool(unique), bool(partial), False, columns))
    return lines


def column_line(table: str, column: str, required: bool) -> str:
    return f"column {table}.{column}{' not null' if required else ''}"


def key_line(table: str, column: str, parent: str, to: str, on_delete: str) -> str:
    return f"foreign key {table}.{column} -> {parent}.{to} on delete {on_delete}"


def index_line(table: str, unique: bool, partial: bool, primary: bool, columns: list[str]) -> str:
    names = ", ".join(c.replace('"', "") if is_plain(c) else "expression" for c in columns)
    kind = "primary key" if primary else f"{'unique ' if unique else ''}{'partial ' if partial else ''}index"
    return f"{kind} {table} ({names})"


def is_plain(column: str) -> bool:
    return "(" not in column and "::" not in column


async def print_listing() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with migrated_database("sqlite", Path(folder)):
            print("\n".join(await listing()))


if __name__ == "__main__":
    asyncio.run(print_listing())

"""Operations for migrations: what Tortoise's generator drops without a word, or cannot say, on both databases.

Conditions are SQL that both databases read the same; columns of the row are written bare.
"""

import re
from collections.abc import Sequence
from typing import Any

from tortoise.migrations.operations import RunPython

REFUSE_FUNCTION = """
CREATE OR REPLACE FUNCTION kabinet_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME;
END $$;
"""


class Statements(RunPython):
    """Runs its statements without a look at the models, of which Tortoise would make a copy for it."""

    async def database_forward(self, app_label: str, old_state: Any, new_state: Any, state_editor: Any = None) -> None:
        if state_editor is not None:
            await self.code(None, state_editor)


def statements(*, sqlite: Sequence[str], postgres: Sequence[str]) -> RunPython:
    """Run these statements, one list for each database."""

    async def run(apps: Any, editor: Any) -> None:
        for statement in postgres if editor.DIALECT == "postgres" else sqlite:
            await editor.client.execute_script(statement)

    return Statements(run)


def index(name: str, table: str, columns: str, where: str | None = None, *, unique: bool = False) -> RunPython:
    """An index, of some rows only where `where` is given. `columns` is SQL: `account_id, created_at DESC`."""
    made = f"CREATE {'UNIQUE ' if unique else ''}INDEX {name} ON {table} ({columns}){f' WHERE {where}' if where else ''}"
    return statements(sqlite=[made], postgres=[made])


def check(name: str, table: str, condition: str, columns: Sequence[str]) -> RunPython:
    """Every row must fulfil the condition, or have nulls in it. `columns`: those it names.

    SQLite cannot add a CHECK to a table that is there, so two triggers do it; both surface as IntegrityError.
    """
    of_new = prefixed(condition, columns, "NEW")
    refusal = f"BEGIN SELECT RAISE(ABORT, 'CHECK constraint failed: {name}'); END"
    return statements(
        sqlite=[
            f"CREATE TRIGGER {name}_on_{verb.lower()} BEFORE {verb} ON {table} WHEN NOT ({of_new}) {refusal}"
            for verb in ("INSERT", "UPDATE")
        ],
        postgres=[f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition})"],
    )


def never_deleted(table: str, unique: Sequence[str] = ("id",)) -> RunPython:
    """Rows of this table stay: no DELETE, no REPLACE, no TRUNCATE, no cascade.

    `unique`: the columns by which a REPLACE could meet a row. SQLite tells the delete trigger of a REPLACE only on
    connections with `recursive_triggers`, as ours are; the insert trigger refuses it on any other too.
    """
    reason = f"rows of {table} are never deleted"
    refuse = f"BEGIN SELECT RAISE(ABORT, '{reason}'); END"
    met = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {column} = NEW.{column})" for column in unique)
    return statements(
        sqlite=[
            f"CREATE TRIGGER {table}_never_deleted BEFORE DELETE ON {table} {refuse}",
            f"CREATE TRIGGER {table}_never_replaced BEFORE INSERT ON {table} WHEN {met} {refuse}",
        ],
        postgres=[
            REFUSE_FUNCTION,
            f"CREATE TRIGGER {table}_never_deleted BEFORE DELETE ON {table} "
            f"FOR EACH ROW EXECUTE FUNCTION kabinet_refuse('{reason}')",
            f"CREATE TRIGGER {table}_never_truncated BEFORE TRUNCATE ON {table} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION kabinet_refuse('{reason}')",
        ],
    )


def kept_for(parent: str, child: str, column: str) -> RunPython:
    """A row of `parent` stays while a row of `child` names it in `column`.

    The foreign key says so too, but SQLite listens to it only on connections that ask for it, as ours do. There a
    migration that rebuilds `child` drops the trigger `{parent}_kept_for_{child}` first, and makes it again.
    """
    return statements(
        sqlite=[
            f"CREATE TRIGGER {parent}_kept_for_{child} BEFORE DELETE ON {parent} "
            f"WHEN EXISTS (SELECT 1 FROM {child} WHERE {column} = OLD.id) "
            f"BEGIN SELECT RAISE(ABORT, 'a row of {parent} stays while {child} names it'); END"
        ],
        postgres=[],
    )


def never_changed(table: str, columns: Sequence[str]) -> RunPython:
    """These columns of a row keep what they were written with."""
    reason = f"{', '.join(columns)} of {table} never change"
    return statements(
        sqlite=[
            f"CREATE TRIGGER {table}_never_changed BEFORE UPDATE ON {table} "
            f"WHEN {' OR '.join(f'NEW.{c} IS NOT OLD.{c}' for c in columns)} BEGIN SELECT RAISE(ABORT, '{reason}'); END"
        ],
        postgres=[
            REFUSE_FUNCTION,
            f"CREATE TRIGGER {table}_never_changed BEFORE UPDATE ON {table} FOR EACH ROW "
            f"WHEN ({' OR '.join(f'NEW.{c} IS DISTINCT FROM OLD.{c}' for c in columns)}) "
            f"EXECUTE FUNCTION kabinet_refuse('{reason}')",
        ],
    )


def prefixed(condition: str, columns: Sequence[str], row: str) -> str:
    """The condition with its columns as those of a trigger's row.

    Raises:
        ValueError: it names none of them.
    """
    changed, count = re.subn(rf"\b({'|'.join(map(re.escape, columns))})\b(?![(.'])", rf"{row}.\1", condition)
    if not count:
        raise ValueError(f"the condition names none of {columns}: {condition}")
    return changed

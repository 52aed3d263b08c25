"""Migrations: Tortoise's own, all pending ones in one transaction, with their notes of having been applied.

A process that dies meanwhile leaves the schema as it was. One process migrates at a time, the others wait for it. On
SQLite foreign keys are off meanwhile (a rebuilt table would cascade its rows away) and checked before the commit, and
the file is copied first.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tortoise.migrations.autodetector import MigrationAutodetector
from tortoise.migrations.executor import MigrationExecutor
from tortoise.migrations.operations import AlterModelOptions
from tortoise.migrations.schema_editor.base import BaseSchemaEditor
from tortoise.migrations.schema_editor.sqlite import SqliteSchemaEditor
from tortoise.migrations.schema_generator.state import State
from tortoise.migrations.schema_generator.state_apps import StateApps
from tortoise.migrations.writer import MigrationWriter, format_migration_name

from models.database import Database, open_database, opened, tortoise_config
from models.sqlite_engine import SqliteEngine
from models.unit_of_work import Work, unit_of_work
from settings import Settings

OURS = "models.migrations"
LOCK_KEY = 0x6B6162696E6574  # «kabinet»: PostgreSQL's advisory lock of whoever migrates
LONGEST_SECONDS = 6 * 3600.0

Progress = Callable[[str], object]


class BrokenReferences(Exception):
    """A migration left rows that refer to nothing; nothing of it was written. The text lists tables and rows."""


async def migrate(
    settings: Settings,
    modules: Sequence[str] | None = None,
    migrations: str = OURS,
    progress: Progress = lambda name: None,
) -> list[str]:
    """Bring the settings' database up to date, from nothing if it is new; gives the names of what was applied.

    No database may be open in this process. `progress` is called with the name of each migration as it begins.

    Raises:
        BrokenReferences: on SQLite; nothing was written.
    """
    async with open_database(settings, modules) as database:
        waiting = await pending(migrations)
        if not waiting:
            return []
        if isinstance(database.engine, SqliteEngine):
            await _copy_first(database, waiting[0])
            database.engine.writer.execute("PRAGMA foreign_keys=OFF")
        return await _apply(migrations, progress)


async def pending(migrations: str = OURS) -> list[str]:
    """Names of the migrations that the open database still needs, in order."""
    plan = await Executor(opened().engine, apps_config(migrations)).plan()
    return [step.migration.name for step in plan]


class Editor(SqliteSchemaEditor):
    """Tortoise's cuts a script at every semicolon, those in comments and triggers too."""

    async def _run_sql(self, sql: str) -> None:
        await self.client.execute_script(sql)


class Snapshot(State):
    """The models as they were before an operation. Tortoise copies all of them before each one, which takes it seconds for
    fifty tables, and few operations look back: the copy is made when one does."""

    def __init__(self, models: dict[tuple[str, str], Any], source: StateApps):
        self.models, self._source = models, source
        self._copy: StateApps | None = None

    @property
    def apps(self) -> StateApps:  # type: ignore[override]
        if self._copy is None:
            self._copy = self._source.clone(model_states=self.models)
        return self._copy


class Now(State):
    """The models as operations change them."""

    def clone(self) -> State:
        return Snapshot({key: model.clone() for key, model in self.models.items()}, self.apps)


class Executor(MigrationExecutor):
    async def _project_state(self, applied: set[Any], *, upto: Any = None) -> State:
        state = await super()._project_state(applied, upto=upto)
        return Now(models=state.models, apps=state.apps)

    def _schema_editor(self, atomic: bool = True, collect_sql: bool = False) -> BaseSchemaEditor:
        if self.connection.capabilities.dialect == "sqlite":
            return Editor(self.connection, atomic=atomic, collect_sql=collect_sql)
        return super()._schema_editor(atomic, collect_sql)


def apps_config(migrations: str) -> dict[str, dict[str, Any]]:
    return {"models": {"models": [], "migrations": migrations, "default_connection": "default"}}


@unit_of_work(seconds=LONGEST_SECONDS)
async def _apply(work: Work, migrations: str, progress: Progress) -> list[str]:
    if opened().dialect == "postgres":
        await work.execute("SET LOCAL statement_timeout = 0")
        await work.execute("SET LOCAL lock_timeout = '60s'")
        await work.fetch("SELECT pg_advisory_xact_lock($1)", LOCK_KEY)
        await work.execute("SET LOCAL lock_timeout = '3s'")
    applied: list[str] = []

    def note(event: str, app: str, name: str) -> None:
        if event == "apply_start":
            applied.append(name)
            progress(name)

    executor = Executor(work.connection, apps_config(migrations))
    # Before anything reads it: a failed SELECT would end the transaction on PostgreSQL.
    await executor.recorder.ensure_schema(executor._schema_editor(atomic=False))
    await executor.migrate(direction="forward", progress=note)
    if opened().dialect == "sqlite":
        await _require_references(work)
    return applied


async def _require_references(work: Work) -> None:
    broken = await work.fetch("PRAGMA foreign_key_check")
    if broken:
        lines = [f"{table} row {row} refers to a missing row of {parent}" for table, row, parent, _ in broken[:20]]
        raise BrokenReferences("; ".join(lines))


async def _copy_first(database: Database, name: str) -> None:
    """Copy the file beside itself, if anything was ever migrated in it."""
    assert isinstance(database.engine, SqliteEngine) and database.engine._connection is not None
    tables = database.engine.writer.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    if not tables:
        return
    copy = Path(f"{database.settings.sqlite_path}.before-{name}")
    copy.unlink(missing_ok=True)  # noqa: ASYNC240 - nothing else runs while migrating
    await (await database.engine._connection.execute("VACUUM INTO ?", [str(copy)])).close()


async def unwritten(modules: Sequence[str] | None = None, migrations: str = OURS) -> list[MigrationWriter]:
    """What the tables of the open database's models need beyond the migrations that are there; usually nothing."""
    database = opened()
    config = tortoise_config(database.settings, modules)["apps"]["models"] | {"migrations": migrations}
    assert database.context.apps is not None
    writers = await MigrationAutodetector(database.context.apps, {"models": config}).changes()
    for writer in writers:
        # Texts, and for keys that are references a difference that no migration removes; tables do not change by them.
        writer.operations = [op for op in writer.operations if not isinstance(op, AlterModelOptions)]
    return [writer for writer in writers if writer.operations]


async def write_migration(
    settings: Settings, name: str, modules: Sequence[str] | None = None, migrations: str = OURS
) -> Path | None:
    """Write the migration that is missing; None: none is.

    Look through the result: constraints and conditional indexes are not in it (add them by `models.constraints`), and
    AlterField, RemoveField and AddConstraint lose rows or indexes on SQLite.
    """
    async with open_database(settings, modules):
        writers = await unwritten(modules, migrations)
        if not writers:
            return None
        (writer,) = writers
        writer.name = format_migration_name(int(writer.name.split("_", 1)[0]), name)
        return Path(writer.write())

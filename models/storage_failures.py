"""What a driver's error means to the caller: storage away, too busy, or too slow. Anything else is a bug and stays one."""

import sqlite3

import asyncpg

from models.refusals import ErrorCode, Failure

SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
SQLITE_AWAY = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
}
POSTGRES_AWAY = (
    OSError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InvalidAuthorizationSpecificationError,
)
POSTGRES_CONFLICT = (asyncpg.DeadlockDetectedError, asyncpg.SerializationError)


class TextWithNul(ValueError):
    """A text with a NUL in it, which PostgreSQL cannot keep and SQLite therefore does not."""


class TransactionLost(Exception):
    """The transaction that a unit of work had ended in was rolled back for another one's sake."""


def overloaded() -> Failure:
    return Failure(ErrorCode.OVERLOADED, retry_after_seconds=1)


def failure_of(error: BaseException) -> Failure | None:
    """The failure that a database error, also one wrapped by the ORM, is for the caller; None: it is none of these."""
    cause = origin(error)
    if isinstance(cause, sqlite3.Error):
        code = (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF
        if code in SQLITE_BUSY:
            return overloaded()
        return Failure(ErrorCode.STORAGE_UNAVAILABLE, retry_after_seconds=5) if code in SQLITE_AWAY else None
    if isinstance(cause, asyncpg.TooManyConnectionsError | asyncpg.LockNotAvailableError):
        return overloaded()
    if isinstance(cause, TextWithNul | asyncpg.CharacterNotInRepertoireError | asyncpg.UntranslatableCharacterError):
        return Failure(ErrorCode.BAD_USER_INPUT)
    if isinstance(cause, asyncpg.QueryCanceledError):
        return Failure(ErrorCode.TIMEOUT)
    if isinstance(cause, POSTGRES_AWAY) and not isinstance(cause, TimeoutError):
        return Failure(ErrorCode.STORAGE_UNAVAILABLE, retry_after_seconds=5)
    if isinstance(cause, asyncpg.InterfaceError) and ("closed" in str(cause) or "closing" in str(cause)):
        return Failure(ErrorCode.STORAGE_UNAVAILABLE, retry_after_seconds=5)
    return None


def is_conflict(error: BaseException) -> bool:
    """True where the same unit may succeed when it is run again: a deadlock, a serialisation failure, a lost transaction."""
    return isinstance(origin(error), (TransactionLost, *POSTGRES_CONFLICT))


def is_taken(error: BaseException) -> bool:
    """True where a row with the same unique key came first, or one that it names is gone."""
    return isinstance(origin(error), sqlite3.IntegrityError | asyncpg.IntegrityConstraintViolationError)


def origin(error: BaseException) -> BaseException:
    """The driver's error inside the ORM's."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    return error

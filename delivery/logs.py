"""Logs: one JSON object a line, on standard error; a readable form where a person watches.

A line carries an event's words, its logger, its level and time, the request id where there is one, and a traceback
of a bug. Values of requests never go in: no variables, no addresses, no tokens.
"""

import logging
import sys

import structlog

FIELDS = frozenset({"event", "level", "logger", "timestamp", "request_id", "exception"})


def write_logs(readable: bool) -> None:
    """Send everything that is logged, by ourselves and by libraries, through one formatter."""
    shared: list = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder({"request_id"}),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _only_known,
    ]
    last = structlog.dev.ConsoleRenderer(colors=False) if readable else structlog.processors.JSONRenderer(ensure_ascii=False)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, last]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    # httpx2 tells addresses with the tokens in them, Authlib the secrets of a sign-in.
    for noisy in ("tortoise", "asyncio", "websockets", "uvicorn", "httpx2", "httpcore2", "authlib"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _only_known(logger: object, name: str, line: dict) -> dict:
    return {key: value for key, value in line.items() if key in FIELDS or key.startswith("_")}

"""Plans: a document's selections, compiled once (see `wire/compiler.py`), run level by level.

A level builds the dicts of all its rows by one generated function; each of its edges then runs once for all of them
together. Whatever goes wrong is a `Surprise`: what was built is forgotten and stock execution answers instead, from
the same loads, so that nothing is read twice.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Hashable, Sequence
from dataclasses import dataclass
from itertools import chain
from types import NoneType
from typing import Any

from graphql import FieldNode, GraphQLField, get_argument_values
from graphql.execution.values import VariableValues

from models import database
from schema.context import Context
from schema.edges import edge_key
from schema.inputs import Build, converted

NO_VARIABLES = VariableValues({}, {})

Waiting = list[tuple[Any, dict[str, Any]]]
"""Rows, each with the dict that waits for what an edge leads to from it."""


class Surprise(Exception):
    """Something in a plan's run that only stock execution can turn into an answer."""


@dataclass(slots=True)
class Arguments:
    """The arguments of one field in one document: `names` says what Python calls each, and how it is converted.

    `fixed` are those of a field that names no variable: worked out once.
    """

    definition: GraphQLField
    node: FieldNode
    names: dict[str, tuple[str, Build | None]]
    fixed: dict[str, Any] | None = None

    def values(self, variables: VariableValues) -> dict[str, Any]:
        if self.fixed is not None:
            return self.fixed
        values = {}
        for name, value in get_argument_values(self.definition, self.node, variables).items():
            own, convert = self.names[name]
            values[own] = converted(value, convert)
        return values


@dataclass(slots=True)
class EdgeUse:
    """One edge as one document asks for it. `child` builds what it leads to, `finish` a leaf; one of them is set."""

    work: Callable[..., Any]
    response_key: str
    arguments: Arguments
    is_list: bool
    is_required: bool
    child: "Level | None" = None
    finish: Callable[[Any], Any] | None = None
    fixed_key: Hashable = None


@dataclass(slots=True)
class Change:
    """One root field of a mutation as one document asks for it."""

    work: Callable[..., Awaitable[Any]]
    response_key: str
    nodes: list[FieldNode]
    arguments: Arguments


@dataclass(slots=True)
class Level:
    """The rows of one type at one place of a document.

    `build(rows, context, edges, arguments)` gives a dict for each row, and adds to `edges[n]` what waits for edge n.
    `loads`: the rows have to be loaded first.
    """

    build: Callable[..., list[dict[str, Any]]]
    edges: list[EdgeUse]
    derived_arguments: list[Arguments]
    loads: bool = False


async def run(level: Level, rows: Sequence[Any], context: Context, variables: VariableValues) -> list[dict[str, Any]]:
    """The dicts of `rows`, with all that is below them.

    Raises:
        Surprise: the answer needs stock execution.
    """
    try:
        return await _run(level, rows, context, variables)
    except Surprise:
        raise
    except Exception as error:
        raise Surprise from error


async def _run(level: Level, rows: Sequence[Any], context: Context, variables: VariableValues) -> list[dict[str, Any]]:
    if level.loads:
        for row in rows:
            await row.load()
    waiting: list[Waiting] = [[] for _ in level.edges]
    built = level.build(rows, context, waiting, [one.values(variables) for one in level.derived_arguments])
    asked = [(use, pending) for use, pending in zip(level.edges, waiting, strict=True) if pending]
    if len(asked) > 1 and database.dialect() == "postgres":
        await _together([_follow(use, pending, context, variables) for use, pending in asked])
    else:  # SQLite answers in the loop: there is nothing to wait for together
        for use, pending in asked:
            await _follow(use, pending, context, variables)
    return built


async def _together(following: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Wait for all, even where one fails: what the others read is kept for stock execution."""
    for outcome in await asyncio.gather(*following, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome


async def _follow(use: EdgeUse, pending: Waiting, context: Context, variables: VariableValues) -> None:
    rows = [row for row, _ in pending]
    arguments = use.arguments.values(variables)
    key = use.fixed_key or edge_key(use.work, arguments)
    results = context.loads.found(key, rows)
    if results is None:
        results = await context.loads.run(key, rows, use.work(rows, context, **arguments))
    if use.child is None:
        _finish(use, pending, results)
    else:
        await _descend(use, use.child, pending, results, context, variables)


def _finish(use: EdgeUse, pending: Waiting, results: list[Any]) -> None:
    assert use.finish is not None
    for (_, target), result in zip(pending, results, strict=True):
        if result is not None:
            target[use.response_key] = use.finish(result)
        elif use.is_required:
            raise Surprise


async def _descend(
    use: EdgeUse, child: Level, pending: Waiting, results: list[Any], context: Context, variables: VariableValues
) -> None:
    name = use.response_key
    if NoneType in set(map(type, results)):
        if use.is_required:
            raise Surprise
        pending = [one for one, result in zip(pending, results, strict=True) if result is not None]
        results = [result for result in results if result is not None]
    rows = list(chain.from_iterable(results)) if use.is_list else results
    if any(issubclass(kind, NoneType | BaseException) for kind in set(map(type, rows))):
        raise Surprise
    built = await _run(child, rows, context, variables) if rows else []
    if not use.is_list:
        for (_, target), one in zip(pending, built, strict=True):
            target[name] = one
        return
    taken = 0
    for (_, target), result in zip(pending, results, strict=True):
        end = taken + len(result)
        target[name], taken = built[taken:end], end

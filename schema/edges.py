"""Fields of the graph, declared once and read by both ways of execution.

A field of an object is one of three things: an *attribute* of the row, found by name (`strawberry.field`); a *derived*
value, `(row, context, arguments) → value`; or an *edge* to other rows, `(rows, context, arguments) → one result a
row`, read for a whole level together. What a field is stands in its metadata, where `wire/execution.py` finds it.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from operator import attrgetter
from typing import Any

import strawberry
from strawberry.types import Info
from tortoise.models import Model

from schema.context import Context
from schema.fields import LIST_SIZE as LIST_SIZE
from schema.fields import attribute as attribute
from schema.fields import listed as listed
from schema.in_standing import in_standing
from schema.scalars import global_id

CHANGE, DERIVED, EDGE, EVENT = "change", "derived", "edge", "event"
LOADED, PERSONAL = "loaded", "personal"

Derive = Callable[..., Any]
Read = Callable[..., Awaitable[list[Any]]]


def loaded(name: str, *, description: str, size: int | None = None) -> Any:
    """The attribute `name` of a row that is read when it is asked for, by `await row.load()`."""

    async def resolver(root: Any) -> Any:
        return getattr(await root.load(), name)

    return strawberry.field(resolver=resolver, description=description, metadata={LOADED: name, LIST_SIZE: size})


def derived(work: Derive, *, description: str, size: int | None = None, personal: bool = False) -> Any:
    """A field computed from the row at hand: `work(row, context, **arguments)`, never waiting.

    `size` is how many entries a list is counted for in the cost of a document; `personal` marks a value that
    depends on who asks, so that it is never shared between viewers.
    """

    def resolver(root: Any, info: Info, **arguments: Any) -> Any:
        return work(root, info.context, **arguments)

    return _field(resolver, work, description, {DERIVED: work, LIST_SIZE: size, PERSONAL: personal})


def edge(work: Read, *, description: str, size: int | None = None, personal: bool = False) -> Any:
    """A field that leads to other rows: `await work(rows, context, **arguments)` gives one result for each row.

    A result that is an exception is raised where its row stands.
    """

    async def resolver(root: Any, info: Info, **arguments: Any) -> Any:
        context: Context = info.context

        async def batch(rows: list[Any]) -> list[Any]:
            return await work(rows, context, **arguments)

        return await context.loads.load(edge_key(work, arguments), root, batch)

    return _field(resolver, work, description, {EDGE: work, LIST_SIZE: size, PERSONAL: personal})


def root(work: Callable[..., Awaitable[Any]], *, description: str, personal: bool = False) -> Any:
    """A field of Query: `await work(context, **arguments)`."""

    async def read(rows: list[Any], context: Context, **arguments: Any) -> list[Any]:
        return [await work(context, **arguments)] * len(rows)

    read.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [_positional("rows"), *inspect.signature(work).parameters.values()]
    )
    return edge(read, description=description, personal=personal)


def to_one(model: type[Model], *, key: str, description: str) -> Any:
    """The row of `model` whose id is in this row's `key`; null where that is null."""

    key_of = attrgetter(key)

    async def read(rows: list[Any], context: Context) -> list[Any]:
        keys = list(map(key_of, rows))
        found = await context.loads.by_id(model, keys)
        return list(map(found.get, keys))

    return edge(read, description=description)


def looked_up(read: Callable[[list[int]], Awaitable[Mapping[int, Any]]], *, key: str = "id", many: bool = False) -> Read:
    """The work of an edge whose rows `read` finds by `key`, that attribute of the rows it leads from, for all of them at once:
    a list each with `many`, else one, null where there is none."""

    key_of = attrgetter(key)

    async def work(rows: list[Any], context: Context) -> list[Any]:
        keys = list(map(key_of, rows))
        found = await read(keys)
        return [found.get(one, []) for one in keys] if many else list(map(found.get, keys))

    return work


def identity(kind: str) -> Any:
    """The field `id` of the type `kind`."""

    def opaque(row: Any, context: Context) -> str:
        return global_id(kind, row.id)

    return derived(opaque, description="Opaque, unique in the whole graph; good for node(id).")


def owner_id(*, description: str) -> Any:
    """The id of the account whose the row is, by its `account_id`."""
    return derived(lambda row, context: global_id("Account", row.account_id), description=description)


def owner_external_id(*, description: str) -> Any:
    """The platform's id of the account whose the row is; null where the platform has none."""
    return edge(_external_ids, description=description)


async def _external_ids(rows: list[Any], context: Context) -> list[Any]:
    owners = await context.accounts([row.account_id for row in rows])
    return [owners[row.account_id].external_id for row in rows]


def stream(work: Callable[..., AsyncIterator[Any]], *, description: str, personal: bool = True) -> Any:
    """A field of Subscription: `work(context, **arguments)` yields its events, each of which is the field's value."""

    async def resolver(root: Any, info: Info, **arguments: Any) -> AsyncIterator[Any]:
        events = work(info.context, **arguments)
        try:
            async for event in events:
                yield event
        finally:
            await events.aclose()  # type: ignore[attr-defined]

    signed = inspect.signature(work)
    resolver.__signature__ = _signature(list(signed.parameters.values())[1:])  # type: ignore[attr-defined]
    resolver.__annotations__ = {"info": Info} | {p.name: p.annotation for p in list(signed.parameters.values())[1:]}
    return strawberry.subscription(resolver=resolver, description=description, metadata={EVENT: True, PERSONAL: personal})


def mutation(*, description: str) -> Callable[[Callable[..., Awaitable[Any]]], Any]:
    """Declare `async def work(context, **arguments) -> Answer` as the field of Mutation of the same name.

    A buyer whose standing does not allow it is refused before the work begins, whichever way it is executed.
    """

    def declare(work: Callable[..., Awaitable[Any]]) -> Any:
        work = in_standing(work)

        async def resolver(root: Any, info: Info, **arguments: Any) -> Any:
            return await work(info.context, **arguments)

        signed = inspect.signature(work)
        given = list(signed.parameters.values())[1:]
        resolver.__signature__ = _signature(given).replace(return_annotation=signed.return_annotation)  # type: ignore[attr-defined]
        resolver.__annotations__ = {"info": Info, "return": signed.return_annotation} | {p.name: p.annotation for p in given}
        return strawberry.mutation(resolver=resolver, description=description, metadata={CHANGE: work})

    return declare


def itself(row: Any, context: Context) -> Any:
    """For a type that shows more of the same row."""
    return row


def edge_key(work: Read, arguments: dict[str, Any]) -> Any:
    """What makes two reads of an edge the same read."""
    return (work, tuple((name, tuple(v) if isinstance(v, list) else v) for name, v in sorted(arguments.items())))


def _positional(name: str) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _signature(arguments: list[inspect.Parameter]) -> inspect.Signature:
    """What Strawberry reads the arguments from. A default of None means: not given, and stands in no SDL."""
    keywords = [
        parameter.replace(
            kind=inspect.Parameter.KEYWORD_ONLY,
            default=strawberry.UNSET if parameter.default is None else parameter.default,
        )
        for parameter in arguments
    ]
    info = inspect.Parameter("info", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Info)
    return inspect.Signature([_positional("root"), info, *keywords])


def _field(resolver: Callable, work: Callable, description: str, metadata: dict[str, Any]) -> Any:
    """A Strawberry field whose arguments are those of `work` after its first two."""
    arguments = list(inspect.signature(work).parameters.values())[2:]
    resolver.__signature__ = _signature(arguments)  # type: ignore[attr-defined]
    resolver.__annotations__ = {"info": Info} | {p.name: p.annotation for p in arguments}
    return strawberry.field(resolver=resolver, description=description, metadata=metadata)

"""A small graph with every kind of field, over lists in memory that note each read; run by plans and without."""

import asyncio
import enum
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import strawberry
from graphql import GraphQLSchema, parse, validate
from graphql.language import OperationDefinitionNode
from strawberry.schema.config import StrawberryConfig

from auth.viewer import Viewer
from models.refusals import ErrorCode, NotFound, Refusal
from schema.context import Context
from schema.edges import attribute, derived, edge, listed, mutation, root, stream
from schema.errors import Unavailable
from schema.scalars import SCALARS
from settings import Settings
from wire import execution
from wire.documents import Prepared
from wire.execution import Engine

NOW = datetime(2026, 3, 1, tzinfo=UTC)


@strawberry.enum
class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass
class Leaf:
    number: int
    tags: list[str | None] = field(default_factory=lambda: ["x", None])
    colour: Colour | None = Colour.BLUE
    weight: float | None = 1.5
    ripe: bool | None = True
    grown_at: int | None = None
    broken: Any = None


@dataclass
class Branch:
    name: str
    leaves: list[Leaf]
    next: "Branch | None" = None


class Reads(list[tuple[str, int]]):
    """What was read: the edge's name and for how many rows."""


def of(context: Context) -> Reads:
    return context.settings  # type: ignore[return-value]


async def _leaves(rows: list[Branch], context: Context, first: int = 10, colours: list[Colour] | None = None) -> list[Any]:
    of(context).append(("leaves", len(rows)))
    await asyncio.sleep(0)
    if first < 0:
        raise Refusal(ErrorCode.BAD_USER_INPUT, field="first")
    wanted = [Colour.RED, Colour.BLUE] if colours is None else colours
    return [[leaf for leaf in row.leaves if leaf.colour in wanted][:first] for row in rows]


async def _next(rows: list[Branch], context: Context) -> list[Any]:
    of(context).append(("next", len(rows)))
    return [row.next for row in rows]


async def _torn(rows: list[Branch], context: Context) -> list[Any]:
    of(context).append(("torn", len(rows)))
    return [NotFound(field=row.name) if row.name == "b" else row for row in rows]


async def _lost(rows: list[Branch], context: Context) -> list[Any]:
    of(context).append(("lost", len(rows)))
    raise RuntimeError("out of order")


async def _short(rows: list[Branch], context: Context) -> list[Any]:
    of(context).append(("short", len(rows)))
    return []


async def _count(rows: list[Branch], context: Context) -> list[Any]:
    of(context).append(("count", len(rows)))
    return [len(row.leaves) or None for row in rows]


def _shout(row: Branch, context: Context, times: int = 1, mark: str | None = None) -> str:
    if times > 9:
        raise Refusal(ErrorCode.BAD_USER_INPUT, field="times")
    return row.name.upper() * times + ("!" if mark is None else mark)


def _same(row: Any, context: Context) -> Any:
    return row


@strawberry.interface
class Named:
    name: str = attribute("Name.")


@strawberry.type
class LeafType:
    number: int = attribute("A whole number.")
    tags: list[str | None] = listed("Texts.", size=2)
    colour: Colour | None = attribute("An enum.")
    weight: float | None = attribute("A float.")
    ripe: bool | None = attribute("A boolean.")
    grown_at: int = attribute("Required, and null.")
    broken: int | None = attribute("Whatever the test puts there.")


@strawberry.type
class BranchType(Named):
    name: str = attribute("Name.")
    shout: str = derived(_shout, description="Derived, with arguments.")
    itself: "BranchType" = derived(_same, description="The same row once more.")
    leaves: list[LeafType] = edge(_leaves, description="An edge with arguments.", size=2)
    next: Annotated["BranchType", strawberry.lazy("tests.wire.small_graph")] | None = edge(_next, description="A null edge.")
    must: Annotated["BranchType", strawberry.lazy("tests.wire.small_graph")] = edge(_next, description="A required edge.")
    torn: Annotated["BranchType", strawberry.lazy("tests.wire.small_graph")] | None = edge(_torn, description="Fails for b.")
    lost: list[LeafType] | None = edge(_lost, description="Fails for all.", size=2)
    short: list[LeafType] | None = edge(_short, description="Gives too few results.", size=2)
    count: int | None = edge(_count, description="An edge to a leaf.")
    must_count: int = edge(_count, description="A required edge to a leaf.")

    @classmethod
    def is_type_of(cls, value: Any, info: Any) -> bool:
        return isinstance(value, Branch)


@strawberry.type
class Grown:
    branch: BranchType = strawberry.field(description="What has grown.")


@strawberry.type
class Refused:
    code: str = strawberry.field(description="Why.")


def grown() -> Branch:
    return Branch("a", [Leaf(1), Leaf(2, colour=Colour.RED, weight=None, ripe=None)], Branch("b", [], Branch("c", [Leaf(3, [])])))


TREE = grown()
TREES = [grown(), grown().next, grown().next.next]  # type: ignore[union-attr]


async def _tree(context: Context) -> Any:
    of(context).append(("tree", 1))
    return TREE


async def _trees(context: Context) -> Any:
    return TREES


async def _events(context: Context) -> AsyncIterator[Any]:
    yield TREE
    yield TREE.next


@strawberry.type
class Query:
    tree: BranchType | None = root(_tree, description="One branch.")
    trees: list[BranchType] = root(_trees, description="Three.")
    named: Named | None = root(_tree, description="An interface.")


@strawberry.input
class LeafInput:
    number: int
    colour: Colour | None = Colour.RED


@strawberry.input
class GraftInput:
    name: str
    leaves: list[LeafInput] | None = strawberry.UNSET


@strawberry.type
class Mutation:
    @mutation(description="Refuses much and fails for less than nothing.")
    async def grow(context: Context, by: int) -> Annotated[Grown | Refused | Unavailable, strawberry.union("GrowResult")]:
        of(context).append(("grow", by))
        if by < 0:
            raise Refusal(ErrorCode.BAD_USER_INPUT, field="by")
        return Grown(branch=TREE) if by < 10 else Refused(code="TOO_MUCH")  # type: ignore[arg-type]

    @mutation(description="Null where nothing grows, an error where it fails.")
    async def graft(context: Context, input: GraftInput) -> Grown | None:
        of(context).append((f"graft {input}", 1))
        if input.name == "fails":
            raise RuntimeError("broken")
        leaves = [Leaf(leaf.number, colour=leaf.colour) for leaf in input.leaves or ()]
        return None if input.name == "nothing" else Grown(branch=Branch(input.name, leaves))  # type: ignore[arg-type]

    @strawberry.mutation
    async def plant(self, info: strawberry.Info) -> Grown:
        return Grown(branch=TREE)  # type: ignore[arg-type]


@strawberry.type
class Subscription:
    grown: BranchType = stream(_events, description="Two branches.")


SCHEMA: GraphQLSchema = strawberry.Schema(Query, Mutation, Subscription, config=StrawberryConfig(scalar_map=SCALARS))._schema


def prepared(text: str) -> Prepared:
    document = parse(text)
    assert not validate(SCHEMA, document), validate(SCHEMA, document)
    operation = next(d for d in document.definitions if isinstance(d, OperationDefinitionNode))
    return Prepared(document, operation, (text, None), None)  # type: ignore[arg-type]


@dataclass
class Run:
    """One run: the answer's bytes, what was read, and which way it went."""

    answer: dict[str, Any]
    body: bytes
    reads: Reads
    counts: dict[str, int]


def context(reads: Reads) -> Context:
    return Context(viewer=Viewer(now=NOW), settings=reads, bus=None, passwords=None, request_id="r")  # type: ignore[arg-type]


async def answered(document: Prepared, variables: dict[str, Any], breadth_first: bool = True) -> Run:
    engine = Engine(SCHEMA, Settings(breadth_first=breadth_first))
    reads = Reads()
    answer = await execution.execute(engine, document, variables, context(reads))
    for _ in range(5):  # a null where none may be ends stock execution before all that it asked for is read
        await asyncio.sleep(0)
    return Run(answer, orjson.dumps(answer), reads, dict(engine.counts))


async def both(text: str, **variables: Any) -> tuple[Run, Run]:
    """The run with plans and the run without, after checking that they answer the same bytes."""
    document = prepared(text)
    planned, stock = await answered(document, variables), await answered(document, variables, breadth_first=False)
    assert planned.body == stock.body
    assert "planned" not in stock.counts
    return planned, stock

"""Both ways of execution answer the same bytes: generated queries over the whole schema, on a shop with every edge."""

import asyncio
import os
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import pytest_asyncio
from graphql import (
    FragmentDefinitionNode,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    get_named_type,
    parse,
    validate,
)

from auth.viewer import Viewer
from resolvers import sign_up
from resolvers.messages import RECEIVED
from resolvers.price_watch import DROPS
from schema.context import Context
from settings import Settings
from tests.databases import BOTH
from tests.filled_shop import Filled, fill
from tests.shop import Shop, open_shop
from tests.wire.queries import Place, Query, generated, one_for_each_field, reachable
from wire import compiler, execution, plans
from wire.documents import Prepared
from wire.execution import Engine
from wire.plans import Arguments
from wire.selections import Selections, below

FIXED_SEED = 20261122
FRESH_SEED = int(os.environ.get("KABINET_TEST_SEED") or random.randrange(2**32))
NEVER = {"SignInMethods.recommendation"}
"""What is empty here: no buyer of the filled shop has providers alone."""

COUNTS = {"sqlite": 250, "postgres": 60}
"""Queries of each seed; those for each field come on top."""


@dataclass
class World:
    shop: Shop
    filled: Filled
    dialect: str

    @property
    def schema(self) -> GraphQLSchema:
        return self.shop.service.engine.schema

    def context(self, viewer: Viewer) -> Context:
        return replace(self.shop.service.context(replace(viewer)), request_id="r")

    def engine(self, breadth_first: bool) -> Engine:
        settings = self.shop.service.settings.model_copy(update={"breadth_first": breadth_first})
        return Engine(self.schema, settings)


@pytest_asyncio.fixture(params=BOTH, scope="module", loop_scope="session")
async def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    async with open_shop(request.param, tmp_path_factory.mktemp("world")) as shop:
        yield World(shop, await fill(shop), request.param)


@pytest.fixture(autouse=True)
def one_challenge(monkeypatch: pytest.MonkeyPatch) -> None:
    """The only field that never answers the same twice answers one thing here."""

    async def same(settings: Settings) -> str:
        return "{}"

    monkeypatch.setattr(sign_up, "captcha_challenge", same)


def prepared(schema: GraphQLSchema, text: str) -> Prepared:
    document = parse(text)
    assert not validate(schema, document), text
    operation = next(d for d in document.definitions if isinstance(d, OperationDefinitionNode))
    return Prepared(document, operation, (text, None), None)  # type: ignore[arg-type]


class Comparison:
    """Runs queries both ways; notes what differs, how the planned way went, and which fields had data."""

    def __init__(self, world: World):
        self.world = world
        self.planned, self.stock = world.engine(True), world.engine(False)
        self.differing: list[str] = []
        self.seen: Counter[Place] = Counter()
        self.erroneous = 0

    async def compare(self, query: Query, viewer: str) -> None:
        document = prepared(self.world.schema, query.text)
        as_viewer = self.world.filled.viewers[viewer]
        planned = await execution.execute(self.planned, document, query.variables, self.world.context(as_viewer))
        stock = await execution.execute(self.stock, document, query.variables, self.world.context(as_viewer))
        if orjson.dumps(planned) != orjson.dumps(stock):
            self.differing.append(f"{viewer}: {query.text}\n{query.variables}\nplanned: {planned}\nstock: {stock}")
        self.erroneous += "errors" in stock
        if stock["data"] is not None:
            self._note(document, query.variables, stock["data"])

    def _note(self, of: Prepared, variables: dict[str, Any], data: dict[str, Any]) -> None:
        fragments = {d.name.value: d for d in of.document.definitions if isinstance(d, FragmentDefinitionNode)}
        selections = Selections(self.world.schema, fragments, variables)
        stack: list[tuple[GraphQLObjectType, Any, list]] = [(self.world.schema.query_type, data, [of.operation.selection_set])]  # type: ignore[list-item]
        while stack:
            kind, value, asked = stack.pop()
            selections.taken = 0  # one object after the other
            for key, nodes in selections.fields(kind, asked).items():
                name = nodes[0].name.value
                if name == "__typename":
                    continue
                found = value[key]
                entries = found if isinstance(found, list) else [found]
                entries = [entry for entry in entries if entry is not None]
                self.seen[kind.name, name] += len(entries)
                named = get_named_type(kind.fields[name].type)
                if isinstance(named, GraphQLObjectType):
                    stack += [(named, entry, below(nodes)) for entry in entries]

    def require_equal(self) -> None:
        assert not self.differing, f"{len(self.differing)} answers differ; seeds {FIXED_SEED}, {FRESH_SEED}\n" + "\n\n".join(self.differing[:3])


async def test_each_field_of_the_graph_by_itself(world: World) -> None:
    comparison = Comparison(world)
    for query in one_for_each_field(world.schema, world.filled.known, most_ids=12):
        await comparison.compare(query, "full")
    if world.dialect == "sqlite":
        for query in one_for_each_field(world.schema, world.filled.known):
            for viewer in world.filled.viewers:
                await comparison.compare(query, viewer)
    comparison.require_equal()
    unseen = {f"{kind}.{name}" for kind, name in reachable(world.schema) if not comparison.seen[kind, name]}
    assert unseen == NEVER, f"never with data: {', '.join(sorted(unseen))}"


async def test_generated_queries(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    comparison, shares = await compared(world, COUNTS[world.dialect])
    with capsys.disabled():
        print(f"\n{world.dialect}: seeds {FIXED_SEED} and {FRESH_SEED} (KABINET_TEST_SEED repeats it): {shares}")
    comparison.require_equal()
    assert shares["planned"] >= 0.6 * shares["queries"]
    assert 0 < comparison.erroneous < 0.4 * shares["queries"]


FROM_THE_BEGINNING = SimpleNamespace(number=0)
EVENTS = {
    "priceDrops": (3, """subscription($after: String!) { priceDrops(after: $after) { cursor at oldPrice { formatted } newPrice { amount }
        favorite { id watch { kind } product { title } } drop: product { id store { name } priceHistory(days: 90) { price { amount } } } } }"""),
    "messageReceived": (5, """subscription($after: String!) { messageReceived(after: $after) { ...Received } }
        fragment Received on MessageReceived { cursor message { id author text sentAt } conversation { kind unreadCount store { name }
        order { number items { title } } messages(last: 2) { edges { node { readAt } } } } }"""),
    "protectionChanged": (1, """subscription($order: ID!) { now: protectionChanged(orderId: $order) { phase startsAt endsAt ending frozen
        extensions { days by state at reason } } }"""),
}  # fmt: skip


@pytest.mark.parametrize("name", EVENTS)
async def test_events_are_answered_the_same_both_ways(world: World, name: str) -> None:
    count, text = EVENTS[name]
    variables = {"after": {"priceDrops": DROPS, "messageReceived": RECEIVED}.get(name, DROPS).cursor(FROM_THE_BEGINNING)}
    if name == "protectionChanged":
        variables = {"order": world.filled.known.ids["Order"][3]}
    document, found = prepared(world.schema, text), []
    for breadth_first in (True, False):
        engine = world.engine(breadth_first)
        events = execution.subscribe(engine, document, variables, world.context(world.filled.viewers["full"]))
        async with asyncio.timeout(60), aclosing(events):
            found.append([orjson.dumps((await anext(events)).payload) for _ in range(count)])
        assert engine.counts == {"planned" if breadth_first else "stock": count}
    assert found[0] == found[1]
    assert all(b'"errors"' not in payload for payload in found[0])


@pytest.mark.long
async def test_many_more_generated_queries(world: World) -> None:
    for _ in range(10):
        comparison, _ = await compared(world, 1000, random.randrange(2**32))
        comparison.require_equal()


FAULTS = {
    "arguments forgotten": (compiler, "_arguments", lambda definition, node: Arguments(definition, node, {}, {})),
    "values not serialised": (compiler, "_leaf", lambda source, kind, name: name),
    "counts forgotten": (plans, "_finish", lambda use, pending, results: None),
    "a type's name taken from elsewhere": (compiler, "repr", lambda value: f"{value + 's'!r}"),
}


@pytest.mark.parametrize(("module", "name", "fault"), FAULTS.values(), ids=FAULTS.keys())
async def test_a_fault_planted_in_plans_is_found(
    world: World, module: Any, name: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, name, fault, raising=False)
    comparison = Comparison(world)
    for query in one_for_each_field(world.schema, world.filled.known):
        await found_out(comparison, query)
        if comparison.differing:
            return
    pytest.fail("nothing differs")


async def found_out(comparison: Comparison, query: Query) -> None:
    try:
        await comparison.compare(query, "full")
    except TypeError as error:  # what orjson says to a value that was not serialised
        comparison.differing.append(str(error))


async def compared(world: World, count: int, fresh_seed: int = FRESH_SEED) -> tuple[Comparison, dict[str, Any]]:
    comparison = Comparison(world)
    viewers = random.Random(fresh_seed).choices(list(world.filled.viewers), [20, 1, 8, 0.5, 0.5], k=2 * count)
    found = [query for seed in (FIXED_SEED, fresh_seed) for query in generated(world.schema, world.filled.known, max(count, COUNTS["sqlite"]), seed)[:count]]
    for query, viewer in zip(found, viewers, strict=False):
        await comparison.compare(query, viewer)
    return comparison, {"queries": len(found), **comparison.planned.counts, "with errors": comparison.erroneous}

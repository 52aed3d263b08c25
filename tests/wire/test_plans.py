"""Plans, each kind of field and selection by itself: the same bytes as stock execution, from as many reads or fewer."""

from collections import Counter
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from graphql.execution import Executor

from settings import Settings
from tests.databases import BOTH, fresh_database
from tests.wire.small_graph import SCHEMA, TREE, Reads, Run, answered, both, context, prepared
from wire import compiler, execution
from wire.execution import Engine
from wire.executor import MOST_OUTCOMES, plans_of


@pytest_asyncio.fixture(params=BOTH, scope="module", loop_scope="session", autouse=True)
async def dialect(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Siblings run one by one on SQLite and together on PostgreSQL."""
    async with fresh_database(request.param, tmp_path_factory.mktemp("plans"), ["models.clock"]):
        yield request.param


PLANNED = {
    "attributes": "{ tree { name leaves { number tags colour weight ripe broken } } }",
    "aliases": "{ a: tree { b: name name } c: tree { d: leaves { n: number } } }",
    "typename": "{ __typename tree { __typename leaves { __typename } next { __typename } } }",
    "only typename": "{ __typename }",
    "null edge": "{ trees { name next { next { next { name } } } } }",
    "list of nothing": "{ trees { leaves(first: 0) { number } } }",
    "leaf edge": "{ trees { count } }",
    "the same row again": "{ tree { itself { itself { name leaves { number } } } } }",
    "same key merged": "{ tree { leaves { number } } tree { leaves { colour } name leaves { number tags } } }",
    "inline fragments": "{ tree { ... { name } ... on BranchType { leaves { ... on LeafType { number } } } ... on Named { n: name } } }",
    "fragments in fragments": "{ tree { ...A ...A } } fragment A on BranchType { ...B next { ...B } } fragment B on BranchType { name count ...C } fragment C on Named { o: name }",
    "literal switches": "{ tree { name @skip(if: true) o: name @include(if: true) ... @include(if: false) { count } ...A @skip(if: true) } } fragment A on BranchType { shout }",
    "arguments": '{ tree { shout a: shout(times: 2) b: shout(times: 2, mark: "?") c: shout(mark: null) } }',
    "enum in list": "{ tree { leaves(colours: [RED]) { number } b: leaves(colours: RED) { number } c: leaves(colours: []) { number } d: leaves(colours: null) { number } } }",
}


@pytest.mark.parametrize("text", PLANNED.values(), ids=PLANNED.keys())
async def test_a_plan_answers_what_stock_execution_answers(text: str, dialect: str) -> None:
    planned, stock = await both(text)
    assert planned.counts == {"planned": 1}
    assert "errors" not in planned.answer
    if dialect == "sqlite":  # two names of one edge are asked together on PostgreSQL
        assert len(planned.reads) <= len(stock.reads)


SURPRISING = {
    "required attribute is null": ("{ tree { leaves { number grownAt } name } }", None),
    "required edge is null": ("{ trees { name must { name } } }", None),
    "required leaf edge is null": ("{ trees { name mustCount } }", None),
    "one row's edge fails": ("{ trees { name torn { name } count } }", "NOT_FOUND"),
    "a whole edge fails": ("{ trees { name count lost { number } } }", "INTERNAL_SERVER_ERROR"),
    "an edge refuses": ("{ trees { name count leaves(first: -1) { number } } }", "BAD_USER_INPUT"),
    "too few results": ("{ trees { name count short { number } } }", "INTERNAL_SERVER_ERROR"),
    "a derived value fails": ("{ trees { count shout(times: 10) } }", "BAD_USER_INPUT"),
    "below a list": ("{ tree { next { next { leaves { grownAt } count } count } count } }", None),
}


@pytest.mark.parametrize(("text", "code"), SURPRISING.values(), ids=SURPRISING.keys())
async def test_what_goes_wrong_is_answered_by_stock_execution_from_the_same_reads(text: str, code: str | None) -> None:
    planned, stock = await both(text)
    assert planned.counts == {"surprised": 1, "stock": 1}
    assert planned.answer["errors"][0]["extensions"]["code"] == (code or "INTERNAL_SERVER_ERROR")
    assert rows_read(planned) == rows_read(stock), "something was read twice"
    assert len(planned.reads) <= len(stock.reads), "something was not read for all rows together"


def rows_read(run: Run) -> Counter[str]:
    """How many rows each edge was read for."""
    return sum((Counter({edge: rows}) for edge, rows in run.reads), Counter())


@pytest.mark.parametrize("value", ["7", 7.5, 2**31, pytest.param(object(), id="object"), True], ids=repr)
async def test_a_value_that_does_not_fit_its_type(value: object) -> None:
    TREE.leaves[0].broken = value
    try:
        planned, _ = await both("{ tree { leaves { broken } } }")
    finally:
        TREE.leaves[0].broken = None
    assert planned.counts in ({"planned": 1}, {"surprised": 1, "stock": 1})


@pytest.mark.parametrize("given", [{}, {"n": 3}, {"n": None}, {"n": 3, "c": ["BLUE"]}, {"c": None}, {"m": ""}, {"m": None}], ids=repr)
async def test_arguments_by_variable(given: dict) -> None:
    text = """query($n: Int = 1, $c: [Colour!], $m: String) { tree {
        shout(times: $n, mark: $m) leaves(first: $n, colours: $c) { number } o: leaves(colours: $c) { number } } }"""
    planned, _ = await both(text, **given)
    assert ("errors" in planned.answer) == (given.get("n", 1) is None)


async def test_a_list_with_variables_in_it() -> None:
    planned, _ = await both("query($c: Colour!) { tree { leaves(colours: [$c, BLUE]) { colour } } }", c="RED")
    assert planned.answer["data"]["tree"]["leaves"] == [{"colour": "BLUE"}, {"colour": "RED"}]


@pytest.mark.parametrize("on", [True, False])
async def test_switches_by_variable(on: bool) -> None:
    text = """query($on: Boolean!, $off: Boolean = false) { tree { name @include(if: $on) o: name @skip(if: $on)
        ... @include(if: $on) { count } ...A @skip(if: $off) @include(if: $on) } } fragment A on BranchType { shout @skip(if: $off) }"""
    planned, _ = await both(text, on=on)
    assert planned.counts == {"planned": 1}
    assert planned.answer["data"]["tree"] == ({"name": "a", "count": 2, "shout": "A!"} if on else {"o": "a"})


async def test_a_switch_that_is_null_is_an_error_and_not_off() -> None:
    planned, _ = await both("query($on: Boolean = true) { tree { name @include(if: $on) count } }", on=None)
    assert planned.answer["errors"] and planned.counts == {"stock": 1}


async def test_each_edge_is_read_once_a_level() -> None:
    planned, _ = await both("{ trees { leaves { number } next { leaves { number } next { leaves { number } } } } }")
    assert sorted(planned.reads) == sorted([("leaves", 3), ("next", 3), ("leaves", 2), ("next", 2), ("leaves", 1)])


async def test_the_same_edge_under_two_names_is_read_once() -> None:
    planned, stock = await both("{ tree { a: leaves { number } } b: tree { count } }")
    assert [read for read in planned.reads if read[0] == "tree"] == [("tree", 1)]
    assert sorted(planned.reads) == sorted(stock.reads)


@pytest.mark.parametrize(
    "text",
    [
        "{ named { __typename name ... on BranchType { leaves { number } } ... on Named { n: name } } }",
        "mutation { __typename grow(by: 1) { __typename ... on Grown { branch { name leaves { number } } } } }",
        "mutation { plant { branch { name leaves { number } } } }",
    ],
)
async def test_what_an_interface_or_a_union_holds_is_read_by_a_plan(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    planned, _ = await both(text)
    assert planned.counts == {"stock": 1}
    asked = []
    execute_field = Executor.execute_field
    monkeypatch.setattr(Executor, "execute_field", lambda self, parent, *rest: asked.append(parent.name) or execute_field(self, parent, *rest))
    assert (await answered(prepared(text), {})).body == planned.body
    assert set(asked) <= {"Query", "Mutation"}


async def test_each_payload_of_a_mutation_is_read_anew() -> None:
    text = """mutation { a: grow(by: 1) { ... on Grown { branch { name leaves { number } } } ... on Refused { code } }
        b: grow(by: 10) { __typename ... on Refused { code } } c: grow(by: 2) { ... on Grown { branch { leaves { colour } must { name } } } } }"""
    planned, stock = await both(text)
    assert planned.reads == [("grow", 1), ("leaves", 1), ("grow", 10), ("grow", 2), ("leaves", 1), ("next", 1)]
    assert sorted(planned.reads) == sorted(stock.reads)


GRAFTS = {
    "a union": ("mutation { grow(by: 1) { __typename ... on Grown { branch { name leaves { number } } } } }", {"planned": 1}),
    "refused, then not": (
        "mutation { a: grow(by: 10) { ... on Refused { code } } b: grow(by: 1) { ... on Grown { branch { name } } } }",
        {"planned": 2},
    ),
    "the same field twice": ("mutation { grow(by: 1) { __typename } grow(by: 1) { ... on Grown { branch { count } } } }", {"planned": 1}),
    "skipped": ("mutation($no: Boolean = false) { grow(by: 1) @include(if: $no) { __typename } a: grow(by: 2) { __typename } }", {"planned": 1}),
    "an input object": ('mutation { graft(input: {name: "x", leaves: [{number: 1}]}) { branch { name leaves { number colour } } } }', {"planned": 1}),
    "one by variable": ("mutation($n: Int!) { graft(input: {name: \"x\", leaves: {number: $n, colour: BLUE}}) { branch { leaves { number } } } }", {"planned": 1}),
    "one that may be left out by variable": (
        'mutation($c: Colour) { graft(input: {name: "x", leaves: [{number: 1, colour: $c}]}) { branch { leaves { colour } } } }',
        {"planned": 1},
    ),
    "null": ('mutation { graft(input: {name: "nothing"}) { branch { name } } grow(by: 1) { __typename } }', {"stock": 1, "planned": 1}),
    "a failing field that may be null": (
        'mutation { grow(by: 1) { __typename } graft(input: {name: "fails"}) { branch { name } } b: grow(by: 2) { __typename } }',
        {"planned": 3},
    ),
    "a failing field that may not": ("mutation { a: grow(by: 1) { __typename } b: grow(by: -1) { __typename } c: grow(by: 2) { __typename } }", {"planned": 2}),
    "an argument that cannot be": ("mutation($n: Int = 1) { grow(by: $n) { __typename } b: grow(by: 2) { __typename } }", {"planned": 1}),
    "a surprise below": (
        "mutation { a: grow(by: 1) { ... on Grown { branch { name torn { name } leaves { grownAt } } } } b: grow(by: 2) { __typename } }",
        {"surprised": 1, "stock": 1},
    ),
}


@pytest.mark.parametrize(("text", "counts"), GRAFTS.values(), ids=GRAFTS.keys())
async def test_a_mutation_is_called_once_and_answered_as_by_stock_execution(text: str, counts: dict[str, int]) -> None:
    given = {"n": None if "Int = 1" in text else 7, "c": "BLUE"}
    planned, stock = await both(text, **{name: value for name, value in given.items() if f"${name}:" in text})
    assert planned.counts == counts
    assert planned.reads == stock.reads


async def test_events_take_the_plan_and_answer_the_same() -> None:
    text = "subscription { grown { name leaves { number } next { must { name } } } }"
    answers = []
    for breadth_first in (True, False):
        engine = Engine(SCHEMA, Settings(breadth_first=breadth_first))
        events = execution.subscribe(engine, prepared(text), {}, context(Reads()))
        answers.append(([event.payload async for event in events], dict(engine.counts)))
    (planned, planned_counts), (stock, stock_counts) = answers
    assert planned == stock
    assert planned_counts == {"planned": 1, "surprised": 1, "stock": 1}
    assert stock_counts == {"stock": 2}


async def test_a_document_keeps_plans_for_few_outcomes_of_its_switches() -> None:
    names = [f"s{n}" for n in range(6)]
    text = f"query({' '.join(f'${n}: Boolean!' for n in names)}) {{ tree {{ name {' '.join(f'{n}: name @include(if: ${n})' for n in names)} }} }}"
    document = prepared(text)
    for outcome in range(64):
        switches = {name: bool(outcome >> n & 1) for n, name in enumerate(names)}
        planned = await answered(document, switches)
        assert planned.counts == {"planned": 1}
        assert planned.answer["data"]["tree"].keys() == {"name", *(name for name, on in switches.items() if on)}
    assert len(plans_of(SCHEMA, document)._outcomes) == MOST_OUTCOMES


async def test_a_document_of_many_fields_has_no_plan_and_is_answered_all_the_same() -> None:
    half = "... on BranchType { x: itself { ...%s } y: itself { ...%s } }"
    text = "{ tree { ...F0 } } " + " ".join(f"fragment F{n} on BranchType {{ {half % (f'F{n + 1}', f'F{n + 1}')} }}" for n in range(8))
    planned, _ = await both(text + " fragment F8 on BranchType { name shout count }")
    assert planned.counts == {"stock": 1}


async def test_comparing_finds_a_fault_planted_in_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiler, "_leaf", lambda source, kind, name: f"({name} if {name} != 2 else 3)")
    with pytest.raises(AssertionError):
        await both("{ tree { leaves { number } } }")


async def test_introspection_beside_data_has_no_plan_of_the_whole() -> None:
    planned, _ = await both("{ __schema { queryType { name } } tree { name leaves { number } } }")
    assert planned.counts == {"stock": 1}

"""The contract that clients rely on stands as written: the printed schema has all of it, and more where it is useful."""

import re
from pathlib import Path

import pytest
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLSchema,
    GraphQLUnionType,
    build_schema,
    is_specified_scalar_type,
    print_ast,
    print_schema,
)

from schema.root import build_schema as served
from schema.root import graphql_schema
from wire.limits import CREDENTIAL_FIELDS

CORE = Path(__file__).with_name("core.graphql")
PRINTED = Path(__file__).parents[2] / "docs" / "schema.graphql"
ELSEWHERE = """
input PutStoresInput { x: Int } input PutAccountsInput { x: Int } input PutProductsInput { x: Int } input PutFavoritesInput { x: Int }
input ShipOrdersInput { x: Int } input AddTrackingEventsInput { x: Int } input AnswerExtensionsInput { x: Int }
input IssueCouponsInput { x: Int } input SendSellerMessagesInput { x: Int }
"""
"""Types that the contract names and leaves to the developers."""

GROWN = {"SignInResult": {"SignedInApp", "SecondFactorRequired", "CaptchaFailed"}}
"""Members that unions have got since the contract was written: answers to inputs that it does not know, and refusals, which clients
that know them not show as a Refusal."""

DEMO_ONLY = {"advanceClock", "AdvanceClockResult", "ClockAdvanced"}


def contract() -> GraphQLSchema:
    """The contract, with the connections that it does not spell out."""
    text = CORE.read_text()
    rows = sorted(set(re.findall(r"\b(\w+)Connection\b", text)) - {"X"})
    spelled = "\n".join(
        f"type {row}Connection {{ edges: [{row}Edge!]! pageInfo: PageInfo! totalCount: Int }} type {row}Edge {{ cursor: String! node: {row} }}"
        for row in rows
    )
    text = re.sub(r"#.*", "", text)
    return build_schema(f"{text}\n{spelled}\n{ELSEWHERE}")


def differences(wanted: GraphQLSchema, present: GraphQLSchema, left_out: frozenset[str] = frozenset()) -> list[str]:
    """What of `wanted` is missing from `present` or stands otherwise there."""
    found = []
    for name, kind in wanted.type_map.items():
        if name.startswith("__") or is_specified_scalar_type(kind) or name in left_out:
            continue
        other = present.type_map.get(name)
        if other is None:
            found.append(f"{name}: missing")
        elif f"{name} {{ x: Int }}" not in ELSEWHERE:
            found += [f"{name}{what}" for what in _changed(kind, other, left_out)]
    return found


def _changed(kind: GraphQLNamedType, other: GraphQLNamedType, left_out: frozenset[str]) -> list[str]:
    if kind.ast_node is not None and kind.ast_node.kind != _kind(other):
        return [f": is another kind of type, {_kind(other)}"]
    if isinstance(kind, GraphQLUnionType) and isinstance(other, GraphQLUnionType):
        wanted, present = ({member.name for member in union.types} - GROWN.get(kind.name, set()) for union in (kind, other))
        return [f": members {sorted(present)}, not {sorted(wanted)}"] if wanted != present else []
    if isinstance(kind, GraphQLEnumType) and isinstance(other, GraphQLEnumType):
        return [f".{value}: missing" for value in kind.values if value not in other.values]
    if isinstance(kind, GraphQLInputObjectType) and isinstance(other, GraphQLInputObjectType):
        found = [line for name, field in kind.fields.items() for line in _input(f".{name}", field, other.fields.get(name))]
        return found + [f".{name}: new and required" for name, field in other.fields.items() if name not in kind.fields and _required(field)]
    if isinstance(kind, GraphQLObjectType | GraphQLInterfaceType) and isinstance(other, GraphQLObjectType | GraphQLInterfaceType):
        found = [f": implements no {of}" for of in {i.name for i in kind.interfaces} - {i.name for i in other.interfaces}]
        for name, field in kind.fields.items():
            there = other.fields.get(name)
            if name in left_out:
                continue
            if there is None:
                found.append(f".{name}: missing")
                continue
            if str(there.type) != str(field.type):
                found.append(f".{name}: {there.type}, not {field.type}")
            found += [line for arg, given in field.args.items() for line in _input(f".{name}({arg})", given, there.args.get(arg))]
            found += [f".{name}({arg}): new and required" for arg, given in there.args.items() if arg not in field.args and _required(given)]
        return found
    return []


def _kind(kind: GraphQLNamedType) -> str:
    return {
        "GraphQLObjectType": "object_type_definition", "GraphQLInterfaceType": "interface_type_definition",
        "GraphQLUnionType": "union_type_definition", "GraphQLEnumType": "enum_type_definition",
        "GraphQLInputObjectType": "input_object_type_definition", "GraphQLScalarType": "scalar_type_definition",
    }[next(base.__name__ for base in type(kind).__mro__ if base.__module__ == "graphql.type.definition")]  # fmt: skip


def _input(where: str, wanted, present) -> list[str]:
    if present is None:
        return [f"{where}: missing"]
    found = [] if str(wanted.type) == str(present.type) else [f"{where}: {present.type}, not {wanted.type}"]
    defaults = [_default(wanted), _default(present)]
    return found if defaults[0] == defaults[1] else [*found, f"{where}: default {defaults[1]}, not {defaults[0]}"]


def _default(argument) -> object:
    literal = argument.ast_node.default_value
    return print_ast(literal) if literal else None


def _required(argument) -> bool:
    return str(argument.type).endswith("!") and argument.ast_node.default_value is None


def printed(demo: bool) -> GraphQLSchema:
    """The schema as a client reads it."""
    return build_schema(served(demo=demo).as_str())


def test_nothing_of_the_contract_is_missing_or_changed_in_demo_mode() -> None:
    assert differences(contract(), printed(demo=True)) == []


def test_outside_demo_mode_only_the_clock_is_missing() -> None:
    present = printed(demo=False)
    assert differences(contract(), present, frozenset(DEMO_ONLY)) == []
    assert not DEMO_ONLY & {*present.type_map, *present.mutation_type.fields}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("was", "becomes", "said"),
    [
        ("node(id: ID!): Node", "node(id: ID!): Node!", "Query.node: Node!, not Node"),
        ("tab: OrderTab = ALL", "tab: OrderTab = SHIPPED", "Account.orders(tab): default SHIPPED, not ALL"),
        ("days: Int = 30", "days: Int", "Product.priceHistory(days): "),
        ("FavoriteAdded | NotFound | Unavailable", "FavoriteAdded | NotFound", "AddFavoriteResult: members"),
        ("PLATFORM STORE SPECIAL", "PLATFORM STORE", "CouponIssuer.SPECIAL: missing"),
        ("email: String phone: String", "email: String", "Account.phone: missing"),
        ("percent: Int paused: Boolean }", "percent: Int paused: Boolean now: Int! }", "SetWatchInput.now: new and required"),
        ("type Store implements Node {", "type Store {", "Store: implements no Node"),
        ("scalar Decimal", "enum Decimal { X }", "Decimal: is another kind"),
    ],
)
def test_a_changed_contract_is_found(was: str, becomes: str, said: str) -> None:
    text = re.sub(r"#.*", "", CORE.read_text())
    assert was in text
    spelled = print_schema(contract())
    changed = build_schema(text.replace(was, becomes, 1) + _rest(text, spelled), assume_valid=True)
    assert any(line.startswith(said) for line in differences(contract(), changed)), differences(contract(), changed)


def _rest(text: str, spelled: str) -> str:
    """The definitions of `spelled` that `text` lacks."""
    known = set(re.findall(r"\b(?:type|enum|input|union|interface|scalar) (\w+)", text))
    return "\n" + "\n\n".join(
        part for part in spelled.split("\n\n") if (name := re.match(r"(?:type|enum|input|union|interface|scalar) (\w+)", part)) and name[1] not in known
    )


def test_the_printed_schema_in_the_documentation_is_the_one_that_is_served() -> None:
    assert PRINTED.read_text() == served(demo=False).as_str() + "\n", "run: make schema"


def test_whatever_takes_a_secret_is_asked_once_an_operation() -> None:
    """Aliases of one mutation would be guesses that cost one request; see docs/limits.md."""
    mutations = graphql_schema(demo=True).mutation_type
    assert mutations is not None
    secret = re.compile(r"captcha|code|credential|current|password\w*|token", re.IGNORECASE)
    takes = {
        name
        for name, field in mutations.fields.items()
        for argument, given in field.args.items()
        if {named for named in (argument, *getattr(given.type, "of_type", given.type).__dict__.get("fields", {})) if secret.fullmatch(named)}
    }
    assert {"signIn", "signInByPasskey", "signUp", "resetPassword"} <= takes <= CREDENTIAL_FIELDS


def test_everything_is_described() -> None:
    bare = []
    for name, kind in graphql_schema(demo=True).type_map.items():
        if name.startswith("__") or is_specified_scalar_type(kind):
            continue
        if not kind.description:
            bare.append(name)
        for field, definition in getattr(kind, "fields", {}).items():
            bare += [f"{name}.{field}"] if not definition.description else []
            bare += [f"{name}.{field}({arg})" for arg, given in getattr(definition, "args", {}).items() if not given.description]
    assert not bare, f"without a description: {', '.join(bare)}"

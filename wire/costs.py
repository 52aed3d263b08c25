"""What a document costs: how deep it goes and how many objects it may bring, in time linear in its length.

Every definition is walked once, on a stack of our own; what a fragment measures is then put in wherever it is spread.
Circles of fragments add nothing here: validation reports them.
"""

from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_interface_type,
    is_leaf_type,
    is_object_type,
)

DEFAULT_PAGE = 20
LARGEST_PAGE = 100
DEFAULT_LIST = 5
INTROSPECTION = frozenset({"__schema", "__type"})
_ROWS_OF_A_PAGE = frozenset({"edges", "nodes"})


class UnsizedLists(Exception):
    """Lists of the schema that do not say how many entries the cost of a document counts for them."""


@dataclass(slots=True, frozen=True)
class Shape:
    """What a field counts for. `size` is how many objects it brings; None where the page around it says so."""

    type_name: str
    is_leaf: bool
    is_page: bool
    size: int | None


Shapes = dict[str, dict[str, Shape]]
Fragments = dict[str, FragmentDefinitionNode]


@dataclass(slots=True)
class Spread:
    """A fragment put in `depth` fields down, `times` times, on a page of `page` rows (0: that of the fragment around).

    `per_row`: once more for each row of the page that the fragment around is on.
    """

    name: str
    depth: int
    times: int
    page: int
    per_row: bool
    introspected: bool


@dataclass(slots=True)
class Measure:
    """What a definition counts for. `row_cost` counts for each row of the page that a fragment is put into."""

    depth: int = 0
    introspection_depth: int = 0
    cost: int = 0
    row_cost: int = 0
    spreads: list[Spread] = field(default_factory=list)


def list_size(of: GraphQLField) -> int | None:
    """How many entries the list `of` is counted for; None where it does not say."""
    declared = of.extensions.get("list_size")
    if declared is None and (definition := of.extensions.get("strawberry-definition")) is not None:
        declared = definition.metadata.get("list_size")
    return declared


def check_list_sizes(schema: GraphQLSchema) -> None:
    """Let no list into the schema whose cost nobody has thought of.

    Raises:
        UnsizedLists: names the fields.
    """
    wrong = [
        f"{type_name}.{name}"
        for type_name, fields in _fields(schema)
        for name, of in fields.items()
        if _is_list(of) and list_size(of) is None and not _is_row_of_page(type_name, name)
    ]
    if wrong:
        raise UnsizedLists(f"declare list_size at {', '.join(wrong)}")


def shapes_of(schema: GraphQLSchema) -> Shapes:
    """What each field of the schema counts for, by type and name."""
    return {
        type_name: {name: _shape(type_name, name, of) for name, of in fields.items()}
        for type_name, fields in _fields(schema)
    }


def measure(
    shapes: Shapes, selections: SelectionSetNode, type_name: str, page: int, variables: dict[str, int]
) -> Measure:
    """Walk one definition. `page` is 0 for a fragment, 1 for an operation; `variables` are sizes of pages by name,
    one that is not among them counts for the largest page."""
    found = Measure()
    stack = [(selections, type_name, 0, 1, page, False, False)]
    while stack:
        selection_set, name, depth, times, page, per_row, introspected = stack.pop()
        fields = shapes.get(name, {})
        for node in selection_set.selections:
            if isinstance(node, InlineFragmentNode):
                condition = node.type_condition.name.value if node.type_condition else name
                stack.append((node.selection_set, condition, depth, times, page, per_row, introspected))
            elif isinstance(node, FragmentSpreadNode):
                found.spreads.append(Spread(node.name.value, depth, times, page, per_row, introspected))
            elif isinstance(node, FieldNode):
                inside = introspected or (depth == 0 and node.name.value in INTROSPECTION)
                if inside:
                    found.introspection_depth = max(found.introspection_depth, depth + 1)
                else:
                    found.depth = max(found.depth, depth + 1)
                if node.selection_set is None:
                    continue
                shape = fields.get(node.name.value)
                if inside or shape is None or shape.is_leaf:
                    stack.append((node.selection_set, "", depth + 1, times, 1, per_row, inside))
                    continue
                own = times * (page or 1 if shape.size is None else shape.size)
                own_per_row = per_row or (shape.size is None and page == 0)
                if own_per_row:
                    found.row_cost += own
                else:
                    found.cost += own
                rows = _page_size(node, variables) if shape.is_page else 1
                stack.append((node.selection_set, shape.type_name, depth + 1, own, rows, own_per_row, False))
    return found


def put_together(own: dict[str, Measure]) -> dict[str, Measure]:
    """The measures of definitions by name, each with all that it spreads; a spread that closes a circle is left out."""
    whole: dict[str, Measure] = {}
    for first in own:
        if first in whole:
            continue
        path = [(first, iter(own[first].spreads))]
        on_path = {first}
        while path:
            name, spreads = path[-1]
            for spread in spreads:
                if spread.name in own and spread.name not in whole and spread.name not in on_path:
                    path.append((spread.name, iter(own[spread.name].spreads)))
                    on_path.add(spread.name)
                    break
            else:
                path.pop()
                on_path.discard(name)
                whole[name] = _with_spreads(own[name], whole)
    return whole


def page_variables(fragments: Fragments, selections: list[SelectionSetNode]) -> set[str]:
    """The variables that sizes of pages are taken from anywhere in a document."""
    names: set[str] = set()
    stack = [*selections, *(fragment.selection_set for fragment in fragments.values())]
    while stack:
        for node in stack.pop().selections:
            if isinstance(node, FieldNode):
                for argument in node.arguments or ():
                    if argument.name.value in ("first", "last") and isinstance(argument.value, VariableNode):
                        names.add(argument.value.name.value)
            if (below := getattr(node, "selection_set", None)) is not None:
                stack.append(below)
    return names


def page_size(value: Any) -> int:
    """How many rows a page is counted for that was asked for by `value`; what no page may be is refused later."""
    if type(value) is not int:
        return DEFAULT_PAGE if value is None else LARGEST_PAGE
    return min(max(value, 1), LARGEST_PAGE)


def literal_page_size(literal: ValueNode | None) -> int:
    """The same for a literal; None: nothing stands there."""
    if not isinstance(literal, IntValueNode):
        return page_size(None)
    return page_size(int(literal.value) if len(literal.value) < 12 else LARGEST_PAGE)


def _with_spreads(own: Measure, whole: dict[str, Measure]) -> Measure:
    total = Measure(own.depth, own.introspection_depth, own.cost, own.row_cost)
    for spread in own.spreads:
        part = whole.get(spread.name)
        if part is None:
            continue
        if spread.introspected:
            total.introspection_depth = max(total.introspection_depth, spread.depth + part.depth)
            continue
        total.depth = max(total.depth, spread.depth + part.depth)
        total.introspection_depth = max(total.introspection_depth, part.introspection_depth)
        once, each_row = spread.times * part.cost, spread.times * part.row_cost
        if spread.per_row:
            total.row_cost += once + each_row * spread.page
        elif spread.page == 0:
            total.cost += once
            total.row_cost += each_row
        else:
            total.cost += once + each_row * spread.page
    return total


def _page_size(node: FieldNode, variables: dict[str, int]) -> int:
    sizes = []
    for argument in node.arguments or ():
        if argument.name.value in ("first", "last"):
            value = argument.value
            if isinstance(value, VariableNode):
                sizes.append(variables.get(value.name.value, LARGEST_PAGE))
            elif isinstance(value, IntValueNode):
                sizes.append(literal_page_size(value))
    return max(sizes, default=DEFAULT_PAGE)


def _shape(type_name: str, name: str, of: GraphQLField) -> Shape:
    target = get_named_type(of.type)
    if is_leaf_type(target):
        size: int | None = 0
    elif _is_row_of_page(type_name, name):
        size = None
    else:
        size = (list_size(of) or DEFAULT_LIST) if _is_list(of) else 1
    return Shape(target.name, is_leaf_type(target), _is_page_type(target.name), size)


def _fields(schema: GraphQLSchema) -> list[tuple[str, dict[str, GraphQLField]]]:
    return [
        (name, of.fields)
        for name, of in schema.type_map.items()
        if not name.startswith("__") and (is_object_type(of) or is_interface_type(of))
    ]


def _is_list(of: GraphQLField) -> bool:
    kind = of.type.of_type if isinstance(of.type, GraphQLNonNull) else of.type
    return isinstance(kind, GraphQLList)


def _is_page_type(type_name: str) -> bool:
    return type_name.endswith("Connection")


def _is_row_of_page(type_name: str, name: str) -> bool:
    return _is_page_type(type_name) and name in _ROWS_OF_A_PAGE

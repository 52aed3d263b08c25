"""Selections compiled into plans.

A selection of attributes, derived values and edges (see `schema/edges.py`) becomes one generated function that builds
the dicts of a whole level. What is not of that kind (interfaces, unions, introspection, resolvers of another sort) has
no plan.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FieldNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    ObjectValueNode,
    SelectionSetNode,
    VariableNode,
    get_named_type,
    is_input_object_type,
    is_leaf_type,
)

from schema.edges import CHANGE, DERIVED, EDGE, EVENT, LOADED, edge_key
from schema.inputs import converter
from wire.plans import NO_VARIABLES, Arguments, Change, EdgeUse, Level, Surprise
from wire.selections import NotPlannable, Selections, below, response_key

STRAWBERRY = "strawberry-definition"
FIRST = "o0"  # the function that builds the level's own rows


@dataclass(slots=True)
class _Source:
    """The text of a level's generated function while it is written; `scope` are the objects that it names."""

    lines: list[str] = field(default_factory=list)
    scope: dict[str, Any] = field(default_factory=dict)
    edges: list[EdgeUse] = field(default_factory=list)
    arguments: list[Arguments] = field(default_factory=list)
    objects: int = 0
    values: int = 0
    loads: bool = False

    def named(self, value: Any) -> str:
        name = f"n{len(self.scope)}"
        self.scope[name] = value
        return name

    def function(self, first: str) -> Callable[..., list[dict[str, Any]]]:
        text = [
            "def build(rows, c, e, a):",
            *(f"    e{i} = e[{i}].append" for i in range(len(self.edges))),
            *self.lines,
            f"    return [{first}(r) for r in rows]",
        ]
        scope = {**self.scope, "text": _text, "surprise": _surprise}
        exec("\n".join(text), scope)
        return scope["build"]


def compiled(selections: Selections, kind: GraphQLObjectType, asked: Sequence[SelectionSetNode]) -> Level:
    """The plan of `asked` on rows of type `kind`.

    Raises:
        NotPlannable: stock execution must answer.
    """
    source = _Source()
    first = _object(source, selections, kind, asked)
    return Level(source.function(first), source.edges, source.arguments, source.loads)


def changes(selections: Selections, kind: GraphQLObjectType, asked: Sequence[SelectionSetNode]) -> list[Change]:
    """What `asked` of the mutation type calls, in this order.

    Raises:
        NotPlannable: stock execution must answer.
    """
    found = []
    for key, nodes in selections.fields(kind, asked).items():
        definition, declared = _declared(kind, nodes[0])
        if declared is None or CHANGE not in declared.metadata:
            raise NotPlannable
        found.append(Change(declared.metadata[CHANGE], key, nodes, _arguments(definition, nodes[0])))
    return found


def _object(
    source: _Source, selections: Selections, kind: GraphQLObjectType, asked: Sequence[SelectionSetNode]
) -> str:
    """Write the function that builds one object of `kind`; gives its name."""
    name = f"o{source.objects}"
    source.objects += 1
    entries, waits = [], []
    for key, nodes in selections.fields(kind, asked).items():
        definition, declared = _declared(kind, nodes[0])
        if declared is not None and EDGE in declared.metadata:
            waits.append(f"        e{len(source.edges)}((r, d))")
            source.edges.append(_edge(selections, definition, declared.metadata[EDGE], nodes))
            value = "None"
        else:
            if declared is not None and LOADED in declared.metadata:
                if name != FIRST:
                    raise NotPlannable  # what is loaded are the rows of the level
                source.loads = True
            value = _value(source, selections, kind, definition, declared, nodes)
        entries.append(f"{key!r}: {value}")
    made = f"{{{', '.join(entries)}}}"
    source.lines.append(f"    def {name}(r):")
    source.lines += [f"        d = {made}", *waits, "        return d"] if waits else [f"        return {made}"]
    return name


def _declared(kind: GraphQLObjectType, node: FieldNode) -> tuple[Any, Any]:
    """The field in the schema and in Strawberry; None and None for __typename."""
    if node.name.value == "__typename":
        return None, None
    definition = kind.fields.get(node.name.value)
    declared = definition.extensions.get(STRAWBERRY) if definition else None
    if declared is None:
        raise NotPlannable
    return definition, declared


def _value(
    source: _Source, selections: Selections, kind: GraphQLObjectType, definition: Any, declared: Any, nodes: list[FieldNode]
) -> str:
    """The expression of a field that is no edge, of the row `r`."""
    if declared is None:
        return repr(kind.name)
    if DERIVED in declared.metadata:
        value = f"{source.named(declared.metadata[DERIVED])}(r, c{_call_arguments(source, definition, nodes[0])})"
    elif EVENT in declared.metadata:
        value = "r"
    elif declared.base_resolver is None or LOADED in declared.metadata:
        value = f"r.{declared.python_name}"
    else:
        raise NotPlannable
    return _complete(source, selections, definition.type, value, nodes)


def _complete(
    source: _Source, selections: Selections, wanted: GraphQLOutputType, value: str, nodes: list[FieldNode]
) -> str:
    """The expression that turns `value` (an expression) into what stands in the answer."""
    kind, required = _bare(wanted)
    name = f"v{source.values}"
    source.values += 1
    if isinstance(kind, GraphQLList):
        done = f"[{_complete(source, selections, kind.of_type, 'x', nodes)} for x in {name}]"
    elif isinstance(kind, GraphQLObjectType):
        done = f"{_object(source, selections, kind, below(nodes))}({name})"
    elif isinstance(kind, GraphQLScalarType | GraphQLEnumType):
        done = _leaf(source, kind, name)
    else:
        raise NotPlannable
    return f"({'surprise()' if required else 'None'} if ({name} := {value}) is None else {done})"


def _leaf(source: _Source, kind: GraphQLScalarType | GraphQLEnumType, name: str) -> str:
    if kind.name in ("String", "ID"):
        return f"({name} if {name}.__class__ is str else text({name}))"
    serialize = f"{source.named(_serializer(kind))}({name})"
    if kind.name == "Int":
        return f"({name} if {name}.__class__ is int and -2147483648 <= {name} <= 2147483647 else {serialize})"
    if kind.name == "Boolean":
        return f"({name} if {name} is True or {name} is False else {serialize})"
    return serialize


def _edge(selections: Selections, definition: GraphQLField, work: Any, nodes: list[FieldNode]) -> EdgeUse:
    kind, required = _bare(definition.type)
    is_list = isinstance(kind, GraphQLList)
    if is_list:
        kind, _ = _bare(kind.of_type)
    if any(is_input_object_type(get_named_type(argument.type)) for argument in definition.args.values()):
        raise NotPlannable  # two such objects cannot be told to be the same read
    arguments = _arguments(definition, nodes[0])
    use = EdgeUse(work, response_key(nodes[0]), arguments, is_list, required)
    if arguments.fixed is not None:
        use.fixed_key = edge_key(work, arguments.fixed)
    if isinstance(kind, GraphQLObjectType):
        use.child = compiled(selections, kind, below(nodes))
    elif is_leaf_type(kind) and not is_list:
        use.finish = kind.coerce_output_value
    else:
        raise NotPlannable
    return use


def _call_arguments(source: _Source, definition: GraphQLField, node: FieldNode) -> str:
    if not definition.args:
        return ""
    source.arguments.append(_arguments(definition, node))
    return f", **a[{len(source.arguments) - 1}]"


def _arguments(definition: GraphQLField, node: FieldNode) -> Arguments:
    names = {}
    for name, argument in definition.args.items():
        declared = argument.extensions[STRAWBERRY]
        names[name] = declared.python_name, converter(declared.type)
    found = Arguments(definition, node, names)
    if not any(_has_variable(argument.value) for argument in node.arguments or ()):
        try:
            found.fixed = found.values(NO_VARIABLES)
        except Exception as error:
            raise NotPlannable from error
    return found


def _has_variable(node: Any) -> bool:
    if isinstance(node, ObjectValueNode):
        return any(_has_variable(field.value) for field in node.fields)
    return isinstance(node, VariableNode) or any(_has_variable(value) for value in getattr(node, "values", None) or ())


def _bare(kind: GraphQLOutputType) -> tuple[Any, bool]:
    return (kind.of_type, True) if isinstance(kind, GraphQLNonNull) else (kind, False)


def _serializer(kind: Any) -> Callable[[Any], Any]:
    if isinstance(kind, GraphQLEnumType):
        return {member: kind.coerce_output_value(member) for member in kind.wrapped_cls}.__getitem__  # type: ignore[attr-defined]
    return kind.coerce_output_value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    raise Surprise


def _surprise() -> None:
    raise Surprise

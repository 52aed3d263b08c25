"""Plans: a document's selections compiled once, run level by level.

Every selection of attributes, derived values and edges becomes one generated function that builds the dicts of a whole
level; each edge then runs once for all of the level's rows together. What is not of that kind (interfaces, unions,
introspection, resolvers of another sort) has no plan. Whatever goes wrong inside a plan is a `Surprise`: its result is
forgotten and stock execution answers instead, from the same loads, so nothing is read twice.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLEnumType,
    GraphQLField,
    GraphQLList,
    GraphQLNonNull,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLScalarType,
    GraphQLSchema,
    InlineFragmentNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    get_argument_values,
    is_abstract_type,
    is_leaf_type,
)
from graphql.execution.values import VariableValues

from models import database
from schema.context import Context
from schema.edges import DERIVED, EDGE, EVENT, edge_key

STRAWBERRY = "strawberry-definition"


class NotPlannable(Exception):
    """A selection that stock execution must answer."""


class Surprise(Exception):
    """Something in a plan's run that only stock execution can turn into an answer."""


@dataclass(slots=True)
class Arguments:
    """The arguments of one field in one document; those without variables are worked out once."""

    definition: GraphQLField
    node: FieldNode
    names: dict[str, str]
    fixed: dict[str, Any] | None

    def values(self, variables: VariableValues) -> dict[str, Any]:
        if self.fixed is not None:
            return self.fixed
        given = get_argument_values(self.definition, self.node, variables)
        return {self.names[name]: value for name, value in given.items()}


@dataclass(slots=True)
class EdgeUse:
    """One edge as one document asks for it. `child` builds what it leads to, `finish` a leaf; one of them is set."""

    work: Callable[..., Any]
    response_key: str
    arguments: Arguments
    is_list: bool
    is_required: bool
    items_required: bool
    child: "Level | None"
    finish: Callable[[Any], Any] | None


@dataclass(slots=True)
class Level:
    """The rows of one type at one place of a document. `build(rows, context, edges, arguments)` gives a dict a row
    and notes in `edges`, by the number of the edge, which dict waits for what of which row."""

    build: Callable[..., list[dict]]
    edges: list[EdgeUse]
    derived_arguments: list[Arguments]


@dataclass(slots=True)
class _Source:
    """The text of a level's generated function while it is written."""

    lines: list[str] = field(default_factory=list)
    scope: dict[str, Any] = field(default_factory=dict)
    edges: list[EdgeUse] = field(default_factory=list)
    arguments: list[Arguments] = field(default_factory=list)
    objects: int = 0
    values: int = 0

    def named(self, value: Any) -> str:
        name = f"n{len(self.scope)}"
        self.scope[name] = value
        return name


# ---------------------------------------------------------------- running


async def run(level: Level, rows: Sequence[Any], context: Context, variables: VariableValues) -> list[dict]:
    """The dicts of `rows`, edges and all that is below them included.

    Raises:
        Surprise: the answer needs stock execution.
    """
    waiting: list[list[tuple[Any, dict]]] = [[] for _ in level.edges]
    try:
        built = level.build(rows, context, waiting, [a.values(variables) for a in level.derived_arguments])
    except Surprise:
        raise
    except Exception as error:
        raise Surprise from error
    pairs = [(use, pending) for use, pending in zip(level.edges, waiting, strict=True) if pending]
    if len(pairs) > 1 and database.dialect() == "postgres":
        await _together([_follow(use, pending, context, variables) for use, pending in pairs])
    else:  # SQLite answers in the loop: there is nothing to wait for together
        for use, pending in pairs:
            await _follow(use, pending, context, variables)
    return built


async def _together(following: list[Any]) -> None:
    outcomes = await asyncio.gather(*following, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome


async def _follow(use: EdgeUse, pending: list[tuple[Any, dict]], context: Context, variables: VariableValues) -> None:
    rows = [row for row, _ in pending]
    try:
        arguments = use.arguments.values(variables)
    except Exception as error:
        raise Surprise from error
    key = edge_key(use.work, arguments)
    try:
        results = await use.work(rows, context, **arguments)
    except Exception as error:
        context.loads.keep(key, rows, [error] * len(rows))
        raise Surprise from error
    context.loads.keep(key, rows, results)
    await _place(use, pending, results, context, variables)


async def _place(
    use: EdgeUse, pending: list[tuple[Any, dict]], results: list[Any], context: Context, variables: VariableValues
) -> None:
    name, child = use.response_key, use.child
    if child is None:
        assert use.finish is not None
        for (_, target), result in zip(pending, results, strict=True):
            target[name] = use.finish(result)
        return
    targets, below = [], []
    for (_, target), result in zip(pending, results, strict=True):
        if result is None:
            if use.is_required:
                raise Surprise
        elif isinstance(result, BaseException):
            raise Surprise
        elif use.is_list:
            target[name] = [None] * len(result)
            targets += [(target[name], i) for i in range(len(result))]
            below += result
        else:
            targets.append((target, name))
            below.append(result)
    if not below:
        return
    if None in below:
        raise Surprise
    for (target, place), value in zip(targets, await run(child, below, context, variables), strict=True):
        target[place] = value


# ---------------------------------------------------------------- compiling


class Compiler:
    """Compiles selections of one document, for one outcome of its @include and @skip."""

    def __init__(self, schema: GraphQLSchema, fragments: dict[str, FragmentDefinitionNode], switches: dict[str, bool]):
        self.schema, self.fragments, self.switches = schema, fragments, switches

    def level(self, kind: GraphQLObjectType, selections: Sequence[SelectionSetNode]) -> Level:
        """The plan of `selections` on rows of type `kind`.

        Raises:
            NotPlannable: stock execution must answer.
        """
        source = _Source()
        first = self._object(source, kind, selections)
        head = "def build(rows, c, e, a):"
        body = [*source.lines, f"    return [{first}(r) for r in rows]"]
        scope = {**source.scope, "Surprise": Surprise, "text": _text, "whole": _whole}
        exec("\n".join([head, *(f"    e{i} = e[{i}]" for i in range(len(source.edges))), *body]), scope)
        return Level(scope["build"], source.edges, source.arguments)

    def _object(self, source: _Source, kind: GraphQLObjectType, selections: Sequence[SelectionSetNode]) -> str:
        """Write the function that builds one object of `kind`; gives its name."""
        number = source.objects
        source.objects += 1
        entries, waits = [], []
        for key, nodes in self._fields(kind, selections).items():
            value, edge = self._field(source, kind, nodes)
            entries.append(f"{key!r}: {value}")
            if edge is not None:
                waits.append(f"        e{edge}.append((r, d))")
        source.lines += [
            f"    def o{number}(r):",
            f"        d = {{{', '.join(entries)}}}",
            *waits,
            "        return d",
        ]
        return f"o{number}"

    def _fields(self, kind: GraphQLObjectType, selections: Sequence[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """The fields asked for of an object of `kind`, by response key, in order; fragments and switches applied."""
        found: dict[str, list[FieldNode]] = {}
        seen: set[str] = set()
        for selection_set in selections:
            self._collect(kind, selection_set, found, seen)
        return found

    def _collect(self, kind: GraphQLObjectType, within: SelectionSetNode, found: dict, seen: set[str]) -> None:
        for selection in within.selections:
            if not self._included(selection):
                continue
            if isinstance(selection, FieldNode):
                found.setdefault((selection.alias or selection.name).value, []).append(selection)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                if condition is None or self._applies(condition.name.value, kind):
                    self._collect(kind, selection.selection_set, found, seen)
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in seen:
                seen.add(selection.name.value)
                fragment = self.fragments[selection.name.value]
                if self._applies(fragment.type_condition.name.value, kind):
                    self._collect(kind, fragment.selection_set, found, seen)

    def _applies(self, condition: str, kind: GraphQLObjectType) -> bool:
        if condition == kind.name:
            return True
        named = self.schema.get_type(condition)
        return is_abstract_type(named) and self.schema.is_sub_type(named, kind)

    def _included(self, selection: SelectionNode) -> bool:
        for directive in selection.directives or ():
            if directive.name.value not in ("include", "skip"):
                raise NotPlannable
            value = directive.arguments[0].value
            on = self.switches[value.name.value] if isinstance(value, VariableNode) else value.value  # type: ignore[attr-defined]
            if on is (directive.name.value == "skip"):
                return False
        return True

    def _field(self, source: _Source, kind: GraphQLObjectType, nodes: list[FieldNode]) -> tuple[str, int | None]:
        """The expression of one field, and the number of its edge if it is one."""
        name = nodes[0].name.value
        if name == "__typename":
            return repr(kind.name), None
        definition = kind.fields.get(name)
        declared = definition.extensions.get(STRAWBERRY) if definition else None
        if definition is None or declared is None:
            raise NotPlannable
        metadata = declared.metadata
        if EDGE in metadata:
            return "None", self._edge(source, definition, declared, metadata[EDGE], nodes)
        if DERIVED in metadata:
            call = source.named(metadata[DERIVED])
            value = f"{call}(r, c{self._call_arguments(source, definition, declared, nodes[0])})"
        elif EVENT in metadata:
            value = "r"
        elif declared.base_resolver is None:
            value = f"r.{declared.python_name}"
        else:
            raise NotPlannable
        return self._complete(source, definition.type, value, nodes), None

    def _call_arguments(self, source: _Source, definition: GraphQLField, declared: Any, node: FieldNode) -> str:
        if not definition.args:
            return ""
        source.arguments.append(_arguments(definition, declared, node))
        return f", **a[{len(source.arguments) - 1}]"

    def _edge(self, source: _Source, definition: GraphQLField, declared: Any, work: Any, nodes: list[FieldNode]) -> int:
        kind, required = _bare(definition.type)
        is_list, items_required = isinstance(kind, GraphQLList), False
        if isinstance(kind, GraphQLList):
            kind, items_required = _bare(kind.of_type)
        child = finish = None
        if isinstance(kind, GraphQLObjectType):
            child = self.level(kind, _selections(nodes))
        elif is_leaf_type(kind) and not is_list:
            finish = _finisher(definition.type)
        else:
            raise NotPlannable
        source.edges.append(
            EdgeUse(
                work=work,
                response_key=(nodes[0].alias or nodes[0].name).value,
                arguments=_arguments(definition, declared, nodes[0]),
                is_list=is_list,
                is_required=required,
                items_required=items_required,
                child=child,
                finish=finish,
            )
        )
        return len(source.edges) - 1

    def _complete(self, source: _Source, wanted: GraphQLOutputType, value: str, nodes: list[FieldNode]) -> str:
        """The expression that turns `value` (an expression) into what stands in the answer."""
        kind, required = _bare(wanted)
        name = f"v{source.values}"
        source.values += 1
        if isinstance(kind, GraphQLList):
            inner = self._complete(source, kind.of_type, "x", nodes)
            done = f"[{inner} for x in {name}]"
        elif isinstance(kind, GraphQLObjectType):
            done = f"{self._object(source, kind, _selections(nodes))}({name})"
        elif isinstance(kind, GraphQLScalarType | GraphQLEnumType):
            if kind.name in ("String", "ID"):
                done = f"({name} if {name}.__class__ is str else text({name}))"
            elif kind.name == "Int":
                done = f"({name} if {name}.__class__ is int and -2147483648 <= {name} <= 2147483647 else whole({name}))"
            else:
                done = f"{source.named(_serializer(kind))}({name})"
        else:
            raise NotPlannable
        missing = f"text({name})" if required else "None"
        return f"({missing} if ({name} := {value}) is None else {done})"


def _selections(nodes: list[FieldNode]) -> list[SelectionSetNode]:
    return [node.selection_set for node in nodes if node.selection_set]


def _bare(kind: GraphQLOutputType) -> tuple[Any, bool]:
    return (kind.of_type, True) if isinstance(kind, GraphQLNonNull) else (kind, False)


def _arguments(definition: GraphQLField, declared: Any, node: FieldNode) -> Arguments:
    names = {graphql: argument.python_name for graphql, argument in _argument_names(definition, declared).items()}
    found = Arguments(definition, node, names, None)
    if not any(_has_variable(argument.value) for argument in node.arguments or ()):
        try:
            found.fixed = found.values(VariableValues({}, {}))
        except Exception as error:
            raise NotPlannable from error
    return found


def _argument_names(definition: GraphQLField, declared: Any) -> dict[str, Any]:
    by_python = {argument.python_name: argument for argument in declared.arguments}
    named = {}
    for name, argument in definition.args.items():
        declared_argument = argument.extensions[STRAWBERRY]
        named[name] = by_python[declared_argument.python_name]
    return named


def _has_variable(node: Any) -> bool:
    if isinstance(node, VariableNode):
        return True
    return any(_has_variable(value) for value in getattr(node, "values", None) or ()) or any(
        _has_variable(member.value) for member in getattr(node, "fields", None) or ()
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    raise Surprise


def _whole(value: Any) -> int:
    raise Surprise


def _serializer(kind: Any) -> Callable[[Any], Any]:
    if isinstance(kind, GraphQLEnumType):
        return {member: kind.coerce_output_value(member) for member in kind.wrapped_cls}.__getitem__  # type: ignore[attr-defined]
    return kind.coerce_output_value


def _finisher(wanted: GraphQLOutputType) -> Callable[[Any], Any]:
    kind, required = _bare(wanted)
    serialize = kind.coerce_output_value

    def finish(value: Any) -> Any:
        if value is None and not required:
            return None
        if value is None or isinstance(value, BaseException):
            raise Surprise
        try:
            return serialize(value)
        except Exception as error:
            raise Surprise from error

    return finish


def switch_names(fragments: dict[str, FragmentDefinitionNode], operation: Any) -> tuple[str, ...]:
    """The variables that @include and @skip of a document depend on."""
    names: set[str] = set()
    sets = [operation.selection_set, *(fragment.selection_set for fragment in fragments.values())]
    while sets:
        for selection in sets.pop().selections:
            for directive in selection.directives or ():
                names |= {a.value.name.value for a in directive.arguments if isinstance(a.value, VariableNode)}
            if getattr(selection, "selection_set", None):
                sets.append(selection.selection_set)
    return tuple(sorted(names))



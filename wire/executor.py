"""graphql-core's executor for what has no plan as a whole, with plans for the objects below that have one."""

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from graphql import (
    FragmentDefinitionNode,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    default_field_resolver,
    default_type_resolver,
)
from graphql.execution import Executor
from graphql.execution.collect_fields import FieldDetails, FragmentDetails
from graphql.execution.values import VariableValues
from graphql.pyutils import Path

from schema.context import Context, Loads
from wire.compiler import changes, compiled
from wire.documents import Prepared
from wire.plans import Change, Level, Surprise, run
from wire.selections import MOST_FIELDS, Fragments, NotPlannable, Selections, below, switch_names

MOST_OUTCOMES = 8

Place = tuple[str, tuple[int, ...]]
"""Where in a document a plan stands: a type, and the ids of the nodes that its selections are taken from."""


class Plans:
    """The plans of one document: those of its switches' latest outcomes, each of which has plans of its own."""

    def __init__(self, schema: GraphQLSchema, prepared: Prepared):
        definitions = prepared.document.definitions
        self.schema = schema
        self.fragments: Fragments = {d.name.value: d for d in definitions if isinstance(d, FragmentDefinitionNode)}
        self.details = {name: FragmentDetails(fragment, None) for name, fragment in self.fragments.items()}
        self.switches = switch_names(self.fragments, prepared.operation)
        self._outcomes: dict[tuple[bool, ...], Outcome] = {}

    def outcome(self, variables: VariableValues) -> "Outcome | None":
        """The plans for these variables; None where a switch is neither on nor off, which is an error."""
        values: tuple[Any, ...] = tuple([variables.coerced.get(name) for name in self.switches])
        if None in values:
            return None
        found = self._outcomes.get(values)
        if found is None:
            while len(self._outcomes) >= MOST_OUTCOMES or sum(one.fields for one in self._outcomes.values()) > MOST_FIELDS:
                del self._outcomes[next(iter(self._outcomes))]
            switches = dict(zip(self.switches, values, strict=True))
            found = self._outcomes[values] = Outcome(Selections(self.schema, self.fragments, switches))
        return found


class Outcome:
    """The plans of a document for one outcome of its switches, each compiled when it is first wanted."""

    def __init__(self, selections: Selections):
        self._selections = selections
        self._levels: dict[Place, Level | None] = {}
        self._changes: list[Change] | None = None

    @property
    def fields(self) -> int:
        return self._selections.taken

    def level(self, kind: GraphQLObjectType, asked: list[SelectionSetNode]) -> Level | None:
        """The plan of `asked` on rows of type `kind`; None where it has none."""
        place = (kind.name, tuple([id(one) for one in asked]))  # the document keeps its nodes, so ids stay their own
        if place not in self._levels:
            self._levels[place] = self._compiled(kind, asked)
        return self._levels[place]

    def changes(self, kind: GraphQLObjectType, asked: SelectionSetNode) -> list[Change]:
        """What a mutation calls, field by field; nothing where stock execution must."""
        if self._changes is None:
            try:
                self._changes = changes(self._selections, kind, [asked])
            except NotPlannable:
                self._changes = []
        return self._changes

    def _compiled(self, kind: GraphQLObjectType, asked: list[SelectionSetNode]) -> Level | None:
        try:
            return compiled(self._selections, kind, asked)
        except NotPlannable:
            return None


def plans_of(schema: GraphQLSchema, prepared: Prepared) -> Plans:
    found = prepared.plans.get("plans")
    if found is None:
        found = prepared.plans["plans"] = Plans(schema, prepared)
    return found


@dataclass(frozen=True, slots=True)
class Done:
    """What a field of a mutation has given: a value, or the error that it raised."""

    value: Any = None
    error: Exception | None = None

    async def again(self) -> Any:
        return self.value


class PlannedExecutor(Executor[Any]):
    """Answers each object by its plan where it has one and stands in no list; `outcome` None: never.

    In a list each object would run a plan of its own, and its edges one statement an object. What one field of a
    mutation has read may be old after the next one: each begins with nothing read. Where `done` is set, its value stands
    for what the root field resolves to.
    """

    outcome: Outcome | None = None
    done: Done | None = None

    def execute_field(  # type: ignore[override]
        self,
        parent_type: GraphQLObjectType,
        source: Any,
        field_details_list: list[FieldDetails],
        path: Path,
        position_context: Any,
    ) -> Any:
        if self.done is None or path.prev is not None:
            return super().execute_field(parent_type, source, field_details_list, path, position_context)
        nodes = [one.node for one in field_details_list]
        definition = parent_type.fields[nodes[0].name.value]
        info = self.build_resolve_info(definition, nodes, parent_type, path)
        return self.complete_awaitable_value(
            definition.type, field_details_list, info, path, self.done.again(), position_context
        )

    def collect_and_execute_subfields(  # type: ignore[override]
        self,
        return_type: GraphQLObjectType,
        field_details_list: list[FieldDetails],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        if path.prev is None and self.done is None and self.operation.operation is OperationType.MUTATION:
            self.context_value.loads = Loads()
        level = self._level(return_type, field_details_list, path)
        stock = super().collect_and_execute_subfields
        if level is None:
            return stock(return_type, field_details_list, path, result, position_context)

        async def answer() -> dict[str, Any]:
            try:
                return (await run(level, [result], self.context_value, self.variable_values))[0]
            except Surprise:
                found = stock(return_type, field_details_list, path, result, position_context)
                return await found if isinstance(found, Awaitable) else found

        return answer()

    def _level(self, kind: GraphQLObjectType, details: list[FieldDetails], path: Path | None) -> Level | None:
        if self.outcome is None or kind.name.startswith("__"):
            return None
        while path is not None:
            if isinstance(path.key, int):
                return None
            path = path.prev
        return self.outcome.level(kind, below([one.node for one in details]))


def executor(
    schema: GraphQLSchema,
    prepared: Prepared,
    variables: VariableValues,
    context: Context,
    outcome: Outcome | None,
    operation: OperationDefinitionNode | None = None,
) -> PlannedExecutor:
    """An executor of the document for these variables; `outcome` None: all of it the stock way.

    `operation` stands in the place of the document's own.
    """
    plans = plans_of(schema, prepared)
    made = PlannedExecutor(
        schema,
        plans.fragments,
        plans.details,
        None,
        context,
        operation or prepared.operation,
        variables,
        default_field_resolver,
        default_type_resolver,
        default_field_resolver,
        hide_suggestions=True,
    )
    made.outcome = outcome
    return made

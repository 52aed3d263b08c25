"""What a document asks of an object once its fragments and its @include and @skip are applied."""

from collections.abc import Iterable, Sequence
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    OperationDefinitionNode,
    SelectionNode,
    SelectionSetNode,
    VariableNode,
    is_abstract_type,
)

Fragments = dict[str, FragmentDefinitionNode]


MOST_FIELDS = 600
"""How many fields the plans of one outcome may have: fragments make many of a short document, and each costs memory."""


class NotPlannable(Exception):
    """A selection that stock execution must answer."""


class Selections:
    """The selections of one document, for one outcome of its switches: the variables of its @include and @skip.

    `taken` is how many fields have been asked for so far.
    """

    def __init__(self, schema: GraphQLSchema, fragments: Fragments, switches: dict[str, bool]):
        self.schema, self.fragments, self.switches = schema, fragments, switches
        self.taken = 0

    def fields(self, kind: GraphQLObjectType, within: Iterable[SelectionSetNode]) -> dict[str, list[FieldNode]]:
        """The fields asked for of an object of `kind`, by response key, in the order of the answer.

        Raises:
            NotPlannable: there is a directive that is neither @include nor @skip, or more than MOST_FIELDS are taken.
        """
        found: dict[str, list[FieldNode]] = {}
        spread: set[str] = set()
        for selections in within:
            self._collect(kind, selections, found, spread)
        self.taken += len(found)
        if self.taken > MOST_FIELDS:
            raise NotPlannable
        return found

    def _collect(
        self, kind: GraphQLObjectType, within: SelectionSetNode, found: dict[str, list[FieldNode]], spread: set[str]
    ) -> None:
        for selection in within.selections:
            if not self._is_included(selection):
                continue
            if isinstance(selection, FieldNode):
                found.setdefault(response_key(selection), []).append(selection)
            elif isinstance(selection, InlineFragmentNode):
                condition = selection.type_condition
                if condition is None or self._applies(condition.name.value, kind):
                    self._collect(kind, selection.selection_set, found, spread)
            elif isinstance(selection, FragmentSpreadNode) and selection.name.value not in spread:
                spread.add(selection.name.value)
                fragment = self.fragments[selection.name.value]
                if self._applies(fragment.type_condition.name.value, kind):
                    self._collect(kind, fragment.selection_set, found, spread)

    def _applies(self, condition: str, kind: GraphQLObjectType) -> bool:
        if condition == kind.name:
            return True
        named = self.schema.get_type(condition)
        return is_abstract_type(named) and self.schema.is_sub_type(named, kind)

    def _is_included(self, selection: SelectionNode) -> bool:
        for directive in selection.directives or ():
            if directive.name.value not in ("include", "skip"):
                raise NotPlannable
            (condition,) = directive.arguments or ()
            value: Any = condition.value
            on = self.switches[value.name.value] if isinstance(value, VariableNode) else value.value
            if on is (directive.name.value == "skip"):
                return False
        return True


def response_key(node: FieldNode) -> str:
    return (node.alias or node.name).value


def below(nodes: Sequence[FieldNode]) -> list[SelectionSetNode]:
    """What is asked for under a field that stands at several places of a document."""
    return [node.selection_set for node in nodes if node.selection_set]


def switch_names(fragments: Fragments, operation: OperationDefinitionNode) -> tuple[str, ...]:
    """The variables that @include and @skip of a document depend on."""
    names: set[str] = set()
    sets = [operation.selection_set, *(fragment.selection_set for fragment in fragments.values())]
    while sets:
        for selection in sets.pop().selections:
            for directive in selection.directives or ():
                names |= {a.value.name.value for a in directive.arguments or () if isinstance(a.value, VariableNode)}
            within = getattr(selection, "selection_set", None)
            if within is not None:
                sets.append(within)
    return tuple(sorted(names))

"""How much one document may ask for, told before it is validated. See docs/limits.md."""

from typing import Any

from graphql import (
    DirectiveNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLSchema,
    InlineFragmentNode,
    ListValueNode,
    ObjectValueNode,
    OperationDefinitionNode,
    OperationType,
    StringValueNode,
    ValueNode,
    VariableNode,
)

from models.refusals import ErrorCode
from settings import Settings
from wire.costs import (
    LARGEST_PAGE,
    Fragments,
    Measure,
    literal_page_size,
    measure,
    page_size,
    page_variables,
    put_together,
    shapes_of,
)
from wire.errors import RequestError
from wire.merging import check_merging

MAX_INTROSPECTION_DEPTH = 20
MAX_STRING_BYTES = 10 * 1024
MAX_LIST = 100
MAX_ROWS = 500
ROWS = "rows"
CREDENTIAL_FIELDS = frozenset(
    {
        *("answerSecondFactor", "confirmSecondFactor", "renewRecoveryCodes", "removeSecondFactor"),
        *("beginPasskey", "addPasskey", "beginPasskeySignIn", "signInByPasskey", "reauthenticateByPasskey"),
        *("signIn", "refreshSession", "reauthenticate", "requestPhoneCode", "verifyPhoneCode"),
        *("signUp", "activate", "changePassword", "requestPasswordReset", "resetPassword"),
        *("requestEmailChange", "confirmEmailChange", "findAccount"),
    }
)
_COSTS_KEPT = 64


class Limits:
    """The limits of one schema under one set of settings; keeps nothing of the documents it looks at."""

    def __init__(self, schema: GraphQLSchema, settings: Settings):
        self.settings = settings
        self.shapes = shapes_of(schema)
        roots = {
            OperationType.QUERY: schema.query_type,
            OperationType.MUTATION: schema.mutation_type,
            OperationType.SUBSCRIPTION: schema.subscription_type,
        }
        self.roots = {kind: of.name if of else "" for kind, of in roots.items()}

    def check(self, document: DocumentNode) -> "Reach":
        """What does not depend on variables; the answer checks what does.

        Raises:
            RequestError: QUERY_TOO_COMPLEX; BAD_USER_INPUT for a literal that is too large.
        """
        fragments: Fragments = {}
        operations: list[OperationDefinitionNode] = []
        for definition in document.definitions:
            if isinstance(definition, FragmentDefinitionNode):
                fragments.setdefault(definition.name.value, definition)
            elif isinstance(definition, OperationDefinitionNode):
                operations.append(definition)
        row_variables = _check_text([*operations, *fragments.values()], self.settings)
        for operation in operations:
            _check_roots(operation, fragments, self.settings)
        check_merging([operation.selection_set for operation in operations], fragments)
        return Reach(self, operations, fragments, row_variables)


class Reach:
    """How far a document reaches: its measures, and the costs of its operations for the pages that were asked for."""

    __slots__ = ("costs", "fragments", "introspects", "limits", "most", "page_variables", "row_variables")

    def __init__(
        self,
        limits: Limits,
        operations: list[OperationDefinitionNode],
        fragments: Fragments,
        row_variables: frozenset[str],
    ):
        self.limits = limits
        self.fragments = fragments
        self.row_variables = row_variables
        self.page_variables = sorted(page_variables(fragments, [o.selection_set for o in operations]))
        self.costs: dict[tuple[Any, ...], int] = {}
        self.most = 0
        self.introspects = False
        for operation in operations:
            whole = self._measure(operation, {})
            if whole.depth > limits.settings.max_depth or whole.introspection_depth > MAX_INTROSPECTION_DEPTH:
                raise RequestError(400, ErrorCode.QUERY_TOO_COMPLEX)
            self.most = max(self.most, whole.cost)
            self.introspects |= whole.introspection_depth > 0

    def check(self, operation: OperationDefinitionNode, variables: dict[str, Any]) -> None:
        """What depends on the variables of this request.

        Raises:
            RequestError: QUERY_TOO_COMPLEX, BAD_USER_INPUT.
        """
        if variables:
            check_variables(variables, self.row_variables)
        if (
            self.most > self.limits.settings.max_cost
            and self.cost(operation, variables) > self.limits.settings.max_cost
        ):
            raise RequestError(400, ErrorCode.QUERY_TOO_COMPLEX)

    def cost(self, operation: OperationDefinitionNode, variables: dict[str, Any]) -> int:
        """What the operation costs with the pages that these variables ask for."""
        pages = {name: LARGEST_PAGE for name in self.page_variables}
        for definition in operation.variable_definitions or ():
            name = definition.variable.name.value
            if name in pages:
                default = literal_page_size(definition.default_value)
                pages[name] = page_size(variables[name]) if name in variables else default
        key = (id(operation), *pages.values())
        if key not in self.costs:
            if len(self.costs) >= _COSTS_KEPT:
                self.costs.clear()
            self.costs[key] = self._measure(operation, pages).cost
        return self.costs[key]

    def _measure(self, operation: OperationDefinitionNode, pages: dict[str, int]) -> Measure:
        shapes = self.limits.shapes
        own = {
            name: measure(shapes, fragment.selection_set, fragment.type_condition.name.value, 0, pages)
            for name, fragment in self.fragments.items()
        }
        own[""] = measure(shapes, operation.selection_set, self.limits.roots[operation.operation], 1, pages)
        return put_together(own)[""]


def check_variables(variables: dict[str, Any], row_variables: frozenset[str] = frozenset()) -> None:
    """Refuse texts and lists that are too large. `row_variables` stand where an input's `rows` are expected.

    Raises:
        RequestError: BAD_USER_INPUT; `field` is the variable.
    """
    for name, value in variables.items():
        stack = [(MAX_ROWS if name in row_variables else MAX_LIST, value)]
        while stack:
            most, value = stack.pop()
            kind = type(value)
            if kind is str:
                if len(value) * 4 > MAX_STRING_BYTES and len(value.encode()) > MAX_STRING_BYTES:
                    raise RequestError(400, ErrorCode.BAD_USER_INPUT, field=name)
            elif kind is list:
                if len(value) > most:
                    raise RequestError(400, ErrorCode.BAD_USER_INPUT, field=name)
                stack.extend((MAX_LIST, entry) for entry in value)
            elif kind is dict:
                stack.extend((MAX_ROWS if key == ROWS else MAX_LIST, entry) for key, entry in value.items())


def _check_text(
    definitions: list[OperationDefinitionNode | FragmentDefinitionNode], settings: Settings
) -> frozenset[str]:
    """Count aliases and directives, measure literals; the variables that stand for `rows`."""
    aliases = directives = 0
    row_variables: set[str] = set()
    stack: list[Any] = list(definitions)
    while stack:
        node = stack.pop()
        own: tuple[DirectiveNode, ...] = node.directives or ()
        directives += len(own)
        for directive in own:
            for argument in directive.arguments or ():
                _check_literal(argument.value, row_variables)
        if isinstance(node, FieldNode):
            aliases += node.alias is not None
            for argument in node.arguments or ():
                _check_literal(argument.value, row_variables)
        elif isinstance(node, OperationDefinitionNode):
            for variable in node.variable_definitions or ():
                directives += len(variable.directives or ())
                if variable.default_value is not None:
                    _check_literal(variable.default_value, row_variables)
        if not isinstance(node, FragmentSpreadNode) and node.selection_set is not None:
            stack.extend(node.selection_set.selections)
    if aliases > settings.max_aliases or directives > settings.max_directives:
        raise RequestError(400, ErrorCode.QUERY_TOO_COMPLEX)
    return frozenset(row_variables)


def _check_literal(literal: ValueNode, row_variables: set[str]) -> None:
    stack: list[tuple[int, ValueNode]] = [(MAX_LIST, literal)]
    while stack:
        most, node = stack.pop()
        if isinstance(node, StringValueNode):
            if len(node.value.encode(errors="replace")) > MAX_STRING_BYTES:
                raise RequestError(400, ErrorCode.BAD_USER_INPUT)
        elif isinstance(node, ListValueNode):
            if len(node.values) > most:
                raise RequestError(400, ErrorCode.BAD_USER_INPUT)
            stack.extend((MAX_LIST, entry) for entry in node.values)
        elif isinstance(node, ObjectValueNode):
            for entry in node.fields:
                is_rows = entry.name.value == ROWS
                if is_rows and isinstance(entry.value, VariableNode):
                    row_variables.add(entry.value.name.value)
                stack.append((MAX_ROWS if is_rows else MAX_LIST, entry.value))


def _check_roots(operation: OperationDefinitionNode, fragments: Fragments, settings: Settings) -> None:
    """Count the fields an operation begins with, by the name they answer under, fragments written out."""
    names: dict[str, str] = {}
    seen: set[str] = set()
    stack = [operation.selection_set]
    while stack:
        for node in stack.pop().selections:
            if isinstance(node, FieldNode):
                names[(node.alias or node.name).value] = node.name.value
            elif isinstance(node, InlineFragmentNode):
                stack.append(node.selection_set)
            elif isinstance(node, FragmentSpreadNode) and node.name.value not in seen:
                seen.add(node.name.value)
                if node.name.value in fragments:
                    stack.append(fragments[node.name.value].selection_set)
    is_mutation = operation.operation is OperationType.MUTATION
    if (
        len(names) > (settings.max_root_mutations if is_mutation else settings.max_root_fields)
        or sum(name in CREDENTIAL_FIELDS for name in names.values()) > 1
    ):
        raise RequestError(400, ErrorCode.QUERY_TOO_COMPLEX)

"""Documents: parsed, measured and validated once for each text, then found again in a bounded cache."""

import re
from typing import Any

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    OperationDefinitionNode,
    parse,
    specified_rules,
    validate,
)
from graphql.validation import ValuesOfCorrectTypeRule

from models.refusals import ErrorCode
from settings import Mode, Settings
from wire.errors import Detail, RequestError
from wire.limits import Limits, Reach

MOST_FAULTS = 5
MEAN_DOCUMENT = 2048  # characters; the cache holds no more than this for each of its places

_FOUND_VALUE = re.compile(r'\b(found|Unexpected) (Int|Float|String|BlockString|Name) ".*"', re.DOTALL)
_HINT = re.compile(r" Did you mean .*", re.DOTALL)  # one rule gives it although suggestions are hidden
_TOO_MANY_TOKENS = re.compile(r"Document contains more than \d+ tokens")


class Prepared:
    """An operation that may be run. `kind` is query, mutation or subscription; `plans` is the executor's to fill."""

    __slots__ = ("document", "key", "kind", "operation", "plans", "reach")

    def __init__(
        self, document: DocumentNode, operation: OperationDefinitionNode, key: tuple[str, str | None], reach: Reach
    ):
        self.document = document
        self.operation = operation
        self.kind = operation.operation.value
        self.key = key
        self.plans: dict[Any, Any] = {}
        self.reach = reach


class Documents:
    """Every document of one schema that was asked for lately."""

    def __init__(self, schema: GraphQLSchema, settings: Settings):
        self.schema = schema
        self.settings = settings
        self.limits = Limits(schema, settings)
        self.introspection = settings.mode is not Mode.PRODUCTION
        self._kept: dict[tuple[str, str | None], Prepared] = {}
        self._characters = 0

    def prepare(self, query: str, operation_name: str | None, variables: dict[str, Any]) -> Prepared:
        """The operation to run, fit for these variables (their types are not looked at yet).

        Raises:
            RequestError: GRAPHQL_PARSE_FAILED, QUERY_TOO_COMPLEX, INTROSPECTION_DISABLED, GRAPHQL_VALIDATION_FAILED,
                BAD_USER_INPUT, OPERATION_RESOLUTION_FAILURE, in this order.
        """
        key = (query, operation_name)
        prepared = self._kept.pop(key, None)
        if prepared is None:
            prepared = self._prepared(key)
            self._make_room(len(query))
        self._kept[key] = prepared  # at the end: the first is the one not asked for longest
        prepared.reach.check(prepared.operation, variables)
        return prepared

    def _prepared(self, key: tuple[str, str | None]) -> Prepared:
        query, operation_name = key
        document = parsed(query, self.settings.max_tokens)
        reach = self.limits.check(document)
        if reach.introspects and not self.introspection:
            raise RequestError(400, ErrorCode.INTROSPECTION_DISABLED)
        _validate(self.schema, document)
        return Prepared(document, _operation(document, operation_name), key, reach)

    def _make_room(self, characters: int) -> None:
        self._characters += characters
        places = self.settings.document_cache_size
        while self._kept and (len(self._kept) >= places or self._characters > places * MEAN_DOCUMENT):
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._characters -= len(oldest[0])


def parsed(query: str, max_tokens: int) -> DocumentNode:
    """The document in `query`.

    Raises:
        RequestError: GRAPHQL_PARSE_FAILED, or QUERY_TOO_COMPLEX where it is too long.
    """
    try:
        return parse(query, max_tokens=max_tokens)
    except GraphQLError as error:
        if _TOO_MANY_TOKENS.search(error.message):
            raise RequestError(400, ErrorCode.QUERY_TOO_COMPLEX) from None
        detail = Detail(_FOUND_VALUE.sub(r"\1 \2", error.message), _locations(error))
        raise RequestError(400, ErrorCode.GRAPHQL_PARSE_FAILED, details=[detail]) from None


class _ValueFault(GraphQLError):
    """A literal that does not fit its type; the message does not repeat it."""


class _ValuesWithoutEcho(ValuesOfCorrectTypeRule):
    def report_error(self, error: GraphQLError) -> None:
        expected = self.context.get_input_type()
        self.context.report_error(_ValueFault(f"Expected a value of type '{expected}'.", error.nodes))


_RULES = tuple(_ValuesWithoutEcho if rule is ValuesOfCorrectTypeRule else rule for rule in specified_rules)


def _validate(schema: GraphQLSchema, document: DocumentNode) -> None:
    faults = validate(schema, document, _RULES, max_errors=MOST_FAULTS, hide_suggestions=True)
    if not faults:
        return
    only_values = all(isinstance(fault, _ValueFault) for fault in faults[:MOST_FAULTS])
    raise RequestError(
        400,
        ErrorCode.BAD_USER_INPUT if only_values else ErrorCode.GRAPHQL_VALIDATION_FAILED,
        details=[Detail(_HINT.sub("", fault.message), _locations(fault)) for fault in faults[:MOST_FAULTS]],
    )


def _operation(document: DocumentNode, name: str | None) -> OperationDefinitionNode:
    operations = [d for d in document.definitions if isinstance(d, OperationDefinitionNode)]
    if name is not None:
        operations = [operation for operation in operations if operation.name and operation.name.value == name]
    if len(operations) != 1:
        raise RequestError(400, ErrorCode.OPERATION_RESOLUTION_FAILURE)
    return operations[0]


def _locations(error: GraphQLError) -> list[dict[str, int]]:
    return [{"line": place.line, "column": place.column} for place in error.locations or ()]

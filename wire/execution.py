"""Execution: a prepared document becomes an answer, breadth first where it can, by graphql-core where it cannot."""

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace
from typing import Any

from graphql import ExecutionResult, GraphQLError, GraphQLObjectType, GraphQLSchema
from graphql.execution.execute import create_source_event_stream, execute_subscription_event
from graphql.execution.values import VariableValues, get_variable_values

from models.clock import now
from models.refusals import ErrorCode, Failure, Refusal
from schema.context import Context, Loads
from settings import Settings
from wire.documents import Prepared
from wire.errors import RequestError, error_body, logged
from wire.executor import Outcome, PlannedExecutor, executor, plans_of
from wire.mutations import change
from wire.plans import NO_VARIABLES, Surprise, run

MOST_ERRORS = 20


@dataclass(frozen=True, slots=True)
class Engine:
    """What execution needs. `counts` tells how often an answer was `planned`, met a surprise, and went the stock way; each
    root field of a mutation is an answer of its own."""

    schema: GraphQLSchema
    settings: Settings
    counts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Event:
    """One answer of a subscription; `cursor` is where it stands, None where it cannot be resumed from."""

    payload: dict[str, Any]
    cursor: str | None


async def execute(engine: Engine, prepared: Prepared, variables: dict[str, Any], context: Context) -> dict[str, Any]:
    """The answer to a query or a mutation: `{"data": …}`, with `errors` where there are any.

    Raises:
        RequestError: BAD_USER_INPUT, the variables do not fit.
        Failure: TIMEOUT.
    """
    coerced = _variables(engine, prepared, variables)
    try:
        async with asyncio.timeout(engine.settings.request_seconds):
            outcome = _outcome(engine, prepared, coerced)
            if prepared.kind == "mutation" and outcome is not None:
                changes = outcome.changes(_root(engine, prepared), prepared.operation.selection_set)
                if changes:
                    changed = await change(engine.schema, prepared, outcome, changes, coerced, context, engine.counts)
                    return _answer(changed, context)
            elif outcome is not None:
                try:
                    data = await _planned(engine, prepared, outcome, coerced, None, context)
                except Surprise:
                    engine.counts["surprised"] += 1
                    outcome = None
                else:
                    if data is not None:
                        return {"data": data}
            engine.counts["stock"] += 1
            result: Any = executor(engine.schema, prepared, coerced, context, outcome).execute_operation()
            if inspect.isawaitable(result):
                result = await result
    except TimeoutError:
        raise Failure(ErrorCode.TIMEOUT, retry_after_seconds=1) from None
    return _answer(result, context)


async def subscribe(
    engine: Engine, prepared: Prepared, variables: dict[str, Any], context: Context
) -> AsyncGenerator[Event, None]:
    """The answers to a subscription, one for each event, until the caller stops reading.

    Raises:
        RequestError: before the first event, the variables do not fit.
        Failure, Refusal: from the subscription itself; it is over.
    """
    coerced = _variables(engine, prepared, variables)
    outcome = _outcome(engine, prepared, coerced)
    stock = executor(engine.schema, prepared, coerced, context, None)
    stream = create_source_event_stream(stock)
    if inspect.isawaitable(stream):
        stream = await stream
    if isinstance(stream, ExecutionResult):
        raise _cause(stream.errors[0] if stream.errors else GraphQLError("no stream"))
    try:
        async for event in stream:
            context.loads = Loads()
            context.viewer = replace(context.viewer, now=await now(), account=None)  # the row is as old as the stream
            payload = await _event(engine, prepared, outcome, stock, event, context)
            yield Event(payload, getattr(event, "cursor", None))
    except GraphQLError as error:
        raise _cause(error) from error
    finally:
        await stream.aclose()  # type: ignore[attr-defined]


async def _event(
    engine: Engine, prepared: Prepared, outcome: Outcome | None, stock: PlannedExecutor, event: Any, context: Context
) -> dict[str, Any]:
    if outcome is not None:
        try:
            data = await _planned(engine, prepared, outcome, stock.variable_values, event, context)
            if data is not None:
                return {"data": data}
        except Surprise:
            engine.counts["surprised"] += 1
    engine.counts["stock"] += 1
    result = execute_subscription_event(stock.build_per_event_executor(event))
    if inspect.isawaitable(result):
        result = await result
    return _answer(result, context)


def _outcome(engine: Engine, prepared: Prepared, variables: VariableValues) -> Outcome | None:
    return plans_of(engine.schema, prepared).outcome(variables) if engine.settings.breadth_first else None


async def _planned(
    engine: Engine, prepared: Prepared, outcome: Outcome, variables: VariableValues, root: Any, context: Context
) -> dict[str, Any] | None:
    """The data of the whole answer by its plan; None where it has none.

    Raises:
        Surprise: stock execution must answer.
    """
    level = outcome.level(_root(engine, prepared), [prepared.operation.selection_set])
    if level is None:
        return None
    (data,) = await run(level, [root], context, variables)
    engine.counts["planned"] += 1
    return data


def _root(engine: Engine, prepared: Prepared) -> GraphQLObjectType:
    kind = engine.schema.get_root_type(prepared.operation.operation)
    assert kind is not None  # the document is valid
    return kind


def _variables(engine: Engine, prepared: Prepared, given: dict[str, Any]) -> VariableValues:
    definitions = prepared.operation.variable_definitions
    if not definitions:
        return NO_VARIABLES
    coerced = get_variable_values(engine.schema, definitions, given, max_errors=5, hide_suggestions=True)
    if isinstance(coerced, list):
        raise RequestError(
            400,
            ErrorCode.BAD_USER_INPUT,
            text="WRONG_VARIABLE",
            field=_variable_named(coerced[0]),
            locations=[{"line": place.line, "column": place.column} for place in coerced[0].locations or ()],
        )
    return coerced


def _variable_named(error: GraphQLError) -> str | None:
    """The variable that an error is about, without its value."""
    for node in error.nodes or ():
        variable = getattr(node, "variable", None)
        if variable is not None:
            return variable.name.value
    return None


def _cause(error: GraphQLError) -> Exception:
    """What stands behind an error of a subscription: ours to show, else a bug."""
    cause = error.original_error
    return cause if isinstance(cause, Failure | Refusal) else error


def _answer(result: ExecutionResult, context: Context) -> dict[str, Any]:
    if not result.errors:
        return {"data": result.data}
    ordered = sorted(result.errors, key=_position)[:MOST_ERRORS]
    return {"data": result.data, "errors": [_shaped(error, context) for error in ordered]}


def _position(error: GraphQLError) -> tuple[int, list[int], list[str]]:
    """Where in the document and in its lists an error stands: graphql-core gives them as they happen to come."""
    place = error.nodes[0].loc if error.nodes else None
    path = error.path or []
    return place.start if place else 0, [n for n in path if isinstance(n, int)], [str(n) for n in path]


def _shaped(error: GraphQLError, context: Context) -> dict[str, Any]:
    cause = error.original_error
    if isinstance(cause, Failure | Refusal):
        return error_body(cause, context.request_id, context.language, path=error.path)
    if cause is None:  # graphql-core's own: an argument that could not be coerced
        refusal = Refusal(ErrorCode.BAD_USER_INPUT)
        return error_body(refusal, context.request_id, context.language, path=error.path)
    logged(cause, context.request_id)
    return error_body(Failure(ErrorCode.INTERNAL_SERVER_ERROR), context.request_id, context.language, path=error.path)

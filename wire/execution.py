"""Execution: a prepared document becomes an answer, breadth first where it can, by graphql-core where it cannot."""

import asyncio
import inspect
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

from graphql import ExecutionResult, FragmentDefinitionNode, GraphQLError, GraphQLSchema
from graphql import execute as stock_execute
from graphql.execution import Executor
from graphql.execution.execute import create_source_event_stream, execute_subscription_event
from graphql.execution.values import VariableValues, get_variable_values

from models.clock import now
from models.refusals import ErrorCode, Failure, Refusal
from schema.context import Context, Loads
from settings import Settings
from wire.documents import Prepared
from wire.errors import RequestError, error_body, logged
from wire.plans import Compiler, Level, NotPlannable, Surprise, run, switch_names

MOST_ERRORS = 20


@dataclass(frozen=True, slots=True)
class Engine:
    """What execution needs. `counts` tells how often a query was `planned`, met a surprise, and went the stock way."""

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
            plan = _plan(engine, prepared, coerced) if prepared.kind == "query" else None
            if plan is not None:
                try:
                    data = await run(plan, [None], context, coerced)
                    engine.counts["planned"] += 1
                    return {"data": data[0]}
                except Surprise:
                    engine.counts["surprised"] += 1
            engine.counts["stock"] += 1
            result = stock_execute(
                engine.schema,
                prepared.document,
                context_value=context,
                variable_values=variables,
                operation_name=prepared.operation.name.value if prepared.operation.name else None,
                hide_suggestions=True,
            )
            if inspect.isawaitable(result):
                result = await result
    except TimeoutError:
        raise Failure(ErrorCode.TIMEOUT, retry_after_seconds=1) from None
    return _answer(result, context)


async def subscribe(
    engine: Engine, prepared: Prepared, variables: dict[str, Any], context: Context
) -> AsyncIterator[Event]:
    """The answers to a subscription, one for each event, until the caller stops reading.

    Raises:
        RequestError: before the first event, the variables do not fit.
        Failure, Refusal: from the subscription itself; it is over.
    """
    coerced = _variables(engine, prepared, variables)
    executor = Executor.build(
        engine.schema,
        prepared.document,
        context_value=context,
        raw_variable_values=variables,
        operation_name=prepared.operation.name.value if prepared.operation.name else None,
        hide_suggestions=True,
    )
    if isinstance(executor, list):
        raise RequestError(400, ErrorCode.BAD_USER_INPUT)
    stream = create_source_event_stream(executor)
    if inspect.isawaitable(stream):
        stream = await stream
    if isinstance(stream, ExecutionResult):
        raise _cause(stream.errors[0] if stream.errors else GraphQLError("no stream"))
    try:
        async for event in stream:
            context.loads = Loads()
            context.viewer = replace(context.viewer, now=await now())
            payload = await _event(engine, prepared, executor, event, context, coerced)
            yield Event(payload, getattr(event, "cursor", None))
    except GraphQLError as error:
        raise _cause(error) from error
    finally:
        await stream.aclose()


async def _event(
    engine: Engine, prepared: Prepared, executor: Any, event: Any, context: Context, variables: VariableValues
) -> dict[str, Any]:
    plan = _plan(engine, prepared, variables)
    if plan is not None:
        try:
            return {"data": (await run(plan, [event], context, variables))[0]}
        except Surprise:
            pass
    result = execute_subscription_event(executor.build_per_event_executor(event))
    if inspect.isawaitable(result):
        result = await result
    return _answer(result, context)


def _variables(engine: Engine, prepared: Prepared, given: dict[str, Any]) -> VariableValues:
    definitions = prepared.operation.variable_definitions
    if not definitions:
        return _NO_VARIABLES
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


_NO_VARIABLES = VariableValues({}, {})


def _variable_named(error: GraphQLError) -> str | None:
    """The variable that an error is about, without its value."""
    for node in error.nodes or ():
        variable = getattr(node, "variable", None)
        if variable is not None:
            return variable.name.value
    return None


def _plan(engine: Engine, prepared: Prepared, variables: VariableValues) -> Level | None:
    """The document's plan for this outcome of its switches; None where it has none."""
    if not engine.settings.breadth_first:
        return None
    plans = prepared.plans
    names = plans.get("switches")
    if names is None:
        fragments = {d.name.value: d for d in prepared.document.definitions if isinstance(d, FragmentDefinitionNode)}
        names = plans["switches"] = switch_names(fragments, prepared.operation)
        plans["fragments"] = fragments
    key = tuple(bool(variables.coerced.get(name)) for name in names)
    if key not in plans:
        plans[key] = _compiled(engine, prepared, dict(zip(names, key, strict=True)))
    return plans[key]


def _compiled(engine: Engine, prepared: Prepared, switches: dict[str, bool]) -> Level | None:
    kind = engine.schema.query_type if prepared.kind == "query" else engine.schema.subscription_type
    compiler = Compiler(engine.schema, prepared.plans["fragments"], switches)
    try:
        return compiler.level(kind, [prepared.operation.selection_set])
    except NotPlannable:
        return None


def _cause(error: GraphQLError) -> Exception:
    """What stands behind an error of a subscription: ours to show, else a bug."""
    cause = error.original_error
    return cause if isinstance(cause, Failure | Refusal) else error


def _answer(result: ExecutionResult, context: Context) -> dict[str, Any]:
    if not result.errors:
        return {"data": result.data}
    return {"data": result.data, "errors": [_shaped(error, context) for error in result.errors[:MOST_ERRORS]]}


def _shaped(error: GraphQLError, context: Context) -> dict[str, Any]:
    cause = error.original_error
    if isinstance(cause, Failure | Refusal):
        return error_body(cause, context.request_id, context.language, path=error.path)
    if cause is None:  # graphql-core's own: an argument that could not be coerced
        refusal = Refusal(ErrorCode.BAD_USER_INPUT)
        return error_body(refusal, context.request_id, context.language, path=error.path)
    logged(cause, context.request_id)
    return error_body(Failure(ErrorCode.INTERNAL_SERVER_ERROR), context.request_id, context.language, path=error.path)

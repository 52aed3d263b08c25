"""Mutations: the root fields one after the other, each called without graphql-core and its answer read by a plan.

What a call gave stands; it is never called again. Where only graphql-core can make an answer of it, graphql-core executes
that one field and is told what the call gave.
"""

import inspect
from collections import Counter
from typing import Any

from graphql import (
    ExecutionResult,
    GraphQLError,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    OperationDefinitionNode,
    SelectionSetNode,
    get_named_type,
    is_abstract_type,
    is_non_null_type,
    is_object_type,
    located_error,
)
from graphql.execution.values import VariableValues
from strawberry.types.base import get_object_definition

from schema.context import Context, Loads
from wire.documents import Prepared
from wire.executor import Done, Outcome, executor
from wire.plans import Change, Level, Surprise, run
from wire.selections import below


async def change(
    schema: GraphQLSchema,
    prepared: Prepared,
    outcome: Outcome,
    changes: list[Change],
    variables: VariableValues,
    context: Context,
    counts: Counter[str],
) -> ExecutionResult:
    """The answer to a mutation that calls `changes`; `counts` are the engine's, for each of them."""
    data: dict[str, Any] = {}
    errors: list[GraphQLError] = []
    for one in changes:
        context.loads = Loads()
        done = await _called(one, variables, context)
        if done.error is not None:
            counts["planned"] += 1
            errors.append(located_error(done.error, one.nodes, [one.response_key]))
            if is_non_null_type(one.arguments.definition.type):
                return ExecutionResult(None, errors)
            data[one.response_key] = None
            continue
        level = _level(schema, outcome, one, done)
        if level is not None:
            try:
                (data[one.response_key],) = await run(level, [done.value], context, variables)
            except Surprise:
                counts["surprised"] += 1
            else:
                counts["planned"] += 1
                continue
        counts["stock"] += 1
        result = await _stock(schema, prepared, one, done, variables, context)
        errors += result.errors or ()
        if result.data is None:
            return ExecutionResult(None, errors)
        data |= result.data
    return ExecutionResult(data, errors or None)


async def _called(one: Change, variables: VariableValues, context: Context) -> Done:
    try:
        return Done(await one.work(context, **one.arguments.values(variables)))
    except Exception as error:
        return Done(error=error)


def _level(schema: GraphQLSchema, outcome: Outcome, one: Change, done: Done) -> Level | None:
    """The plan that reads what the call gave; None where there is none."""
    definition = get_object_definition(done.value)
    kind = schema.get_type(definition.name) if definition is not None else None
    if not is_object_type(kind) or not _fits(schema, one.arguments.definition.type, kind):
        return None
    return outcome.level(kind, below(one.nodes))


def _fits(schema: GraphQLSchema, wanted: GraphQLOutputType, kind: GraphQLObjectType) -> bool:
    named = get_named_type(wanted)
    return named is kind or (is_abstract_type(named) and schema.is_sub_type(named, kind))


async def _stock(
    schema: GraphQLSchema, prepared: Prepared, one: Change, done: Done, variables: VariableValues, context: Context
) -> ExecutionResult:
    """The field's answer as graphql-core makes it."""
    whole = prepared.operation
    operation = OperationDefinitionNode(
        operation=whole.operation,
        name=whole.name,
        variable_definitions=whole.variable_definitions,
        directives=whole.directives,
        selection_set=SelectionSetNode(selections=tuple(one.nodes)),
    )
    made = executor(schema, prepared, variables, context, None, operation)
    made.done = done
    result: Any = made.execute_operation()
    return await result if inspect.isawaitable(result) else result

"""Every mutation is either a buyer's, with a deed that the account's standing has a say in, or staff's."""

from types import SimpleNamespace
from typing import Annotated, Any

import pytest
import strawberry
from graphql import GraphQLUnionType, get_named_type

from auth.viewer import Viewer
from models.accounts import Level
from models.instants import utc_now
from models.refusals import ErrorCode
from models.standing import DEEDS, STAFF, is_for_everybody
from schema.errors import NotFound
from schema.in_standing import REFUSALS, in_standing
from schema.root import graphql_schema


def mutations() -> dict[str, Any]:
    kind = graphql_schema(demo=True).mutation_type
    assert kind is not None
    return kind.fields


def test_every_mutation_of_buyers_is_listed_with_its_deed_and_nothing_else_is() -> None:
    """A new mutation of buyers: give it a deed in `DEEDS` of models/standing.py. One of staff answers BulkResult."""
    buyers = {name for name, field in mutations().items() if get_named_type(field.type).name != "BulkResult"}
    assert buyers - DEEDS.keys() - STAFF == set(), "without a deed"
    assert DEEDS.keys() | STAFF <= buyers, "listed, and not in the schema"
    assert not DEEDS.keys() & STAFF


def test_whatever_may_be_refused_has_a_type_that_says_so() -> None:
    names = {kind.__name__ for kind in REFUSALS}
    for name, field in mutations().items():
        if name in DEEDS and not is_for_everybody(DEEDS[name]):
            union = get_named_type(field.type)
            assert isinstance(union, GraphQLUnionType) and names & {member.name for member in union.types}, name


@strawberry.type
class Done:
    done: bool


def test_a_mutation_that_cannot_say_that_it_was_refused_cannot_be_declared() -> None:
    async def buy_the_moon(context: Any) -> Annotated[Done, strawberry.union("BuyTheMoonResult")]:
        return Done(done=True)

    with pytest.raises(TypeError, match="buyTheMoon"):
        in_standing(buy_the_moon)


async def test_one_that_nobody_has_listed_is_refused_rather_than_done() -> None:
    async def sell_the_moon(context: Any) -> Annotated[Done | NotFound, strawberry.union("SellTheMoonResult")]:
        return Done(done=True)

    def asked_by(level: Level) -> Any:
        account = SimpleNamespace(id=1, standing_level=level, standing_reason=None, standing_text=None, standing_since=None, standing_until=None)
        return SimpleNamespace(viewer=Viewer(now=utc_now(), account_id=1, account=account), language="en")

    refused = await in_standing(sell_the_moon)(asked_by(Level.BLOCKED))
    assert (type(refused), refused.code) == (NotFound, ErrorCode.ACCOUNT_BLOCKED)
    assert await in_standing(sell_the_moon)(asked_by(Level.RESTRICTED)) == Done(done=True)

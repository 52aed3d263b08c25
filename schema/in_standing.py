"""Buyers' mutations, held to what `models.standing` allows."""

import inspect
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Annotated, Any, get_args, get_origin

from strawberry.utils.str_converters import to_camel_case

from models.standing import DEEDS, STAFF, Deed, NotInStanding, is_for_everybody
from schema.context import Context
from schema.errors import BadUserInput, NotFound, Refusal, Unavailable, shown, words_of

Work = Callable[..., Awaitable[Any]]
REFUSALS: tuple[type[Refusal], ...] = (Unavailable, BadUserInput, NotFound)
"""Which member of a mutation's union says it: the first that there is. The unions of the core stand as they were written, and
not all of them have an Unavailable; `code` and `standing` are the same in each."""


def in_standing(work: Work) -> Work:
    """`work`, refused where the buyer's standing does not allow its deed. What answers no union is staff's, and left as it is.

    Raises:
        TypeError: it can be refused, and its answer has no member to say so.
    """
    name, answer = to_camel_case(work.__name__), inspect.signature(work).return_annotation
    deed = DEEDS.get(name, Deed.ANYTHING_ELSE)
    if get_origin(answer) is not Annotated or name in STAFF or is_for_everybody(deed):
        return work
    union = get_args(answer)[0]
    kind = next((kind for kind in REFUSALS if kind in (get_args(union) or (union,))), None)
    if kind is None:
        raise TypeError(f"{name} can be refused by standing, and its answer has no Unavailable")

    @wraps(work)
    async def allowed(context: Context, **arguments: Any) -> Any:
        try:
            context.viewer.require_may(deed)
        except NotInStanding as refusal:
            if kind is Unavailable:
                return shown(refusal, context.language)
            return kind(**words_of(refusal, context.language))
        return await work(context, **arguments)

    return allowed

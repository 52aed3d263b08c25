"""Phone numbers as people write them, into the one form that is compared."""

import asyncio
from collections.abc import Collection
from importlib import import_module
from typing import Any

from models.refusals import BadUserInput

LONGEST = 40

_read: list[Any] = []


async def parse_phone(text: str, countries: Collection[str] = (), field: str = "phone") -> str:
    """The number in E.164.

    Raises:
        BadUserInput: it is none, lacks its country code, or, where `countries` (ISO 3166) are given, is another one's.
    """
    library = await _library()
    try:
        if len(text) > LONGEST:
            raise BadUserInput(field=field, text="PHONE_FORM")
        number = library.parse(text, None)
    except library.NumberParseException:
        raise BadUserInput(field=field, text="PHONE_FORM") from None
    if number.extension or not library.is_valid_number(number):
        raise BadUserInput(field=field, text="PHONE_FORM")
    if countries and library.region_code_for_number(number) not in countries:
        raise BadUserInput(field=field, text="PHONE_COUNTRY")
    return library.format_number(number, library.PhoneNumberFormat.E164)


async def can_be_asked_for(number: str) -> bool:
    """Whether whoever has this number can sign in by it: the platform sends some that are none."""
    try:
        return await parse_phone(number) == number
    except BadUserInput:
        return False


async def _library() -> Any:
    """The library, which takes a tenth of a second to read: in a thread, once the first number comes."""
    if not _read:
        _read[:] = [await asyncio.to_thread(import_module, "phonenumbers")]
    return _read[0]

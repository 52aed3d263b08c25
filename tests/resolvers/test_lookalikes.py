"""Addresses that fold to the same text and are different mailboxes."""

import pytest

from auth.providers.provider import Profile
from auth.viewer import Viewer
from models.accounts import Identity
from models.instants import utc_now
from models.refusals import ErrorCode, Refusal
from resolvers.provider_sign_in import _arrive
from tests.providers import forget_identities
from tests.shop import Shop


@pytest.mark.parametrize(
    ("proved", "told"),
    [
        ("vera@strasse.example", "vera@straße.example"),
        ("vera@straße.example", "vera@strasse.example"),
        ("kate@firm.example", "\u212aate@firm.example"),
    ],
)
async def test_google_opens_no_account_of_a_mailbox_that_only_looks_alike(
    provided: Shop, proved: str, told: str
) -> None:
    await forget_identities(provided)
    await provided.buyer(email=proved)
    google, settings = provided.service.providers["google"], provided.service.settings
    profile = Profile("thief", told, True, None, "Thief", told.partition("@")[2])
    with pytest.raises(Refusal) as refused:
        await _arrive(Viewer(utc_now()), settings, google, profile, "US")
    assert refused.value.code is ErrorCode.ACCOUNT_LINK_REQUIRES_SIGN_IN
    assert await Identity.all().values_list("kind", flat=True) == ["EMAIL"]

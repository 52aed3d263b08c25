"""Which contacts the platform's word sets, on values."""

from collections.abc import Iterable

import pytest

from models.accounts import IdentityKind
from models.given_contacts import Contacts, settable
from models.instants import utc_now
from models.sign_in_methods import Method

EMAIL, PHONE, VK = IdentityKind.EMAIL, IdentityKind.PHONE, IdentityKind.VK
SENT = Contacts("Anna@x.example", "+79161234567")


def methods(*held: tuple[IdentityKind, str], unusable: Iterable[IdentityKind] = ()) -> list[Method]:
    return [Method(number, kind, subject, utc_now(), kind not in unusable) for number, (kind, subject) in enumerate(held)]


AS_SENT = ((EMAIL, "anna@x.example"), (PHONE, "+79161234567"))


@pytest.mark.parametrize(
    ("held", "given", "expected"),
    [
        (AS_SENT, Contacts("new@x.example", None), {EMAIL, PHONE}),
        (AS_SENT, Contacts("ANNA@X.example", "+79161234567"), {EMAIL, PHONE}),
        ((AS_SENT[0],), Contacts("new@x.example", "+79160000000"), {EMAIL}),  # the number was taken away
        (((EMAIL, "own@x.example"), AS_SENT[1]), Contacts("new@x.example", None), {PHONE}),
        (((EMAIL, "own@x.example"), AS_SENT[1]), Contacts("new@x.example", "+79160000000"), {PHONE}),
        (((VK, "1"),), Contacts("new@x.example", "+79160000000"), set()),
    ],
)
def test_what_the_buyer_has_made_of_a_contact_stays(held: tuple, given: Contacts, expected: set[IdentityKind]) -> None:
    assert settable(SENT, given, methods(*held)) == expected


@pytest.mark.parametrize(
    ("held", "unusable", "given", "expected"),
    [
        (AS_SENT, (), Contacts(), set()),
        (AS_SENT, (EMAIL,), Contacts(), set()),
        (AS_SENT, (EMAIL, PHONE), Contacts(), {EMAIL, PHONE}),  # there is no way in to lose
        ((*AS_SENT, (VK, "1")), (), Contacts(), {EMAIL, PHONE}),
        ((*AS_SENT, (VK, "1")), (VK,), Contacts(), set()),
        (AS_SENT, (), Contacts("anna@x.example", None), {EMAIL, PHONE}),
        (AS_SENT, (EMAIL,), Contacts("anna@x.example", None), {EMAIL}),
    ],
)
def test_the_last_way_in_is_not_taken_away(held: tuple, unusable: tuple, given: Contacts, expected: set[IdentityKind]) -> None:
    assert settable(SENT, given, methods(*held, unusable=unusable)) == expected


def test_a_first_number_counts_as_a_way_in_before_the_address_goes() -> None:
    held = methods((EMAIL, "anna@x.example"))
    assert settable(Contacts("anna@x.example"), Contacts(None, "+79161234567"), held) == {EMAIL, PHONE}
    assert settable(Contacts("anna@x.example"), Contacts(), held) == {PHONE}


def test_a_new_account_takes_what_it_is_given() -> None:
    assert settable(Contacts(), SENT, []) == {EMAIL, PHONE}
    assert SENT.subjects() == {EMAIL: "anna@x.example", PHONE: "+79161234567"}

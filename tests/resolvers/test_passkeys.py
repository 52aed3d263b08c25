"""Passkeys: made, named and removed; signed in by; and everything that a device or a stranger may get wrong."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from auth.sessions import token_hash
from auth.traffic import Bound
from models.accounts import Identity
from models.activity import Activity
from models.instants import utc_now
from models.passkeys import MOST_PASSKEYS, Passkey, PasskeyChallenge, PasskeyHolder
from models.sessions import Session
from resolvers.passkeys import OF_NETWORK, WINDOW
from tests.passkey_device import BACKED_UP, CAN_BE_BACKED_UP, OWNERS_HAND, PRESENT, VERIFIED, Authenticator
from tests.rows import account_of, change, letters
from tests.shop import Buyer, Shop
from tests.traffic import fill

METHOD = "method { id kind masked verified usable passkey { name backedUp lastUsedAt } actions { name allowed code } }"
REFUSAL = "... on Refusal { code field message }"
BEGIN = f"mutation {{ beginPasskey {{ __typename ... on PasskeyCreation {{ challengeId options expiresAt }} {REFUSAL} }} }}"
ADD = f"mutation($input: AddPasskeyInput!) {{ addPasskey(input: $input) {{ __typename ... on PasskeyAdded {{ {METHOD} }} {REFUSAL} }} }}"
RENAME = f"mutation($id: ID!, $name: String!) {{ renamePasskey(id: $id, name: $name) {{ __typename ... on PasskeyRenamed {{ {METHOD} }} {REFUSAL} }} }}"
ASK = "mutation { beginPasskeySignIn { ... on PasskeyRequest { challengeId options expiresAt } } }"
SIGN_IN = f"mutation($input: SignInByPasskeyInput!) {{ signInByPasskey(input: $input) {{ __typename ... on SignedIn {{ token account {{ id }} }} {REFUSAL} }} }}"
PROVE = f"mutation($input: ReauthenticateByPasskeyInput!) {{ reauthenticateByPasskey(input: $input) {{ __typename ... on Reauthenticated {{ until }} {REFUSAL} }} }}"
UNLINK = "mutation($id: ID!) { unlinkSignInMethod(id: $id) { ... on SignInMethodUnlinked { methodId } ... on Refusal { code field } } }"
METHODS = "{ me { signInMethods { lockoutRisk methods { id kind usable passkey { name } actions { allowed } } } } }"
ME = "{ me { id } }"


@pytest.fixture(autouse=True)
async def forgotten(shop: Shop) -> None:
    await change("DELETE FROM guess")


@pytest.fixture
def device(shop: Shop) -> Authenticator:
    """A device that shows a page of the service."""
    return Authenticator(f"http://localhost:{shop.service.settings.port}")


async def begin(buyer: Buyer) -> dict[str, Any]:
    begun = (await buyer.data(BEGIN))["beginPasskey"]
    assert begun["__typename"] == "PasskeyCreation", begun
    return begun


async def add(buyer: Buyer, challenge: str, credential: str, name: str = "Phone") -> dict[str, Any]:
    return (await buyer.data(ADD, input={"challengeId": challenge, "credential": credential, "name": name}))["addPasskey"]


async def added(buyer: Buyer, device: Authenticator, **given: Any) -> dict[str, Any]:
    """A passkey of the buyer's on the device: the way of signing in."""
    begun = await begin(buyer)
    answer = await add(buyer, begun["challengeId"], device.create(begun["options"], **given))
    assert answer["__typename"] == "PasskeyAdded", answer
    return answer["method"]


async def ask(shop: Shop) -> dict[str, Any]:
    return (await shop.nobody.data(ASK))["beginPasskeySignIn"]


async def sign_in(shop: Shop, challenge: str, credential: str, by: Any = None) -> dict[str, Any]:
    answer = await (by or shop.nobody).data(SIGN_IN, input={"challengeId": challenge, "credential": credential})
    shop.http.cookies.clear()
    return answer["signInByPasskey"]


async def signed_in(shop: Shop, device: Authenticator, **given: Any) -> dict[str, Any]:
    asked = await ask(shop)
    return await sign_in(shop, asked["challengeId"], device.get(asked["options"], **given))


async def prove(buyer: Buyer, challenge: str, credential: str) -> dict[str, Any]:
    return (await buyer.data(PROVE, input={"challengeId": challenge, "credential": credential}))["reauthenticateByPasskey"]


async def grow_old(buyer: Buyer) -> None:
    """The buyer's last proof lies too far back."""
    await change("UPDATE session SET proved_at = $1 WHERE account_id = $2", utc_now() - timedelta(minutes=16), await account_of(buyer))


async def told_of(buyer: Buyer, template: str) -> int:
    """How often the buyer was mailed this."""
    return sum(letter["template"] == template for letter in await letters(buyer.email))


def refusal(code: str, field: str | None, answer: dict[str, Any]) -> bool:
    return (answer.get("code"), answer.get("field")) == (code, field)


REFUSED = {
    "__typename": "InvalidCredentials",
    "code": "INVALID_CREDENTIALS",
    "field": "credential",
    "message": "This passkey does not count here. Try again, or sign in in another way.",
}


async def test_a_passkey_is_added_and_signs_in(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer(displayName="Анна")
    begun = await begin(buyer)
    asked = json.loads(begun["options"])
    assert asked["rp"] == {"name": "localhost", "id": "localhost"}
    assert asked["authenticatorSelection"] == {"residentKey": "required", "requireResidentKey": True, "userVerification": "required"}
    assert (asked["attestation"], asked["timeout"], asked["excludeCredentials"]) == ("none", 300_000, [])
    assert (asked["user"]["name"], asked["user"]["displayName"]) == (buyer.email, "Анна")
    assert len(asked["challenge"]) == len(asked["user"]["id"]) == 43  # 256 bits each
    ends_in = datetime.fromisoformat(begun["expiresAt"]) - datetime.now(UTC)
    assert timedelta(minutes=4, seconds=50) < ends_in <= timedelta(minutes=5)
    answer = await add(buyer, begun["challengeId"], device.create(begun["options"]), " Мой телефон ")
    assert answer["method"].pop("id")
    assert answer == {
        "__typename": "PasskeyAdded",
        "method": {
            "kind": "PASSKEY", "masked": None, "verified": True, "usable": True,
            "passkey": {"name": "Мой телефон", "backedUp": False, "lastUsedAt": None},
            "actions": [{"name": "unlinkSignInMethod", "allowed": True, "code": None}],
        },
    }  # fmt: skip
    assert await told_of(buyer, "sign_in_method_added") == 1
    assert await Activity.filter(verb="sign_in_method_added", subject_id=await account_of(buyer)).count() == 1

    asked = await ask(shop)
    told = json.loads(asked["options"])
    assert told == {"challenge": told["challenge"], "timeout": 300_000, "rpId": "localhost", "allowCredentials": [], "userVerification": "required"}
    answer = await shop.nobody.post(SIGN_IN, input={"challengeId": asked["challengeId"], "credential": device.get(asked["options"])})
    shop.http.cookies.clear()
    signed = answer.json()["data"]["signInByPasskey"]
    assert signed["account"] == {"id": buyer.id}
    assert any(cookie.startswith(f"sid={signed['token']};") for cookie in answer.headers.get_list("set-cookie"))
    again = Buyer(shop.http, signed["token"], buyer.id, buyer.external_id)
    assert (await again.data(ME))["me"] == {"id": buyer.id}
    (method,) = [m for m in (await again.data("{ me { signInMethods { methods { passkey { lastUsedAt } } } } }"))["me"]["signInMethods"]["methods"] if m["passkey"]]
    assert datetime.now(UTC) - datetime.fromisoformat(method["passkey"]["lastUsedAt"]) < timedelta(minutes=1)


async def test_what_is_kept_of_a_challenge_answers_none_and_goes_with_the_answer(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer()
    begun = await begin(buyer)
    kept = await PasskeyChallenge.get(challenge_hash=token_hash(begun["challengeId"]))
    assert kept.account_id == await account_of(buyer) and kept.challenge_hash != begun["challengeId"]
    await add(buyer, begun["challengeId"], device.create(begun["options"]))
    assert not await PasskeyChallenge.exists(challenge_hash=kept.challenge_hash)


async def test_a_second_passkey_is_of_the_same_holder_and_the_device_makes_none_twice(shop: Shop, device: Authenticator) -> None:
    buyer, other = await shop.buyer(), await shop.buyer()
    first = json.loads((await begin(buyer))["options"])
    await added(buyer, device)
    second = json.loads((await begin(buyer))["options"])
    assert second["user"] == first["user"]
    (known,) = second["excludeCredentials"]
    assert known == {"id": next(iter(device.keys)), "type": "public-key", "transports": ["hybrid", "internal"]}
    assert json.loads((await begin(other))["options"])["user"]["id"] != first["user"]["id"]
    handle = (await PasskeyHolder.get(account_id=await account_of(buyer))).handle
    assert handle == first["user"]["id"] and str(await account_of(buyer)) != handle


async def test_adding_asks_for_a_recent_proof_and_for_somebody(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer()
    begun = await begin(buyer)
    await grow_old(buyer)
    assert refusal("REAUTH_REQUIRED", None, (await buyer.data(BEGIN))["beginPasskey"])
    credential = device.create(begun["options"])
    assert refusal("REAUTH_REQUIRED", None, await add(buyer, begun["challengeId"], credential))
    given = {"challengeId": begun["challengeId"], "credential": credential, "name": "Phone"}
    assert await shop.nobody.codes(BEGIN) == await shop.nobody.codes(ADD, input=given) == ["UNAUTHENTICATED"]
    assert await Passkey.filter(identity__account_id=await account_of(buyer)).count() == 0
    await change("UPDATE session SET proved_at = $1 WHERE account_id = $2", utc_now(), await account_of(buyer))
    assert (await add(buyer, begun["challengeId"], credential))["__typename"] == "PasskeyAdded"


async def test_a_policy_without_passkeys_adds_none_and_those_that_are_there_go_on(
    shop: Shop, device: Authenticator, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    buyer = await shop.buyer()
    begun = await begin(buyer)
    await added(buyer, device)
    path = tmp_path / "own.toml"
    path.write_text('[regions."*"]\nsign_up = ["PHONE"]\nsign_in = ["EMAIL"]\nlink = ["VK"]\n')
    monkeypatch.setattr(shop.service, "settings", shop.service.settings.model_copy(update={"sign_in_policy": str(path)}))
    assert refusal("SIGN_UP_CLOSED", None, (await buyer.data(BEGIN))["beginPasskey"])
    assert refusal("SIGN_UP_CLOSED", None, await add(buyer, begun["challengeId"], Authenticator(device.origin).create(begun["options"])))
    assert await Passkey.filter(identity__account_id=await account_of(buyer)).count() == 1
    assert (await signed_in(shop, device))["account"]["id"] == buyer.id


WRONG = {
    "another origin": {"origin": "https://evil.example"},
    "an origin that begins alike": {"origin": "http://localhost.evil.example"},
    "no origin": {"origin": None},
    "a frame of another site": {"cross_origin": True},
    "another service": {"rp_id": "evil.example"},
    "the address in place of the name": {"rp_id": "127.0.0.1"},
    "nobody's finger": {"flags": PRESENT},
    "nobody there": {"flags": VERIFIED},
    "a copy of what is never copied": {"flags": OWNERS_HAND | BACKED_UP},
    "another challenge": {"challenge": "A" * 43},
    "another occasion": {"type": "payment.get"},
}


@pytest.mark.parametrize("given", WRONG.values(), ids=WRONG.keys())
async def test_a_device_that_signs_something_else_adds_nothing_and_opens_nothing(shop: Shop, device: Authenticator, given: dict[str, Any]) -> None:
    buyer = await shop.buyer()
    begun = await begin(buyer)
    answer = await add(buyer, begun["challengeId"], device.create(begun["options"], **given))
    assert refusal("BAD_USER_INPUT", "credential", answer)
    assert refusal("CODE_INVALID", "challengeId", await add(buyer, begun["challengeId"], device.create(begun["options"])))
    assert await Identity.filter(account_id=await account_of(buyer)).count() == 1
    await added(buyer, device)
    before = await Session.all().count()
    assert await signed_in(shop, device, **given) == REFUSED
    assert await Session.all().count() == before
    assert (await signed_in(shop, device))["account"]["id"] == buyer.id


NONSENSE = ["", "x", "[]", "null", "{}", "[" * 5000, '{"id": 1}', '"\\ud800"', "\u0000", json.dumps({"id": "é", "rawId": "é", "type": "public-key", "response": {}})]


async def test_nonsense_is_refused_like_everything_else(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer()
    await added(buyer, device)
    asked = await ask(shop)
    whole = json.loads(device.get(asked["options"]))
    torn = [json.dumps(whole | {"response": whole["response"] | {name: "é!"}}) for name in whole["response"]]
    torn += [json.dumps(whole | {"response": whole["response"] | {name: 5}}) for name in whole["response"]]
    torn += [json.dumps(whole | {"rawId": "AAAA"}), json.dumps(whole | {"id": "AAAA"}), json.dumps(whole | {"type": "password"})]
    before = await Session.all().count()
    for credential in NONSENSE + torn:
        asked = await ask(shop)
        assert await sign_in(shop, asked["challengeId"], credential) == REFUSED, credential
    for challenge in ("", "x", "é" * 40, "\u0000"):
        assert await sign_in(shop, challenge, device.get(asked["options"])) == REFUSED
    assert await Session.all().count() == before
    for credential in [*NONSENSE[:6], json.dumps(whole)]:
        begun = await begin(buyer)
        assert refusal("BAD_USER_INPUT", "credential", await add(buyer, begun["challengeId"], credential))
    assert await Passkey.filter(identity__account_id=await account_of(buyer)).count() == 1


async def test_an_answer_counts_once(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer()
    begun = await begin(buyer)
    credential = device.create(begun["options"])
    assert (await add(buyer, begun["challengeId"], credential))["__typename"] == "PasskeyAdded"
    assert refusal("CODE_INVALID", "challengeId", await add(buyer, begun["challengeId"], credential))
    asked = await ask(shop)
    credential = device.get(asked["options"])
    assert (await sign_in(shop, asked["challengeId"], credential))["__typename"] == "SignedIn"
    assert await sign_in(shop, asked["challengeId"], credential) == REFUSED
    fresh = await ask(shop)
    assert await sign_in(shop, fresh["challengeId"], credential) == REFUSED  # the signature is over the old one
    assert await told_of(buyer, "passkey_copy_suspected") == 0


async def test_a_challenge_lasts_five_minutes(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer()
    await added(buyer, device)
    begun, asked = await begin(buyer), await ask(shop)
    await change("UPDATE passkey_challenge SET ends_at = $1", utc_now())
    other = Authenticator(device.origin)
    assert refusal("CODE_INVALID", "challengeId", await add(buyer, begun["challengeId"], other.create(begun["options"])))
    assert await sign_in(shop, asked["challengeId"], device.get(asked["options"])) == REFUSED


async def test_a_challenge_is_good_for_whom_and_for_what_it_was_begun(shop: Shop, device: Authenticator) -> None:
    buyer, other = await shop.buyer(), await shop.buyer()
    begun = await begin(buyer)
    credential = device.create(begun["options"])
    assert refusal("CODE_INVALID", "challengeId", await add(other, begun["challengeId"], credential))
    asked = await ask(shop)
    for_signing_in = json.dumps(json.loads(begun["options"]) | json.loads(asked["options"]))
    assert refusal("CODE_INVALID", "challengeId", await add(buyer, asked["challengeId"], Authenticator(device.origin).create(for_signing_in)))
    assert await Identity.filter(account_id=await account_of(other)).count() == 1
    assert (await add(buyer, begun["challengeId"], credential))["__typename"] == "PasskeyAdded"  # nobody else has used it up
    begun = await begin(buyer)
    assert await sign_in(shop, begun["challengeId"], device.get(begun["options"])) == REFUSED


async def test_a_passkey_of_another_account_is_not_added(shop: Shop, device: Authenticator) -> None:
    owner, buyer = await shop.buyer(), await shop.buyer()
    await added(owner, device)
    begun = await begin(buyer)
    answer = await add(buyer, begun["challengeId"], Authenticator(device.origin).create(begun["options"], id=device.last.id))
    assert refusal("IDENTITY_TAKEN", "credential", answer)
    begun = await begin(owner)
    answer = await add(owner, begun["challengeId"], Authenticator(device.origin).create(begun["options"], id=device.last.id))
    assert refusal("BAD_USER_INPUT", "credential", answer) and "already" in answer["message"]
    assert await Identity.filter(account_id=await account_of(buyer)).count() == 1
    assert (await signed_in(shop, device))["account"]["id"] == owner.id


async def test_an_id_as_long_as_the_standard_allows_is_kept_and_a_longer_one_is_not(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer()
    await added(buyer, device, id=b"x" * 1023)
    assert (await signed_in(shop, device))["account"]["id"] == buyer.id
    begun = await begin(buyer)
    assert refusal("BAD_USER_INPUT", "credential", await add(buyer, begun["challengeId"], device.create(begun["options"], id=b"x" * 1024)))


async def test_a_stranger_with_a_key_of_their_own_gets_the_same_answer(shop: Shop, device: Authenticator) -> None:
    buyer, stranger = await shop.buyer(), Authenticator(device.origin)
    await added(buyer, device)
    stranger.create((await begin(buyer))["options"], id=device.last.id)
    assert await signed_in(shop, stranger) == REFUSED  # the owner's id and handle, another key
    stranger.create((await begin(buyer))["options"])
    assert await signed_in(shop, stranger) == REFUSED  # nobody's id
    for handle in (None, "", "A" * 43):
        assert await signed_in(shop, device, handle=handle) == REFUSED
    assert await told_of(buyer, "passkey_copy_suspected") == 0


async def test_a_count_that_goes_back_is_refused_and_told_to_the_owner(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer()
    await added(buyer, device)
    assert (await signed_in(shop, device, count=9))["__typename"] == "SignedIn"
    sessions = await Session.all().count()
    for copied in (9, 8, 0):
        assert await signed_in(shop, device, count=copied) == REFUSED
    assert await Session.all().count() == sessions
    assert await told_of(buyer, "passkey_copy_suspected") == 3
    assert await Activity.filter(verb="passkey_copy_suspected", subject_id=await account_of(buyer)).count() == 3
    stranger = Authenticator(device.origin)
    stranger.create((await begin(buyer))["options"], id=device.last.id)
    assert await signed_in(shop, stranger, count=1) == REFUSED  # who has no copy troubles nobody
    assert await told_of(buyer, "passkey_copy_suspected") == 3
    await grow_old(buyer)
    asked = await ask(shop)
    assert await prove(buyer, asked["challengeId"], device.get(asked["options"], count=9)) == REFUSED
    assert refusal("REAUTH_REQUIRED", None, (await buyer.data(BEGIN))["beginPasskey"])
    assert await told_of(buyer, "passkey_copy_suspected") == 4
    assert (await signed_in(shop, device, count=10))["__typename"] == "SignedIn"


async def test_a_device_that_does_not_count_signs_in_again_and_again(shop: Shop, device: Authenticator) -> None:
    buyer, device.counts = await shop.buyer(), False
    device.flags |= CAN_BE_BACKED_UP
    assert (await added(buyer, device))["passkey"]["backedUp"] is False
    for _ in range(2):
        assert (await signed_in(shop, device, flags=device.flags | BACKED_UP))["account"]["id"] == buyer.id
    assert (await Passkey.get(identity__account_id=await account_of(buyer))).backed_up is True


async def test_signing_in_ends_the_session_that_asked(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer()
    await added(buyer, device)
    asked = await ask(shop)
    assert (await sign_in(shop, asked["challengeId"], device.get(asked["options"]), by=buyer))["__typename"] == "SignedIn"
    assert await buyer.codes(ME) == ["UNAUTHENTICATED"]


async def test_a_passkey_proves_again_who_asks(shop: Shop, device: Authenticator) -> None:
    buyer, other = await shop.buyer(), await shop.buyer()
    await added(buyer, device)
    for one in (buyer, other):
        await grow_old(one)
    asked = await ask(shop)
    assert await prove(other, asked["challengeId"], device.get(asked["options"])) == REFUSED  # another account's passkey
    asked = await ask(shop)
    assert await prove(buyer, asked["challengeId"], device.get(asked["options"], flags=PRESENT)) == REFUSED
    assert refusal("REAUTH_REQUIRED", None, (await buyer.data(BEGIN))["beginPasskey"])
    asked = await ask(shop)
    answer = await prove(buyer, asked["challengeId"], device.get(asked["options"]))
    assert timedelta(minutes=14) < datetime.fromisoformat(answer["until"]) - datetime.now(UTC) <= timedelta(minutes=15)
    assert (await buyer.data(BEGIN))["beginPasskey"]["__typename"] == "PasskeyCreation"
    assert refusal("REAUTH_REQUIRED", None, (await other.data(BEGIN))["beginPasskey"])
    asked = await ask(shop)
    given = {"challengeId": asked["challengeId"], "credential": device.get(asked["options"])}
    assert await shop.nobody.codes(PROVE, input=given) == ["UNAUTHENTICATED"]


async def test_a_passkey_is_renamed_by_its_owner_alone(shop: Shop, device: Authenticator) -> None:
    buyer, other = await shop.buyer(), await shop.buyer()
    method = await added(buyer, device)
    (email,) = [m["id"] for m in (await other.data(METHODS))["me"]["signInMethods"]["methods"]]
    answer = (await buyer.data(RENAME, id=method["id"], name=" Laptop "))["renamePasskey"]
    assert answer["method"] == method | {"passkey": method["passkey"] | {"name": "Laptop"}}
    for by, id in ((other, method["id"]), (other, email), (buyer, buyer.id), (buyer, "x")):
        assert refusal("NOT_FOUND", "id", (await by.data(RENAME, id=id, name="Mine"))["renamePasskey"])
    for name in ("", "  ", "x" * 101, "a\nb", "\u202e"):
        assert refusal("BAD_USER_INPUT", "name", (await buyer.data(RENAME, id=method["id"], name=name))["renamePasskey"])
        begun = await begin(buyer)
        assert refusal("BAD_USER_INPUT", "name", await add(buyer, begun["challengeId"], Authenticator(device.origin).create(begun["options"]), name))
    assert await shop.nobody.codes(RENAME, id=method["id"], name="Mine") == ["UNAUTHENTICATED"]
    assert [p.name for p in await Passkey.filter(identity__account_id=await account_of(buyer))] == ["Laptop"]


async def test_a_passkey_counts_as_a_way_in_and_goes_with_its_identity(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer()
    method = await added(buyer, device)
    told = (await buyer.data(METHODS))["me"]["signInMethods"]
    assert told["lockoutRisk"] is False and [m["usable"] for m in told["methods"]] == [True, True]
    email = told["methods"][0]["id"]
    assert (await buyer.data(UNLINK, id=email))["unlinkSignInMethod"] == {"methodId": email}
    assert (await buyer.data(UNLINK, id=method["id"]))["unlinkSignInMethod"] == {"code": "LAST_SIGN_IN_METHOD", "field": "id"}
    assert (await signed_in(shop, device))["account"]["id"] == buyer.id
    second = Authenticator(device.origin)
    await added(buyer, second)
    assert (await buyer.data(UNLINK, id=method["id"]))["unlinkSignInMethod"] == {"methodId": method["id"]}
    assert await signed_in(shop, device) == REFUSED
    assert await Passkey.filter(identity__account_id=await account_of(buyer)).count() == 1
    assert (await signed_in(shop, second))["account"]["id"] == buyer.id
    assert await told_of(buyer, "sign_in_method_removed") == 1  # of the address, at the address; then there was none


async def test_the_platform_leaves_passkeys_alone(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer()
    await added(buyer, device)
    row = {"externalId": buyer.external_id, "displayName": "Other", "language": "en", "region": "US", "currency": "USD", "email": None, "phone": None}
    (result,) = await shop.put("putAccounts", [row])
    assert result["status"] == "UPDATED"
    assert await Identity.filter(account_id=await account_of(buyer)).values_list("kind", flat=True) == ["PASSKEY"]
    assert (await signed_in(shop, device))["account"]["id"] == buyer.id
    assert json.loads((await begin(buyer))["options"])["user"]["name"] == "Other"  # no address, no number


async def test_an_account_has_twenty_passkeys_at_most_also_when_two_come_at_once(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer()
    for _ in range(MOST_PASSKEYS - 1):
        await added(buyer, device)
    begun = [await begin(buyer) for _ in range(3)]
    answers = await asyncio.gather(*(add(buyer, one["challengeId"], device.create(one["options"])) for one in begun))
    assert sorted(answer.get("code", "") for answer in answers) == ["", "LIMIT_REACHED", "LIMIT_REACHED"]
    answer = (await buyer.data(BEGIN))["beginPasskey"]
    assert refusal("LIMIT_REACHED", None, answer) and "20" in answer["message"]
    assert await Passkey.filter(identity__account_id=await account_of(buyer)).count() == MOST_PASSKEYS


async def test_one_answer_many_times_at_once_counts_once(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer()
    begun = await begin(buyer)
    credential = device.create(begun["options"])
    answers = await asyncio.gather(*(add(buyer, begun["challengeId"], credential) for _ in range(10)))
    assert sorted(answer.get("code", "") for answer in answers) == ["", *["CODE_INVALID"] * 9]
    assert await Passkey.filter(identity__account_id=await account_of(buyer)).count() == 1
    asked = await ask(shop)
    credential = device.get(asked["options"])
    before = await Session.all().count()
    answers = await asyncio.gather(*(sign_in(shop, asked["challengeId"], credential) for _ in range(10)))
    assert [answer["__typename"] for answer in answers].count("SignedIn") == 1
    assert await Session.all().count() == before + 1
    assert await told_of(buyer, "passkey_copy_suspected") == 0


async def test_one_passkey_added_to_two_accounts_at_once_becomes_one_ones(shop: Shop, device: Authenticator) -> None:
    buyers = [await shop.buyer(), await shop.buyer()]
    begun = [await begin(buyer) for buyer in buyers]
    credentials = [device.create(one["options"], id=b"the same id") for one in begun]
    answers = await asyncio.gather(*(add(b, one["challengeId"], c) for b, one, c in zip(buyers, begun, credentials, strict=True)))
    assert sorted(answer.get("code", "") for answer in answers) == ["", "IDENTITY_TAKEN"]


async def test_one_count_used_twice_at_once_signs_in_once(shop: Shop, device: Authenticator) -> None:
    """Two copies of a key that answer two challenges: the row lets one of them pass."""
    buyer = await shop.buyer()
    await added(buyer, device)
    asked = [await ask(shop) for _ in range(5)]
    credentials = [device.get(one["options"], count=7) for one in asked]
    answers = await asyncio.gather(*(sign_in(shop, one["challengeId"], c) for one, c in zip(asked, credentials, strict=True)))
    assert [answer["__typename"] for answer in answers].count("SignedIn") == 1
    assert await told_of(buyer, "passkey_copy_suspected") == 4


async def test_a_passkey_that_is_removed_while_it_signs_in_leaves_no_other_state(shop: Shop, device: Authenticator) -> None:
    for _ in range(5):
        buyer = await shop.buyer()
        method = await added(buyer, device)
        asked = await ask(shop)
        removed, signed = await asyncio.gather(
            buyer.data(UNLINK, id=method["id"]), sign_in(shop, asked["challengeId"], device.get(asked["options"]))
        )
        assert removed["unlinkSignInMethod"] == {"methodId": method["id"]}
        assert signed == REFUSED or signed["account"]["id"] == buyer.id
        assert await told_of(buyer, "passkey_copy_suspected") == 0


async def test_a_network_begins_and_answers_a_hundred_in_five_minutes(shop: Shop, device: Authenticator) -> None:
    buyer = await shop.buyer()
    asked = await ask(shop)
    await fill(Bound("passkey", OF_NETWORK, WINDOW), "127.0.0.1")
    before = await PasskeyChallenge.all().count()
    assert await shop.nobody.codes(ASK) == await buyer.codes(BEGIN) == ["RATE_LIMITED"]
    assert await PasskeyChallenge.all().count() == before
    given = {"challengeId": asked["challengeId"], "credential": "{}"}
    assert await sign_in(shop, **{"challenge": "x", "credential": "{}"}) == REFUSED
    await fill(Bound("passkey-answer", OF_NETWORK, WINDOW), "127.0.0.1")
    assert await shop.nobody.codes(SIGN_IN, input=given) == ["RATE_LIMITED"]
    assert await buyer.codes(PROVE, input=given) == await buyer.codes(ADD, input=given | {"name": "Phone"}) == ["RATE_LIMITED"]
    assert await PasskeyChallenge.all().count() == before  # it is not used up either

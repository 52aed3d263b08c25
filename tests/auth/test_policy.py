"""The policy of signing in: what is shipped, what a file of one's own may say, and whom it would strand."""

from pathlib import Path

import pytest

from auth.policy import PROVIDERS, policy_of
from auth.providers.configured import configured
from auth.providers.outbound import Outbound
from models.accounts import IdentityKind
from models.refusals import SignUpClosed
from settings import Settings, WrongSetting
from tests.shop import Shop
from tests.test_server import server

CONFIGURED = {
    "vk_client_id": "1", "ok_client_id": "1", "ok_client_secret": "s", "ok_application_key": "K", "mailru_client_id": "1",
    "mailru_client_secret": "s", "google_client_id": "1", "google_client_secret": "s", "smtp_host": "mail.example", "mail_from": "a@shop.example", "sms_url": "https://sms.example/send",
}  # fmt: skip
EVERY = {kind.value for kind in IdentityKind}
BEGINS = EVERY - {"PASSKEY"}
POLICY = "query($region: String!) { signInPolicy(region: $region) { region ways { kind signUp signIn link } } }"
RULES = '[regions."*"]\nsign_up = {}\nsign_in = {}\nlink = []\nforeign = {}\n'


def open_for(what: str, region: str, **settings: str) -> set[str]:
    """The kinds of ways that are open for something in a region."""
    return {way.kind.value for way in policy_of(Settings(**CONFIGURED | settings)).ways(region) if getattr(way, what)}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("policy", "region", "foreign", "sign_up", "sign_in", "link"),
    [
        ("OPEN", "RU", "allow", BEGINS, EVERY, EVERY),
        ("OPEN", "DE", "deny", BEGINS - {"GOOGLE"}, EVERY - {"GOOGLE"}, EVERY - {"GOOGLE"}),
        ("RU", "RU", "allow", BEGINS - {"EMAIL"}, EVERY, EVERY),
        ("RU", "RU", "deny", BEGINS - {"EMAIL", "GOOGLE"}, EVERY - {"GOOGLE"}, EVERY - {"GOOGLE"}),
        ("RU", "DE", "deny", BEGINS, EVERY, EVERY),
    ],
)
def test_what_is_shipped_is_the_rule(policy: str, region: str, foreign: str, sign_up: set, sign_in: set, link: set) -> None:
    settings = {"sign_in_policy": policy, "foreign_sign_in": foreign}
    assert open_for("sign_up", region, **settings) == sign_up
    assert open_for("sign_in", region, **settings) == sign_in
    assert open_for("link", region, **settings) == link


def test_a_closed_way_is_refused_with_the_open_ones() -> None:
    policy = policy_of(Settings(**CONFIGURED, sign_in_policy="RU", foreign_sign_in="deny"))  # type: ignore[arg-type]
    policy.require_sign_up("RU", IdentityKind.PHONE)
    policy.require_sign_up("DE", IdentityKind.GOOGLE)
    policy.require_link("RU", IdentityKind.EMAIL)
    with pytest.raises(SignUpClosed) as refused:
        policy.require_sign_up("RU", IdentityKind.EMAIL)
    assert refused.value.open_kinds == ["PHONE", "VK", "OK", "MAILRU"]
    with pytest.raises(SignUpClosed) as refused:
        policy.require_link("RU", IdentityKind.GOOGLE)
    assert refused.value.open_kinds == ["EMAIL", "PHONE", "VK", "OK", "MAILRU", "PASSKEY"]


@pytest.mark.parametrize("mode", ["production", "development", "demo"])
def test_a_provider_that_is_not_configured_is_not_told_open(mode: str) -> None:
    sent = {"smtp_host": "mail.example", "mail_from": "a@shop.example", "sms_url": "https://sms.example/send"}
    alone = {"mode": mode, "demo_idp_url": "", "vk_client_id": "1", **sent}
    policy = policy_of(Settings(**alone, sign_in_policy="RU"))  # type: ignore[arg-type]
    assert [way.kind.value for way in policy.ways("DE") if way.sign_up or way.sign_in or way.link] == ["EMAIL", "PHONE", "VK", "PASSKEY"]
    assert policy.is_denied("DE", IdentityKind.OK) and not policy.is_denied("DE", IdentityKind.VK)
    with pytest.raises(SignUpClosed) as refused:
        policy.require_sign_up("RU", IdentityKind.EMAIL)
    assert refused.value.open_kinds == ["PHONE", "VK"]


@pytest.mark.parametrize("mode", ["production", "development", "demo"])
@pytest.mark.parametrize(("kind", "setting"), [("EMAIL", {"smtp_host": "mail.example", "mail_from": "a@shop.example"}), ("PHONE", {"sms_url": "https://sms.example/send"})])
def test_a_contact_that_nobody_could_prove_begins_no_account_and_is_not_added(mode: str, kind: str, setting: dict[str, str]) -> None:
    silent, told = (policy_of(Settings(mode=mode, **given)).way("DE", IdentityKind(kind)) for given in ({}, setting))  # type: ignore[arg-type]
    assert told == (kind, True, True, True)
    assert silent == (kind, mode == "demo", True, mode == "demo")  # who has the way and a password signs in as before


def test_what_is_told_open_is_what_there_is() -> None:
    for settings in (Settings(mode="demo"), Settings(mode="demo", demo_idp_url=""), Settings(**CONFIGURED), Settings(vk_client_id="1"), Settings()):  # type: ignore[arg-type]
        there = {provider.kind for provider in configured(settings, Outbound()).values()}
        assert {way.kind for way in policy_of(settings).ways("DE") if way.sign_in} & PROVIDERS == there


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("regions = 1", "regions"),
        (RULES.format('["EMAIL"]', '["EMALE"]', "[]"), "sign_in"),
        (RULES.format("[]", "[]", "[]").replace("*", "RU"), "all other regions"),
        (RULES.format("[]", "[]", '["EMAIL"]'), "only providers"),
        (RULES.format('["PASSKEY"]', "[]", "[]"), "begins no account"),
        ("[", "cannot be read"),
    ],
)
def test_a_file_that_is_no_policy_is_refused_in_a_sentence(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(text)
    with pytest.raises(WrongSetting, match=f"^KABINET_SIGN_IN_POLICY: .*{said}"):
        policy_of(Settings(sign_in_policy=str(path)))


def test_a_policy_that_is_missing_stops_every_command(tmp_path: Path) -> None:
    refused = server(tmp_path, "migrate", sign_in_policy="none.toml")
    assert refused.returncode == 1 and refused.stderr.startswith("Error: KABINET_SIGN_IN_POLICY: none.toml cannot be read")


async def test_the_graph_tells_the_policy_of_a_region(shop: Shop) -> None:
    told = (await shop.nobody.data(POLICY, region="RU"))["signInPolicy"]
    assert told["region"] == "RU"
    assert [way["kind"] for way in told["ways"]] == [kind.value for kind in IdentityKind]
    assert told["ways"][0] == {"kind": "EMAIL", "signUp": False, "signIn": True, "link": True}
    assert (await shop.nobody.data(POLICY, region="GE"))["signInPolicy"]["ways"][0]["signUp"] is True
    for wrong in ("ru", "R", "RUS", "RU\n", ""):
        assert await shop.nobody.codes(POLICY, region=wrong) == ["BAD_USER_INPUT"]

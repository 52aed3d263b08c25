"""Settings: read once, wrong ones refused with a sentence, all of them documented."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from settings import Settings, WrongSetting, read_settings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"


def rows() -> list[str]:
    """The lines of the table in docs/settings.md."""
    lines = []
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        shown = "" if default in ("", ()) or isinstance(default, SecretStr) else str(getattr(default, "value", default))
        lines.append(f"| `KABINET_{name.upper()}` | {f'`{shown}`' if shown else ''} | {field.description} |")
    return lines


def test_every_setting_stands_in_the_documentation_with_its_default() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("| `KABINET_")] == rows()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"), ("PORT", "abc"), ("MODE", "fast"), ("DATABASE_URL", "mysql://x"), ("DATABASE_URL", "sqlite:///x.db?synchronous=NORMAL"), ("REDIS_URL", "http://x"),
        ("SMTP_TLS", "maybe"), ("SMTP_PORT", "0"), ("MAIL_FROM", "nobody"), ("MAIL_FROM", "a@b.example\nBcc: c@d.example"), ("MAIL_FROM", "a@b, c@d"),
        ("PASSKEY_RP_ID", "https://shop.example"), ("PASSKEY_RP_ID", "Shop.example"), ("SMS_URL", "ftp://x"), ("SMS_URL", "https://"), ("PASSWORD_MEMORY_KIB", "8"), ("MAX_COST", "-1"), ("BREADTH_FIRST", "perhaps"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_in_one_sentence(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"KABINET_{name}", value)
    with pytest.raises(WrongSetting, match=f"^KABINET_{name}: .") as raised:
        read_settings()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["password_pepper", "secret_key", "secret_key_previous"])
def test_a_short_secret_is_refused_in_production(name: str) -> None:
    with pytest.raises(WrongSetting, match=f"{name} is shorter than 32 bytes"):
        read_settings(mode="production", **{name: "short"})


@pytest.mark.parametrize(
    ("words", "given"),
    [
        ("mail_from is not", {"smtp_host": "mail.example"}),
        ("belong together", {"smtp_user": "kabinet"}),
        ("smtp_tls is off", {"smtp_user": "kabinet", "smtp_password": "secret", "smtp_tls": "off"}),
        ("https://", {"sms_url": "http://sms.example/send"}),
    ],
)
def test_settings_that_do_not_fit_together_are_told_in_one_sentence(words: str, given: dict[str, str]) -> None:
    with pytest.raises(WrongSetting, match=words) as raised:
        read_settings(mode="production", **given)
    assert "secret" not in str(raised.value)


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KABINET_ALLOWED_ORIGINS", "https://a.example, https://b.example,")
    assert read_settings().allowed_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    ("given", "domain"),
    [
        ({"public_url": "https://Shop.example:8443/"}, "shop.example"),
        ({"public_url": "https://api.shop.example", "passkey_rp_id": "shop.example"}, "shop.example"),
        ({"host": "127.0.0.1"}, "localhost"),
        ({"public_url": "http://[::1]:8000"}, "localhost"),
        ({"public_url": "http://localhost:8000"}, "localhost"),
    ],
)
def test_passkeys_belong_to_a_domain_and_never_to_this_machines_address(given: dict[str, str], domain: str) -> None:
    assert read_settings(mode="production", **given).passkey_domain == domain

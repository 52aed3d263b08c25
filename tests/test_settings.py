"""Settings: read once, wrong ones refused with a sentence, all of them documented."""

from pathlib import Path

import pytest

from settings import Settings, WrongSetting, read_settings

PAGE = Path(__file__).parent.parent / "docs" / "settings.md"


def rows() -> list[str]:
    """The lines of the table in docs/settings.md."""
    lines = []
    for name, field in Settings.model_fields.items():
        default = field.get_default()
        shown = "" if default in ("", ()) or name == "password_pepper" else str(getattr(default, "value", default))
        lines.append(f"| `KABINET_{name.upper()}` | {f'`{shown}`' if shown else ''} | {field.description} |")
    return lines


def test_every_setting_stands_in_the_documentation_with_its_default() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [line for line in page.splitlines() if line.startswith("| `KABINET_")] == rows()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "0"), ("PORT", "abc"), ("MODE", "fast"), ("DATABASE_URL", "mysql://x"), ("REDIS_URL", "http://x"),
        ("PASSWORD_MEMORY_KIB", "8"), ("MAX_COST", "-1"), ("BREADTH_FIRST", "perhaps"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_named_in_one_sentence(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"KABINET_{name}", value)
    with pytest.raises(WrongSetting, match=f"^KABINET_{name}: .") as raised:
        read_settings()
    assert "\n" not in str(raised.value)


def test_a_short_pepper_is_refused_in_production() -> None:
    with pytest.raises(WrongSetting, match="32 bytes"):
        read_settings(mode="production", password_pepper="short")


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KABINET_ALLOWED_ORIGINS", "https://a.example, https://b.example,")
    assert read_settings().allowed_origins == ("https://a.example", "https://b.example")

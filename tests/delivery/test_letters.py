"""The words of letters: there in every language, filled with what they say they need, and nothing unescaped in HTML."""

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from jinja2 import Environment, UndefinedError, meta

from delivery.letters import FOLDER, HTML, TEXT, UnknownTemplate, Writer
from delivery.texts import LANGUAGES
from models.outbox import Message
from resolvers.sign_in_notices import BY_TEXT_TOO

AT = datetime(2026, 5, 1, 12, tzinfo=UTC)
HOME = "https://shop.example"
GIVEN = {"home", "language"}  # to every template
PAGE = Path(__file__).parents[2] / "docs" / "letters.md"
NAMES = sorted({path.name.removesuffix(TEXT) for path in FOLDER.glob(f"*/*{TEXT}")})
writer = Writer(HOME)


def message(template: str, language: str = "en", /, to: str = "anna@demo.example", channel: str = "mail", **values: str) -> Message:
    return Message(1, "a1b2", channel, {"template": template, "to": to, "language": language, "values": values}, AT, 1)


def values_of(path: Path) -> set[str]:
    """The values that a template needs."""
    return meta.find_undeclared_variables(Environment().parse(path.read_text(encoding="utf-8").replace("| instant", ""))) - GIVEN


def documented() -> dict[str, set[str]]:
    """Templates and their values by the table in docs/letters.md."""
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", values)) for name, values in rows}


def sample(name: str) -> dict[str, str]:
    """A value for everything that the template is documented to need; instants are called when or …_at, links link."""
    instants = {value: "2026-05-01T12:00:00+00:00" for value in documented()[name] if value == "when" or value.endswith("_at")}
    return {value: f"<b>{value}</b> & \"x\"" for value in documented()[name]} | instants


def test_every_template_is_documented_with_its_values() -> None:
    assert documented() == {name: values_of(FOLDER / "en" / f"{name}{TEXT}") for name in NAMES}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_there_in_every_language_and_needs_the_same(name: str, language: str) -> None:
    text, html = FOLDER / language / f"{name}{TEXT}", FOLDER / language / f"{name}{HTML}"
    assert values_of(text) == documented()[name]
    assert html.exists() == (FOLDER / "en" / f"{name}{HTML}").exists()
    assert not html.exists() or values_of(html) <= documented()[name]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", NAMES)
def test_a_template_is_filled_and_nothing_reaches_html_unescaped(name: str, language: str) -> None:
    written = writer.write(message(name, language, **sample(name)))
    assert written.text.strip() and "{" not in written.text + written.subject
    assert "\n" not in written.subject
    for value in documented()[name] - sample(name).keys():
        assert f"<b>{value}</b>" in written.text + written.subject
    if written.html is not None:
        assert f'<html lang="{language}">' in written.html
        assert not [value for value in documented()[name] if f"<b>{value}</b>" in written.html or f"<b>{value}" in written.html]
        assert "&lt;b&gt;" in written.html or set(sample(name).values()) <= {"2026-05-01T12:00:00+00:00"}


@pytest.mark.parametrize(("language", "most"), [("ru", 70), ("en", 160)])
@pytest.mark.parametrize("name", sorted(BY_TEXT_TOO))
def test_a_notice_by_text_message_is_one_message(name: str, language: str, most: int) -> None:
    for kind, masked in (("PHONE", "+7***1234"), ("OK", ""), ("PASSKEY", ""), ("MAILRU", "")):
        values = {"kind": kind, "masked": masked, "when": "2026-09-22T14:15:00+00:00"}
        if name == "email_changed":
            values["masked"] = "i***@m***.ru"
        text = writer.write(message(f"{name}_sms", language, channel="sms", **values)).text.strip()
        assert len(text) <= most and "\n" not in text and "http" not in text, text
        assert language == "ru" or text.isascii()


def test_a_value_that_is_missing_and_words_that_are_unknown_are_told_apart_from_an_unknown_language() -> None:
    with pytest.raises(UndefinedError):
        writer.write(message("new_sign_in", when="2026-05-01T12:00:00Z"))
    with pytest.raises(UnknownTemplate):
        writer.write(message("nothing"))
    values = {"when": "2026-05-01T12:00:00Z", "address": "10.0.0.1", "agent": "x"}
    assert writer.write(message("new_sign_in", "de", **values)).language == "en"
    assert "1 мая 2026, 12:00 UTC" in writer.write(message("new_sign_in", "ru", **values)).text
    assert "1 May 2026, 12:00 UTC" in writer.write(message("new_sign_in", "en", **values)).text


def test_a_value_neither_begins_a_header_nor_moves_into_the_text(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "hello.txt.jinja").write_text("Subject: Hello {{ name }}\nDear {{ name }}\n")
    written = Writer(HOME, tmp_path).write(message("hello", name="Anna\r\nBcc: eve@evil.example\n\nText\0\x1b[31m\ud800"))
    assert written.subject == "Hello Anna Bcc: eve@evil.example Text [31m"
    assert not re.search(r"[\x00-\x09\x0b-\x1f\ud800]", written.text)
    assert written.text.startswith("Dear Anna\n")

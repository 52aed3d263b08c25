"""Texts in every language."""

import re

from delivery import texts
from delivery.texts import FALLBACK, LANGUAGES, spoken, text
from models.refusals import ErrorCode

_PLACE = re.compile(r"{(\w+)}")


def test_every_language_has_every_sentence_with_the_same_places() -> None:
    fallback = texts._TEXTS[FALLBACK]
    for language in LANGUAGES:
        sentences = texts._TEXTS[language]
        assert sentences.keys() == fallback.keys(), language
        for name, sentence in sentences.items():
            assert sorted(_PLACE.findall(sentence)) == sorted(_PLACE.findall(fallback[name])), (language, name)


def test_every_code_has_a_sentence() -> None:
    assert {code.name for code in ErrorCode} <= texts._TEXTS[FALLBACK].keys()


def test_an_unknown_language_falls_back_to_english() -> None:
    assert text("NOT_FOUND", "de") == text("NOT_FOUND", "en")


def test_the_language_wanted_most_is_spoken() -> None:
    assert spoken("de, ru;q=0.5, en;q=0.4") == "ru"
    assert spoken("en-GB, ru;q=0.9") == "en"
    assert spoken("ru;q=0, de") is None
    assert spoken("ru;q=x, en;q=0.1") == "en"
    assert spoken(None) is None

"""The letters of signing up and of passwords are there in every language, and say what they are given."""

from pathlib import Path

import pytest
from jinja2 import Environment, StrictUndefined, meta

import delivery
from delivery.texts import LANGUAGES

TEMPLATES = Path(delivery.__file__).parent / "templates"
LETTERS = {"activate": {"link"}, "already_registered": set(), "no_account": set(), "password_changed": {"ways"}, "reset_password": {"link"}}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("name", "values"), LETTERS.items())
def test_a_letter_has_a_subject_and_what_it_needs(language: str, name: str, values: set[str]) -> None:
    environment = Environment(undefined=StrictUndefined, autoescape=True)
    plain, html = ((TEMPLATES / language / f"{name}.{kind}.jinja").read_text(encoding="utf-8") for kind in ("txt", "html"))
    assert plain.startswith("Subject: ")
    for source in (plain, html):
        assert meta.find_undeclared_variables(environment.parse(source)) - {"home"} == values
    said = environment.from_string(plain).render(link="https://shop.example/activate?token=x", ways="EMAIL i***@m***.ru\nVK", home="https://shop.example")
    assert "https://shop.example" in said

"""The words of letters: templates in `delivery/templates/`, by language and name, filled with what an outbox message holds."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from babel.dates import format_datetime
from jinja2 import DictLoader, Environment, StrictUndefined, pass_context
from jinja2.runtime import Context

from delivery.texts import FALLBACK, LANGUAGES
from models.instants import as_instant
from models.outbox import Message

FOLDER = Path(__file__).parent / "templates"
SUBJECT = "Subject: "
TITLE, TEXT, HTML = ".subject", ".txt.jinja", ".html.jinja"
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_EMPTY_LINES = re.compile(r"\n{3,}")


class UnknownTemplate(Exception):
    """A letter in words that this process does not have; a newer one, which posted it, may."""


@dataclass(slots=True, frozen=True)
class Written:
    """A letter ready to leave. `subject` is one line, empty for what is never a mail; `html` None: text alone."""

    message_id: str
    kind: str
    template: str
    to: str
    language: str
    subject: str
    text: str
    html: str | None
    wanted_at: datetime


class Writer:
    """Every template, loaded and compiled once. `home` is where buyers reach the service."""

    def __init__(self, home: str, folder: Path = FOLDER):
        sources = dict(_sources(folder))
        environment = Environment(
            loader=DictLoader(sources), autoescape=_is_html, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        environment.filters["instant"] = _instant
        environment.globals["home"] = home
        self._compiled = {name: environment.get_template(name) for name in sources}

    def write(self, message: Message) -> Written:
        """The letter that an outbox message of the kinds mail and sms stands for.

        Raises:
            UnknownTemplate: there are no such words. UndefinedError: a value is missing.
        """
        payload = message.payload
        language = payload["language"] if payload["language"] in LANGUAGES else FALLBACK
        name = f"{language}/{payload['template']}"
        if name + TEXT not in self._compiled:
            raise UnknownTemplate(payload["template"])
        values = {key: _clean(value) for key, value in payload["values"].items()} | {"language": language}
        title, html = self._compiled.get(name + TITLE), self._compiled.get(name + HTML)
        return Written(
            message_id=message.message_id,
            kind=message.kind,
            template=payload["template"],
            to=payload["to"],
            language=language,
            subject=" ".join(title.render(values).split()) if title else "",
            text=_EMPTY_LINES.sub("\n\n", self._compiled[name + TEXT].render(values)).strip() + "\n",
            html=html.render(values) if html else None,
            wanted_at=message.wanted_at,
        )


def _sources(folder: Path) -> Iterator[tuple[str, str]]:
    """Names (`en/new_sign_in.txt.jinja`) and texts. A subject is a template of its own: no value in it can begin the text."""
    for path in sorted(folder.rglob("*.jinja")):
        name, source = path.relative_to(folder).as_posix(), path.read_text(encoding="utf-8")
        if source.startswith(SUBJECT):
            first, _, source = source.partition("\n")
            yield name.removesuffix(TEXT) + TITLE, first.removeprefix(SUBJECT)
        yield name, source


def _is_html(name: str | None) -> bool:
    return name is not None and name.endswith(HTML)


def _clean(value: object) -> str:
    """A value without what neither a mail nor a page shows: control characters but the line's end, halves of surrogates."""
    return _CONTROL.sub(" ", str(value).replace("\r\n", "\n"))


@pass_context
def _instant(context: Context, value: str) -> str:
    """An instant in ISO's form as people write it, in the letter's language; UTC, and said so."""
    at = as_instant(value)
    return f"{format_datetime(at, 'd MMMM y, HH:mm', locale=context['language'])} UTC"

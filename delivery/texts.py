"""The sentences that the service itself writes, by name and language, from `locales/`."""

import json
from pathlib import Path

LANGUAGES = ("en", "ru")
FALLBACK = "en"

_FOLDER = Path(__file__).resolve().parent.parent / "locales"
_TEXTS: dict[str, dict[str, str]] = {
    language: json.loads((_FOLDER / f"{language}.json").read_text(encoding="utf-8")) for language in LANGUAGES
}


def text(name: str, language: str, **values: object) -> str:
    """The sentence `name` in `language` (English where there is none), filled with `values`."""
    sentence = _TEXTS.get(language, _TEXTS[FALLBACK]).get(name) or _TEXTS[FALLBACK][name]
    return sentence.format_map(values) if values else sentence


def spoken(accept_language: str | None) -> str | None:
    """The first language of an Accept-Language header that the service speaks, by its weights; None if there is none."""
    wanted: list[tuple[float, str]] = []
    for part in (accept_language or "")[:256].split(","):
        tag, _, weight = part.strip().partition(";")
        try:
            quality = float(weight.strip().removeprefix("q=")) if weight else 1.0
        except ValueError:
            continue
        if quality > 0 and (language := tag.strip().lower().split("-")[0]) in LANGUAGES:
            wanted.append((-quality, language))
    return min(wanted, key=lambda pair: pair[0])[1] if wanted else None

"""How soon a password would be guessed: zxcvbn's lists and patterns, with what others know about the buyer."""

import re
from collections.abc import Iterable
from typing import Any

from zxcvbn import matching, scoring

from models.refusals import Weakness

GUESSES_NEEDED = 1e6  # zxcvbn's score 2, which eight random characters reach
PIECE = 24
MOST_SIGNS = 2
_SIGNS = "@([{<!|+$%"  # zxcvbn tries every reading of these, in a time exponential in how many there are
_PLAIN = str.maketrans(_SIGNS, "^&*-_=;:?/")
_COMMON = matching.RANKED_DICTIONARIES["passwords"]
_WORD = re.compile(r"\w{3,}")


def weakness_of(password: str, about: Iterable[str], least: int) -> Weakness | None:
    """Why the password is too weak; None: it is not. `about` is what a guesser knows of the buyer and the site.

    Takes some 30 ms at worst, whatever the password is: of a long one its beginning and its end are judged.
    """
    if len(password) < least:
        return Weakness.TOO_SHORT
    words = _words(about)
    if password.lower() in _COMMON:
        return Weakness.COMMON
    found = [_judged(piece, words) for piece in {password[:PIECE], password[-PIECE:]}]
    return None if None in found else found[0]


def _words(about: Iterable[str]) -> dict[str, int]:
    """What others know, whole, without its spaces, and word by word, as a dictionary of zxcvbn's."""
    words: dict[str, int] = {}
    for text in about:
        folded = text.lower()
        for word in (folded, "".join(folded.split()), *_WORD.findall(folded)):
            if len(word) > 2:
                words.setdefault(word, len(words) + 1)
    return words


def _judged(piece: str, words: dict[str, int]) -> Weakness | None:
    if len(set(piece) & set(_SIGNS)) > MOST_SIGNS:
        piece = piece.translate(_PLAIN)
    # zxcvbn() itself puts the buyer's words into a dictionary that all threads share.
    matches = matching.omnimatch(piece, matching.RANKED_DICTIONARIES | {"user_inputs": words})
    result: dict[str, Any] = scoring.most_guessable_match_sequence(piece, matches)
    if result["guesses"] >= GUESSES_NEEDED:
        return None
    lists = {match.get("dictionary_name") for match in result["sequence"]}
    if "user_inputs" in lists:
        return Weakness.PERSONAL
    return Weakness.COMMON if "passwords" in lists else Weakness.GUESSABLE

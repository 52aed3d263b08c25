"""What a buyer types to find something, as the folded columns are searched for it."""

from models.refusals import BadUserInput

LONGEST_SEARCH = 200


def searched(text: str | None) -> str:
    """`text` without the white space around it, case-folded; empty where there is nothing to look for.

    Raises:
        BadUserInput: more than 200 characters, or one with NUL, which PostgreSQL takes in no text.
    """
    folded = (text or "").strip().casefold()
    if len(folded) > LONGEST_SEARCH or "\x00" in folded:
        raise BadUserInput(field="search")
    return folded


def containing(text: str) -> str:
    """The LIKE pattern of texts that have `text` in them, literally."""
    return f"%{beginning(text)}"


def beginning(text: str) -> str:
    """The LIKE pattern of texts that begin with `text`, literally."""
    escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return f"{escaped}%"

"""Names for people who mistyped one."""

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 8  # names in a list
LONGEST = 40  # characters of a name


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` for the most similar name, or else the names to use."""
    names = list(dict.fromkeys(known))
    by_key = {each.casefold(): each for each in reversed(names)}
    close = get_close_matches(name.casefold(), by_key, n=1)
    return f"did you mean {by_key[close[0]]!r}?" if close else f"use one of {listed(names)}"


def listed(names: Iterable[str]) -> str:
    """Return the first of some names; one that is not plain is quoted."""
    known = list(names)
    shown = [name if name.isidentifier() and len(name) <= LONGEST else repr(name[:LONGEST]) for name in known[:SHOWN]]
    return ", ".join(shown) + (", …" if len(known) > SHOWN else "") if shown else "none"

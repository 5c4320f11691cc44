"""Suggest names to people who mistyped one."""

from collections.abc import Iterable
from difflib import get_close_matches

SHOWN = 8  # names in a list
LONGEST = 40  # characters of a name


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `did you mean 'x'?` for the most similar name, or else the names to use."""
    names = list(known)
    similar = most_similar(name, names)
    return f"did you mean {similar!r}?" if similar else f"use one of {listed(names)}"


def most_similar(name: str, known: Iterable[str]) -> str | None:
    """Return the name that was probably meant; None if no name is similar."""
    by_key = {each.casefold(): each for each in known}
    close = get_close_matches(name.casefold(), by_key, n=1)
    return by_key[close[0]] if close else None


def listed(names: Iterable[str]) -> str:
    """Return the first of some names as a list in text; unusual names are quoted."""
    known = list(names)
    shown = [name if name.isidentifier() and len(name) <= LONGEST else repr(name[:LONGEST]) for name in known[:SHOWN]]
    return ", ".join(shown) + (", …" if len(known) > SHOWN else "") if shown else "none"

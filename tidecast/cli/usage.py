"""A mistake on the command line as one sentence: the option, its value, and what to write instead."""

import re
from collections.abc import Callable, Sequence
from typing import Any

_ADDRESS = re.compile(r"\w+://\S*@\S*")  # it may hold a password
_FORMS: tuple[tuple[str, Callable[[str], str]], ...] = (
    (r"valid integer|is not a valid integer", lambda _: "write a whole number"),
    (r"valid (?:number|float)|is not a valid float", lambda _: "write a number"),
    (r"valid boolean", lambda _: "write true or false"),
    (r"greater than or equal to (-?[\d.]*\d)", lambda bound: f"use {bound} or more"),
    (r"less than or equal to (-?[\d.]*\d)", lambda bound: f"use {bound} or less"),
    (r"is not in the range (.+)\.", lambda bounds: f"use {bounds}"),
)


def is_usage_error(exc: BaseException) -> bool:
    """Whether an exception is the command line parser's.

    Typer has raised errors of its own or of Click, from version to version; both have these methods.
    """
    return hasattr(exc, "format_message") and hasattr(exc, "exit_code")


def usage_sentence(exc: Any, words: Sequence[str]) -> str:
    """Return what is wrong with a command line.

    Args:
        exc: the parser's error.
        words: the command line.
    """
    path = getattr(getattr(exc, "ctx", None), "command_path", "tidecast")
    problem = _problem(exc, words)
    sentence = problem if problem.endswith("?") else f"{problem}; see `{path} --help`"
    return _ADDRESS.sub("…", sentence)


def _problem(exc: Any, words: Sequence[str]) -> str:
    parameter = getattr(exc, "param", None)
    if parameter is None or type(exc).__name__ == "MissingParameter":
        text = str(exc.format_message()).rstrip(".").replace(". Did you mean", ": did you mean")
        return text[:1].lower() + text[1:]
    options = [name for name in parameter.opts if name.startswith("-")]
    value = _value_of(options, words)
    named = max(options, key=len) if options else parameter.name.upper()
    return f"{named}{f' is {value!r}' if value is not None else ''}: {_remedy(str(exc.message))}"


def _value_of(options: Sequence[str], words: Sequence[str]) -> str | None:
    """Return the value that the command line gives an option by one of its names, None if it gives none."""
    for position, word in enumerate(words):
        name, equals, value = word.partition("=")
        if word in options and position + 1 < len(words):
            return words[position + 1]
        if equals and name in options:
            return value
        for short in options:
            if len(short) == 2 and word.startswith(short) and len(word) > 2 and not word.startswith("--"):
                return word[2:]
    return None


def _remedy(message: str) -> str:
    for form, remedy in _FORMS:
        if match := re.search(form, message):
            return remedy(match[1] if match.groups() else "")
    return message[:1].lower() + message[1:].rstrip(".")

"""Explain a mistake on the command line in one sentence: the option, its value and the correction."""

import re
from collections.abc import Callable, Sequence
from typing import Any

_ADDRESS = re.compile(r"\w+://\S*@\S*")  # may contain a password
_FORMS: tuple[tuple[str, Callable[[str], str]], ...] = (
    (r"valid integer|is not a valid integer", lambda _: "write a whole number"),
    (r"valid (?:number|float)|is not a valid float", lambda _: "write a number"),
    (r"valid boolean", lambda _: "write true or false"),
    (r"greater than or equal to (-?[\d.]*\d)", lambda bound: f"use {bound} or more"),
    (r"less than or equal to (-?[\d.]*\d)", lambda bound: f"use {bound} or less"),
    (r"is not in the range (.+)\.", lambda bounds: f"use {bounds}"),
    (r" is not one of ('.+')", lambda choices: f"use one of {choices.replace(chr(39), '')}"),
)


def is_usage_error(exc: BaseException) -> bool:
    """Return whether an exception comes from the command line parser.

    Depending on its version, Typer raises its own errors or those of Click; both have these attributes.
    """
    return hasattr(exc, "format_message") and hasattr(exc, "exit_code")


def usage_sentence(exc: Any, words: Sequence[str]) -> str:
    """Return a sentence about the mistake on a command line.

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
    """Return the value of an option on the command line, given by any of its names; None without a value."""
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

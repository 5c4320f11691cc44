"""Leave out empty variables, file entries and options, and the variables of Kubernetes' service links.

Compose and CI pass an unset variable as an empty one: `TIDECAST_WORKER__RETENTION=${RETENTION:-}`. Kubernetes sets
variables for each service in every pod, and those of a service called `tidecast-redis` begin with our prefix.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

_ADDRESS = re.compile(r"[0-9A-Fa-f.:]+")
_NUMBER = re.compile(r"[0-9]+")
_URL = re.compile(r"(tcp|udp|sctp)://\S+:[0-9]+")
_PORT = r"_PORT_[0-9]+_(TCP|UDP|SCTP)"
# The end of the name and the form of the value. `TIDECAST_WORKER_PORT=8080` has another form, so it is a mistake.
_SERVICE_LINKS = (
    (re.compile(r"_SERVICE_HOST"), _ADDRESS),
    (re.compile(r"_SERVICE_PORT(_[A-Z0-9_]+)?"), _NUMBER),
    (re.compile(rf"_PORT|{_PORT}"), _URL),
    (re.compile(rf"{_PORT}_PROTO"), re.compile(r"tcp|udp|sctp")),
    (re.compile(rf"{_PORT}_PORT"), _NUMBER),
    (re.compile(rf"{_PORT}_ADDR"), _ADDRESS),
)


def is_service_link(prefix: str, variable: str, value: str) -> bool:
    """Return whether Kubernetes sets this variable for a service whose name begins like our prefix."""
    service = prefix.rstrip("_")
    name = variable.upper()
    if not name.startswith(service):
        return False
    return any(
        re.fullmatch(rf"{service}(_[A-Z0-9_]+)?({end.pattern})", name) and form.fullmatch(value)
        for end, form in _SERVICE_LINKS
    )


def variables_of(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """Yield the names of the variables of all settings, in capitals."""
    for name, field in model.model_fields.items():
        variable = f"{prefix}{name}".upper()
        yield variable
        group = field.annotation
        if isinstance(group, type) and issubclass(group, BaseModel):
            yield from variables_of(group, f"{variable}__")


def without_empty(entries: Mapping[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """Return a file's entries without empty settings; unknown names stay, so that they are refused later."""
    kept = {name: value for name, value in entries.items() if value != "" or name not in model.model_fields}
    for name, value in kept.items():
        group = model.model_fields[name].annotation if name in model.model_fields else None
        if isinstance(value, dict) and isinstance(group, type) and issubclass(group, BaseModel):
            kept[name] = without_empty(value, group)
    return kept


def without_empty_options(command: Any, words: Sequence[str]) -> list[str]:
    """Return the words of a command line without the options whose value is empty.

    Args:
        command: the click command, or a group of them.
        words: the words after the command's name.
    """
    return list(_kept(command, iter(words)))


def _kept(command: Any, words: Iterator[str]) -> Iterable[str]:
    for word in words:
        option, equals, value = word.partition("=")
        if word == "--":
            yield word
            yield from words
        elif option not in _taking_a_value(command):
            yield word
            command = getattr(command, "commands", {}).get(word, command)
        elif equals:
            yield from [word] if value else []
        else:
            following = next(words, None)
            yield from [word] if following is None else [word, following] if following else []


def _taking_a_value(command: Any) -> set[str]:
    return {
        name
        for param in command.params
        for name in param.opts
        if name.startswith("-") and not getattr(param, "is_flag", False)
    }

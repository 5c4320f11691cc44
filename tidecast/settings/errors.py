"""Describe a wrong setting in a sentence: the setting, its value, and what to write instead."""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from types import MappingProxyType
from typing import Any, get_args, get_origin

from pydantic import BaseModel, SecretStr, ValidationError
from pydantic.fields import FieldInfo

from tidecast.suggestions import did_you_mean

SECRETS = ("redis_url", "token", "url", "headers")  # their values are never shown
SHOWN = 60  # characters of a value
_BOUNDS = (("ge", "{} or more"), ("gt", "more than {}"), ("le", "{} at most"), ("lt", "less than {}"))
_REMEDIES: Mapping[str, str] = MappingProxyType(
    {  # by the beginning of pydantic's name for the error
        "int": "write a whole number",
        "float": "write a number",
        "finite": "write a number that is not inf or nan",
        "bool": "write true or false",
        "string_type": "write it in quotes",
        "path": "write a path in quotes",
        "too_long": "list fewer",
    }
)
_OF_A_GROUP = ("model_type", "model_attributes_type", "dict_type")
_OF_BOUNDS = ("greater_than", "less_than")


def sentence(exc: ValidationError, model: type[BaseModel]) -> str:
    """Return a sentence on all wrong settings.

    Args:
        exc: pydantic's error.
        model: the settings.
    """
    return "; ".join(_problem(error, model) for error in exc.errors(include_url=False))


def option_sentence(exc: ValidationError, model: type[BaseModel]) -> str:
    """Return a sentence on the first wrong option.

    Args:
        exc: pydantic's error.
        model: the group of settings, or the spec, whose fields the options are named after.
    """
    error = exc.errors(include_url=False)[0]
    path = [str(part) for part in error["loc"]]
    return f"--{'-'.join(path).replace('_', '-')} is {_shown(error['input'])}: {_remedy(error, _field(path, model))}"


def argument_sentence(exc: ValidationError, model: type[BaseModel], argument: str) -> str:
    """Return a sentence on the first wrong key or value of a dict that is an argument of a function.

    Args:
        exc: pydantic's error.
        model: the group of settings, or the spec, whose fields are the keys.
        argument: the name of the argument.
    """
    error = exc.errors(include_url=False)[0]
    path = [str(part) for part in error["loc"]]
    if error["type"] == "extra_forbidden":
        return (
            f"{argument} has the key {path[0]!r}, which does not exist: {did_you_mean(path[0], [*model.model_fields])}"
        )
    return f"{'.'.join([argument, *path])} is {_shown(error['input'])}: {_remedy(error, _field(path, model))}"


def _problem(error: Mapping[str, Any], model: type[BaseModel]) -> str:
    path = [str(part) for part in error["loc"]]
    where = ".".join(path)
    if error["type"] == "extra_forbidden":
        return _unknown(path, error["input"], model)
    if error["type"] in _OF_A_GROUP:
        heading = f"[[{'.'.join(path[:-1])}]]" if path[-1].isdigit() else f"[{where}]"
        return f"setting {where} is a group: write its settings below {heading}"
    if error["type"] == "missing":
        return f"setting {where} is missing: write it below [[{'.'.join(path[:-2])}]]"
    value = "not valid" if set(path) & set(SECRETS) or _may_be_secret(error) else _shown(error["input"])
    remedy = _remedy(error, _field(path, model))
    return f"setting {where} is {value}{', ' if remedy.startswith('which ') else ': '}{remedy}"


def variable_sentence(variables: Mapping[str, str], prefix: str, model: type[BaseModel]) -> str:
    """Return a sentence on the first variable that should hold JSON and does not.

    Args:
        variables: the environment.
        prefix: of the settings' variables.
        model: the settings.
    """
    values = {name.upper(): value for name, value in variables.items()}
    for group, inner in _groups(model):
        whole = f"{prefix}{group}".upper()
        for name, field in inner.model_fields.items():
            variable = f"{whole}__{name}".upper()
            if get_origin(field.annotation) in (tuple, dict) and not _is_json(values.get(variable)):
                value = "" if name in SECRETS else f" {_shown(values[variable])}, which is"
                return f"{variable} is{value} not JSON: write it as {_example(field)}"
        if not _is_json(values.get(whole)):
            return f"{whole} is a group: set each of its settings by itself, such as {whole}__{name.upper()}"
    return f"a {prefix} variable is not JSON: write lists as JSON"


def _is_json(value: str | None) -> bool:
    """Return whether a variable is unset, empty or JSON."""
    if not value:
        return True
    try:
        json.loads(value)
    except ValueError:
        return False
    return True


def _example(field: FieldInfo | None) -> str:
    """Return a value of a list or a mapping, as JSON."""
    item = next(iter(get_args(field.annotation)), float) if field else float
    if field and get_origin(field.annotation) is dict:
        return '{"boiler-*": "bar"}'
    if hasattr(item, "model_fields"):
        return '[{"pattern": "boiler-*"}]'
    return '["a", "b"]' if item in (str, SecretStr) else "[0.5, 0.99]"


def _may_be_secret(error: Mapping[str, Any]) -> bool:
    """Return whether a value may be a password in the wrong setting: an address, or text instead of a number."""
    value = error["input"]
    if not isinstance(value, str):
        return False
    is_number = value.strip()[:1] in {*"+-.0123456789"}
    return "://" in value or "@" in value or (error["type"].startswith(("int", "float")) and not is_number)


def _remedy(error: Mapping[str, Any], field: FieldInfo | None) -> str:
    kind = error["type"]
    if kind == "value_error":  # from one of our validators
        return str(error["ctx"]["error"])
    if kind.startswith(_OF_BOUNDS):
        limits = field.metadata if field else [_Limit(error["ctx"])]  # for an item of a list only one bound is known
        return f"use {_bounds(limits)}"
    if kind == "literal_error":
        return f"use {error['ctx']['expected']}"
    if kind.startswith(("tuple", "list")):
        return f"write a list, such as {_example(field)}"
    for beginning, remedy in _REMEDIES.items():
        if kind.startswith(beginning):
            return remedy
    return f"{error['msg'][0].lower()}{error['msg'][1:]}"


class _Limit:
    """A bound in the form of a field's metadata."""

    def __init__(self, bound: Mapping[str, Any]) -> None:
        vars(self).update(bound)


def _bounds(limits: Sequence[object]) -> str:
    """Return the bounds in words: `1 to 256`, `more than 0 and less than 1`, `1 or more`."""
    known = {name: getattr(limit, name) for name, _ in _BOUNDS for limit in limits if hasattr(limit, name)}
    if {"ge", "le"} == set(known):
        return f"{known['ge']} to {known['le']}"
    return " and ".join(form.format(_plain(known[name])) for name, form in _BOUNDS if name in known)


def _plain(bound: float) -> float:
    return int(bound) if float(bound).is_integer() else bound


def _unknown(path: list[str], value: object, model: type[BaseModel]) -> str:
    """Return a sentence on an unknown setting: the similar name, or the group that it belongs to."""
    *above, name = path
    groups = {group: set(inner.model_fields) for group, inner in _groups(model)}
    of_all = set(model.model_fields) - set(groups)
    where = ".".join(path)
    if not above and isinstance(value, dict):
        return f"group [{name}] does not exist: {did_you_mean(name, groups)}"
    homes = [f"[{group}]" for group, names in groups.items() if name in names]
    if above and name in of_all:
        return f"setting {where} does not exist: write {name} at the top of the file, above all groups"
    if homes:
        return f"setting {where} does not exist: {name} belongs in the group {' or '.join(homes)}"
    known = groups.get(above[0], of_all) if above else {*of_all, *groups}
    if len(above) > 1 and (item := _item_of(above, model)):
        known = set(item.model_fields)
    return f"setting {where} does not exist: {did_you_mean(name, sorted(known))}"


def _groups(model: type[BaseModel]) -> Iterator[tuple[str, type[BaseModel]]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield name, field.annotation


def _item_of(path: list[str], model: type[BaseModel]) -> type[BaseModel] | None:
    """Return the model of the items of a list of groups."""
    field = _field(path[:2], model)
    item = get_args(field.annotation)[:1] if field else ()
    return item[0] if item and hasattr(item[0], "model_fields") else None


def _field(path: list[str], model: type[BaseModel]) -> FieldInfo | None:
    """Return the definition of a setting; None for an item of a list."""
    groups = dict(_groups(model))
    if len(path) > 1 and path[0] in groups:
        return groups[path[0]].model_fields.get(path[1]) if len(path) == 2 else None
    return model.model_fields.get(path[0]) if len(path) == 1 else None


def _shown(value: Any) -> str:
    text = str(value) if isinstance(value, date) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"

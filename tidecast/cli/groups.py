"""Let commands share groups of options: a dataclass is one parameter of a command, and its fields are options.

Typer reads the options of a command from its signature, one for each parameter. `with_groups` returns a function whose
signature has the fields of a group in place of the group. A field can be a group too.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from inspect import Parameter, signature
from typing import Any


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for Typer, which takes the fields of the groups as single options."""
    declared = signature(command)

    def run(**values: Any) -> None:
        command(**{name: _argument(name, each.annotation, values) for name, each in declared.parameters.items()})

    options = [option for parameter in declared.parameters.values() for option in _options(parameter)]
    run.__signature__ = declared.replace(parameters=options)  # type: ignore[attr-defined] # read by `inspect.signature`
    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    return run


def _options(parameter: Parameter) -> Iterator[Parameter]:
    """Yield the options of a group, or a parameter that is not a group."""
    if not is_dataclass(parameter.annotation):
        yield parameter.replace(kind=Parameter.KEYWORD_ONLY)
        return
    for field in fields(parameter.annotation):
        default = Parameter.empty if field.default is MISSING else field.default
        yield from _options(Parameter(field.name, Parameter.KEYWORD_ONLY, default=default, annotation=field.type))


def _argument(name: str, annotation: Any, values: Mapping[str, Any]) -> Any:
    """Return the value of a command's parameter: a group is made from the values of its options."""
    if not (isinstance(annotation, type) and is_dataclass(annotation)):
        return values[name]
    return annotation(**{field.name: _argument(field.name, field.type, values) for field in fields(annotation)})

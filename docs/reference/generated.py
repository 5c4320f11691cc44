"""Fill in tables of commands, settings and metrics from the code, as a hook of MkDocs.

A page requests a table with a comment on its own line, such as `<!-- generated: settings -->`.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer.main

from tidecast.cli.main import app
from tidecast.settings import PREFIX, Settings
from worker.metrics import Health

PLACE = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)
LINK = re.compile(r"\[([^\]]+)\]\(((?:\.\./)+[^)#\s]+)[^)\s]*\)")


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:  # noqa: ARG001 - MkDocs passes them by name
    """Fill in a page's tables; replace links to files outside the documents by their names, as the site lacks them."""
    folder = Path(page.file.abs_src_path).parent
    documents = Path(config.docs_dir).resolve()

    def plain(link: re.Match[str]) -> str:
        inside = (folder / link[2]).resolve().is_relative_to(documents)
        return link[0] if inside else link[1]

    return filled(LINK.sub(plain, markdown))


def filled(markdown: str) -> str:
    """Return a page with its tables in the place of the comments."""
    return PLACE.sub(lambda place: "\n".join(TABLES[place[1]]()), markdown)


def commands() -> Iterator[str]:
    """Yield every command with its help, its arguments and its options."""
    for name, command in _commands(typer.main.get_command(app), "tidecast"):
        yield from (f"## {name}", "", _cell(command.help or ""), "")
        if command.params:
            yield from ("| option | default | |", "|---|---|---|")
        for param in command.params:
            if param.name != "help":
                yield f"| {_named(param)} | {_default(param.default)} | {_cell(param.help or '')} |"
        yield ""


def settings() -> Iterator[str]:
    """Yield every setting with its variable, its kind, its default and its bounds."""
    for title, model, group in _groups():
        yield from (f"## {title}", "", _cell(model.__doc__ or ""), "")
        yield from ("| setting | variable | kind | default | |", "|---|---|---|---|---|")
        for name, kind, default, description in _fields(model):
            dotted = f"{group}.{name}" if group else name
            variable = PREFIX + dotted.replace(".", "__").upper()
            yield f"| `{dotted}` | `{variable}` | {kind} | {_default(default)} | {_cell(description)} |"
        yield ""


def metrics() -> Iterator[str]:
    """Yield every metric as Prometheus sees it."""
    yield from ("| metric | kind | labels | |", "|---|---|---|---|")
    registry = Health().registry
    # A metric that has counted nothing yet has no sample to read its labels from.
    collectors = registry._collector_to_names.items()
    known = {name: getattr(collector, "_labelnames", ()) for collector, names in collectors for name in names}
    for family in registry.collect():
        labels = known[family.name]
        name = family.name + ("_total" if family.type == "counter" else "")
        yield f"| `{name}` | {family.type} | {', '.join(labels)} | {_cell(family.documentation)} |"


TABLES: dict[str, Callable[[], Iterator[str]]] = {"commands": commands, "settings": settings, "metrics": metrics}


def _commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


def _named(param: Any) -> str:
    if param.param_type_name == "argument":
        return f"`{param.name.upper()}`" + (" …" if param.nargs == -1 else "")
    return ", ".join(f"`{opt}`" for opt in (*param.opts, *param.secondary_opts))


def _default(value: Any) -> str:
    shown = value.get_secret_value() if hasattr(value, "get_secret_value") else value
    return "" if shown in (None, "", (), [], False) or callable(shown) else f"`{shown}`"


def _groups() -> Iterator[tuple[str, Any, str]]:
    yield "Common", Settings, ""
    for name, field in Settings.model_fields.items():
        if hasattr(field.annotation, "model_fields"):
            yield f"`[{name}]`", field.annotation, name


def _fields(model: Any) -> Iterator[tuple[str, str, Any, str]]:
    for name, field in model.model_fields.items():
        if not hasattr(field.annotation, "model_fields"):
            yield name, _kind(field), field.default, field.description or ""


def _kind(field: Any) -> str:
    for name in ("duration", "period", "size", "moment"):
        if f"function _{name} " in f"{field.metadata}{field.annotation}":
            return name if field.default is not None else f"{name}, or empty"
    kind = str(getattr(field.annotation, "__name__", field.annotation))
    if "Union" in kind or " | " in str(field.annotation):
        kind = str(field.annotation)
    kind = re.sub(r"typing\.|pathlib\.|pydantic\.types\.|<class '|'>", "", kind).replace("SecretStr", "text")
    kind = kind.replace(" | None", ", or empty").replace("str", "text")
    bounds = [f"{sign} {getattr(limit, at)}" for limit in field.metadata for at, sign in SIGNS if hasattr(limit, at)]
    return _cell(", ".join([re.sub(r"Annotated\[(\w+),.*?\](?=[,\]]|$)", r"\1", kind), *bounds]))


SIGNS = (("ge", "≥"), ("gt", ">"), ("le", "≤"), ("lt", "<"))


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")

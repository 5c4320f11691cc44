"""The commands on a page, checked against those that exist: commands, options, variables, targets, modules."""

import re
import shlex
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import typer.main

from tests.documents.blocks import ROOT
from tidecast.cli.main import app
from tidecast.settings import CONFIG_VARIABLE, PREFIX, Settings

PROGRAM: Any = typer.main.get_command(app)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
SPANS = re.compile(r"`((?:tidecast|make|python -m) [^`]+)`")
_VARIABLE = re.compile(rf"\b{PREFIX}[A-Z_]*[A-Z]")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=")
_PLACEHOLDER = re.compile(r"[^a-z]*")  # COMMAND, …


def commands_in(script: str) -> list[list[str]]:
    """Return the simple commands of a shell script, word by word, without the variables before them."""
    commands: list[list[str]] = []
    for line in script.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        commands.append([])
        for word in lexer:
            if set(word) <= set("();<>|&"):
                commands.append([])
            elif commands[-1] or not _ASSIGNMENT.match(word):
                commands[-1].append(word)
    return [words for words in commands if words]


def wrong_in(words: list[str]) -> list[str]:
    """Return the faults of a command: of those that are ours, all words that do not exist."""
    program, *rest = words
    if program == "tidecast":
        return list(_unknown_options(rest))
    if program == "make":
        return [word for word in rest[:1] if word not in TARGETS]
    if program.startswith("python") and rest:
        return list(_unknown_module(rest))
    return []


def unknown_variables(page: str) -> set[str]:
    """Return our variables that a page names and that set nothing; one that Kubernetes sets comes with its value."""
    named = set(_VARIABLE.findall((ROOT / page).read_text())) - {CONFIG_VARIABLE} - set(_variables())
    return {name for name in named if not re.search(rf"{name}=tcp://", (ROOT / page).read_text())}


def _unknown_options(words: list[str]) -> Iterator[str]:
    command = PROGRAM
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words[0]]
        words = words[1:]
    if hasattr(command, "commands") and words and not words[0].startswith("-"):
        if not _PLACEHOLDER.fullmatch(words[0]):
            yield words[0]
        return
    known = {option for param in command.params for option in (*param.opts, *param.secondary_opts)} | {"--help"}
    given = (word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word))
    yield from (option for option in given if option not in known)


def _unknown_module(words: list[str]) -> Iterator[str]:
    """Return a module or file that does not exist, or an option that no file beside it names."""
    if words[0] == "-m" and words[1] in ("venv", "pip"):
        return
    file = _file_of(words[1]) if words[0] == "-m" else ROOT / words[0]
    if not file.is_file():
        yield " ".join(words)
        return
    beside = [file] if words[0] != "-m" else sorted(file.parent.glob("*.py"))
    source = "".join(path.read_text() for path in beside)
    yield from (word for word in words if word.startswith("--") and f'"{word}"' not in source)


def _file_of(module: str) -> Path:
    spec = find_spec(module)
    assert spec, module
    return (
        Path(str(spec.origin)).with_name("__main__.py") if spec.submodule_search_locations else Path(str(spec.origin))
    )


def _variables() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        inner = getattr(field.annotation, "model_fields", None)
        yield from ((f"{PREFIX}{name}__{part}".upper() for part in inner) if inner else (f"{PREFIX}{name}".upper(),))

"""Blocks that no test runs are at least parsed: each in its language, each command against those that exist."""

import ast
import subprocess
import tomllib

import pytest
import yaml

from tests.documents.blocks import PAGES, RUNNABLE, fences_of, prose_of
from tests.documents.commands import SPANS, commands_in, unknown_variables, wrong_in
from tidecast.settings import Settings

READ = {*RUNNABLE, "", "toml", "yaml"}  # without a language: output, drawings or messages, not programs
PROGRAMS = ("cd ", "docker ", "go ", "make ", "npm ", "pip ", "python", "redis-cli ", "tidecast ", "TIDECAST_")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_has_a_language_that_is_read(page: str) -> None:
    """A command in a block without a language would escape all that follows."""
    blocks = fences_of(page)
    assert set() == {block.language for block in blocks} - READ
    plain = "".join(block.text for block in blocks if not block.language)
    assert [] == [line for line in plain.splitlines() if line.startswith(PROGRAMS)]


@pytest.mark.parametrize("page", PAGES)
def test_every_command_and_option_of_a_page_exists(page: str) -> None:
    """Those in blocks, and those within sentences."""
    scripts = [block.text for block in fences_of(page) if block.language == "sh"]
    spans = SPANS.findall(prose_of(page))
    commands = [words for script in (*scripts, *spans) for words in commands_in(script)]
    assert [] == [(words, wrong) for words in commands if (wrong := wrong_in(words))]


def test_every_variable_of_a_page_sets_something() -> None:
    """A setting that was renamed is renamed on every page."""
    assert {} == {page: unknown for page in PAGES if (unknown := unknown_variables(page))}


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_well_formed(page: str) -> None:
    """The shell's by bash, Python's by its parser, settings by the settings themselves."""
    for block in fences_of(page):
        if block.language == "sh":
            read = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)  # noqa: S607 - the bash of whoever runs it
            assert (0, "") == (read.returncode, read.stderr)
        elif block.language == "python":
            ast.parse(block.text)
        elif block.language == "toml":
            Settings(**tomllib.loads(block.text))
        elif block.language == "yaml":
            yaml.safe_load(block.text)


@pytest.mark.parametrize(
    ("script", "wrong"),
    [
        ("tidecast train history.csv --no-such", "--no-such"),
        ("cat today.csv | tidecast shove -", "shove"),
        ("TIDECAST_PARTITIONS=2 tidecast worker --brust &", "--brust"),
        ("tidecast models list --kept 3 # as said", "--kept"),
        ("make no-such ARGS='--json'", "no-such"),
        ("python -m tests.chaos.fuzz --radings 5", "--radings"),
        ("python examples/none.py", "examples/none.py"),
    ],
)
def test_a_wrong_command_would_be_found(script: str, wrong: str) -> None:
    """Behind a pipe, behind a variable, in a group, with a comment."""
    assert [wrong] == [fault for words in commands_in(script) for fault in wrong_in(words)]

"""The fenced blocks of a page, in their order, and which of them its author says cannot be run by a test."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUNNABLE = ("sh", "python", "js")
FENCE = re.compile(r"(?:^<!-- not run: ([^\n]+) -->\n+)?^```([a-z]*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `excuse` says why no test runs it."""

    language: str
    text: str
    excuse: str = ""


def blocks_of(page: str) -> list[Block]:
    """All blocks of a page that are a program: of the shell, Python or JavaScript."""
    found = (Block(language, text, excuse) for excuse, language, text in FENCE.findall((ROOT / page).read_text()))
    return [block for block in found if block.language in RUNNABLE]

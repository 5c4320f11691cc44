"""The fenced blocks of a page, in their order, and those that a test cannot run, by the author's mark."""

import re
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", *(p.relative_to(ROOT).as_posix() for p in sorted(ROOT.glob("docs/**/*.md")))]
RUNNABLE = ("sh", "python", "js")
FENCE = re.compile(r"(?:^<!-- not run: ([^\n]+) -->\n+)?^( *)```([a-z]*)[^\n]*\n(.*?)^\2```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `excuse` is the reason why no test runs it."""

    language: str
    text: str
    excuse: str = ""


def fences_of(page: str) -> list[Block]:
    """Return all blocks of a page, those in lists too."""
    fences = FENCE.findall((ROOT / page).read_text())
    return [Block(language, dedent(text), excuse) for excuse, _, language, text in fences]


def blocks_of(page: str) -> list[Block]:
    """Return all blocks of a page that are a program: of the shell, Python or JavaScript."""
    return [block for block in fences_of(page) if block.language in RUNNABLE]


def prose_of(page: str) -> str:
    """Return a page without its blocks."""
    return FENCE.sub("", (ROOT / page).read_text())

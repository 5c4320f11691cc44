"""The page on all series in a browser: its one script runs under the page's own policy."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from trainer.reports.html_page import SORT, TableCell, page, sortable_table, write

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


def test_a_press_on_a_title_sorts_by_its_column(page: "Page", tmp_path: Path) -> None:
    """By number or by text; unknown ones stay last, and a second press turns the order round."""
    cells = [
        [TableCell("b", "b"), TableCell("10", 10)],
        [TableCell("a", "a"), TableCell("", None)],
        [TableCell("c", "c"), TableCell("9", 9)],
    ]
    path = write(tmp_path, "index", html_of(cells), [])
    page.goto(path.as_uri())
    names = page.locator("td:first-child")
    assert ["b", "a", "c"] == names.all_inner_texts()
    for title, expected in (("n", "cba"), ("n", "bca"), ("series", "abc")):
        page.click(f"button:text-is('{title}')")
        assert list(expected) == names.all_inner_texts()


def html_of(cells: list[list[TableCell]]) -> str:
    """Return a page with a table of two columns."""
    return page("All series", sortable_table(("series", "n"), cells), script=SORT)

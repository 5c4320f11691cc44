"""All text can be read: in both themes, and on a phone."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from redis import Redis

from tests.browser.conftest import dashboard
from tests.browser.seeding import seed_plant, store_at
from tests.tidecast.pictures.harness import contrast
from tests.trainer.reports.harness import SERIES, make_history, make_version, write_csv
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.settings import load_settings
from trainer.data.source import Source
from trainer.reports import explain, report
from trainer.reports.canvas import DPI, Sheet
from trainer.reports.target import Request

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

LEAST_CONTRAST = 4.5
LEAST_PX = 14
PHONE = {"width": 390, "height": 844}
SCHEMES = ("light", "dark")
# Each visible text with its colour and the colour behind it, both as they are painted, and its size in pixels.
TEXTS = """() => {
  const pen = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const painted = colours => {
    pen.fillStyle = '#fff';
    for (const colour of ['#fff', ...colours]) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    return '#' + [...pen.getImageData(0, 0, 1, 1).data].slice(0, 3).map(v => v.toString(16).padStart(2, '0')).join('');
  };
  const texts = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const text = walk.currentNode.data.trim();
    const shown = element.checkVisibility({visibilityProperty: true}) && !element.closest('style, script, .disabled');
    if (!text || !shown) continue;
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.unshift(getComputedStyle(at).backgroundColor);
    const style = getComputedStyle(element);
    const ink = element.closest('svg') ? style.fill : style.color;
    texts.push({text, ink: painted([...layers, ink]), behind: painted(layers), px: parseFloat(style.fontSize)});
  }
  return texts;
}"""


def texts_of(page: "Page") -> list[dict[str, Any]]:
    """Return the visible texts of a page, each with `text`, `ink`, `behind` and `px`."""
    texts: list[dict[str, Any]] = page.evaluate(TEXTS)
    assert texts
    return texts


def faint(page: "Page") -> list[dict[str, Any]]:
    """Return the texts with too little contrast."""
    return [text for text in texts_of(page) if contrast(text["ink"], text["behind"]) < LEAST_CONTRAST]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_of_the_dashboard_has_enough_contrast(
    page: "Page", server: EmbeddedRedis, connection: Redis, tmp_path: Path, scheme: Any
) -> None:
    """Axes and legends of charts too."""
    names = seed_plant(connection, store_at(tmp_path / "models"), round(time.time() * 1000))
    page.emulate_media(color_scheme=scheme)
    with dashboard(server, tmp_path / "models") as address:
        for path, sign in (
            ("/", "td.col-series"),
            (f"/series?name={names[2]}", ".heat text"),
            ("/retraining", ".plain"),
            ("/dead", ".plain"),
            ("/series?name=boiller-1", "b"),
            ("/nowhere", "a"),
        ):
            page.goto(address + path)
            page.wait_for_selector(sign)
            assert [] == faint(page)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A report and an explanation."""
    folder = tmp_path_factory.mktemp("reports")
    settings = load_settings(store=folder / "models")
    store_at(settings.store).publish(make_version())
    request = Request(SERIES, Source((str(write_csv(folder / "history.csv", make_history())),)))
    pages = report.run(request, settings, folder / "out"), explain.run(request, settings, folder / "out").path
    return list(pages)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_reports_can_be_read_on_a_phone(page: "Page", reports: list[Path], scheme: Any) -> None:
    """The page does not scroll sideways; text is large enough, in pictures too, which are drawn for this width."""
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type] # a size
    for path in reports:
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        texts = texts_of(page)
        assert [] == [text for text in texts if text["px"] < LEAST_PX]
        assert [] == faint(page)
        scales = page.evaluate("[...document.images].map(image => image.clientWidth / image.naturalWidth)")
        drawn_px = Sheet(narrow=True).text / 72 * DPI
        assert np.min(scales) * drawn_px >= LEAST_PX

"""The pictures of the documentation, taken of simulated series; each fits a page. `make pictures` keeps them."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from tests.browser.conftest import dashboard
from tests.browser.seeding import seed_plant, store_at
from tidecast.connection.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

SIZES = {1440: 900, 390: 844}
MOST_BYTES = 200_000


@pytest.fixture
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Where the pictures go."""
    pictures: Path | None = request.config.getoption("--pictures")
    return pictures or tmp_path


@pytest.fixture
def plant(server: EmbeddedRedis, connection: Redis, tmp_path: Path) -> Iterator[str]:
    """A dashboard of a plant with series in every state."""
    seed_plant(connection, store_at(tmp_path / "models"), round(time.time() * 1000))
    with dashboard(server, tmp_path / "models") as address:
        yield address


def test_pictures_of_the_empty_state(page: "Page", address: str, folder: Path) -> None:
    """Of the first look."""
    page.goto(address)
    page.wait_for_selector(".empty:visible")
    page.wait_for_function("document.querySelector('.figure.readings .value').innerText == '0'")
    _take(page, folder, "empty")


def test_pictures_of_the_overview(page: "Page", plant: str, connection: Redis, folder: Path) -> None:
    """Light and dark, by the system's setting."""
    page.goto(plant)
    page.wait_for_selector("td.col-series")
    page.wait_for_function("document.querySelector('.figure.readings .value').innerText == '0'")
    connection.hincrby("offset", "forecast", 200)
    page.wait_for_function("+document.querySelector('.figure.readings .value').innerText > 20")
    _take(page, folder, "overview")
    page.emulate_media(color_scheme="dark")
    page.wait_for_selector("body.body--dark")
    _take(page, folder, "overview-dark")


def test_pictures_of_a_series(page: "Page", plant: str, folder: Path) -> None:
    """With its chart, gates, versions and learning curve."""
    page.goto(f"{plant}/series?name=boiler-2%2Fpressure")
    page.wait_for_function("document.querySelectorAll('.gates .chart:has(svg)').length == 6")
    _take(page, folder, "series", whole=True)


def test_pictures_of_retraining(page: "Page", plant: str, folder: Path) -> None:
    """With the schedule's record and events."""
    page.goto(f"{plant}/retraining")
    page.wait_for_selector("text=every 6h")
    page.wait_for_selector("text=1.08 times")
    _take(page, folder, "retraining")


def test_pictures_of_dead_letters(page: "Page", plant: str, folder: Path) -> None:
    """With the reason, the reading and the remedy."""
    page.goto(f"{plant}/dead")
    page.wait_for_selector("text=3 dead letters")
    _take(page, folder, "dead")


def _take(page: "Page", folder: Path, name: str, *, whole: bool = False) -> None:
    page.wait_for_selector(".banner", state="hidden")
    for width, height in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        page.wait_for_function(f"document.documentElement.scrollWidth <= {width}")
        page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
        file = folder / f"dashboard-{name}-{width}.png"
        page.screenshot(path=file, full_page=whole)
        _compress(file)
        assert file.stat().st_size < MOST_BYTES


def _compress(file: Path) -> None:
    """Reduce to 256 colours that cover all there are: the rare ones, of badges and maps, matter most."""
    from PIL import Image

    with Image.open(file) as picture:
        few = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=4, dither=Image.Dither.NONE)
        few.save(file, optimize=True)

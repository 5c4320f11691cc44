"""A series' page in a real browser, beside a real worker."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from tests.browser.conftest import dashboard
from tests.browser.seeding import seed_plant, store_at
from tests.processes import worker_process
from tidecast.client import Client
from tidecast.embedded import EmbeddedRedis

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser


@pytest.mark.timeout(240)
def test_a_pushed_reading_is_in_the_chart_within_two_seconds(
    page: "Page", server: EmbeddedRedis, address: str, tmp_path: Path
) -> None:
    """From push through a real worker to the line that the browser draws."""
    with worker_process(server.url, tmp_path / "models"), Client(server.url) as client:
        first = next(_forecasts_of(client, 20.0))
        page.goto(f"{address}/series?name=boiler-7")
        page.wait_for_selector(".chart.tall canvas")
        took = []
        for value in (31.5, 32.25, 33.125):
            began = time.monotonic()
            client.push("boiler-7", value)
            page.wait_for_function(_drawn(value), timeout=10_000, polling=50)
            took.append(time.monotonic() - began)
    assert 20.0 == first.y
    assert max(took) < 2, took


def test_the_page_shows_versions_their_evidence_and_the_events(
    page: "Page", server: EmbeddedRedis, connection: Redis, tmp_path: Path
) -> None:
    """What the store and the streams say of a series."""
    names = seed_plant(connection, store_at(tmp_path / "models"), round(time.time() * 1000))
    with dashboard(server, tmp_path / "models") as address:
        page.goto(f"{address}/series?name={names[2]}")
        page.wait_for_selector("text=drifting")
        assert "3 (answers)" in page.inner_text(".plain >> nth=0")
        assert "level: 1.36 times the threshold" in page.inner_text(".plain >> nth=1")
        assert 3 == page.locator("canvas").count()
        assert 0 == page.locator("text=Roll back").count()
        page.goto(f"{address}/retraining")
        page.wait_for_selector("text=every 6h")
        assert "12 series trained" in page.inner_text(".plain >> nth=0")


def _forecasts_of(client: Client, value: float):  # type: ignore[no-untyped-def] # an iterator of forecasts
    found = client.forecasts("0")
    client.push("boiler-7", value)
    return found


def _drawn(value: float) -> str:
    """Whether the chart's own data hold a reading."""
    component = "[...document.querySelectorAll('.chart.tall')][0]"
    return f"getElement(+{component}.id.slice(1)).chart.getOption().series[0].data.some(point => point[1] == {value})"

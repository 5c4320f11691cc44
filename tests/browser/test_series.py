"""A series' page in a real browser, beside a real worker."""

import math
import os
import random
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from redis import Redis

from tests.browser.conftest import TOKEN, dashboard
from tests.browser.seeding import STEP_MS, STEPS, seed_forecasts, seed_plant, store_at
from tests.harness.models import make_model
from tests.harness.processes import worker_process
from tidecast.client import Client
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.spec import Spec

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

STEP_CELLS = ".plain >> nth=0 >> td[data-name=step]"
COMPONENT = "getElement(+document.querySelector('.chart.tall').id.slice(1))"
STREAM = f"{COMPONENT}.chart.getOption()"
# The data of the gates' charts, the lines first.
CHARTS = "[...document.querySelectorAll('.gates .chart')].map(c => getElement(+c.id.slice(1))?.chart?.getOption())"


@pytest.mark.timeout(240)
def test_a_pushed_reading_is_in_the_chart_within_two_seconds(
    page: "Page", server: EmbeddedRedis, address: str, tmp_path: Path
) -> None:
    """From push through a real worker to the line that the browser draws."""
    with worker_process(server.url, tmp_path / "models"), Client(server.url) as client:
        first = next(_forecasts_of(client, 20.0))
        page.goto(f"{address}/series?name=boiler-7")
        page.wait_for_selector(".chart.tall svg")
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
    """The facts about a series from the store and the streams."""
    names = seed_plant(connection, store_at(tmp_path / "models"), round(time.time() * 1000))
    with dashboard(server, tmp_path / "models") as address:
        page.goto(f"{address}/series?name={names[2]}")
        page.wait_for_selector(".badge.is-anomalous")
        page.wait_for_selector("text=3 (answers)")
        page.wait_for_selector("text=37.58, expected 32.1")
        assert 5 == page.locator(".card:not(.gates) svg").count()
        page.wait_for_selector(".card svg:has-text('online recent')")
        assert 0 == page.locator("text=Roll back").count()
        page.wait_for_selector("text=Next steps")
        page.wait_for_selector("text=last value's")
        assert [str(step) for step in range(1, STEPS + 1)] == page.locator(STEP_CELLS).all_inner_texts()
        assert page.inner_text(".weight >> nth=0").startswith("lstm")
        assert 1 == page.evaluate(f"{STREAM}.series[4].data.length")
        assert "level changed" in (page.text_content(".chart.tall svg") or "")
        assert re.search(r"\d [A-Z][a-z][a-z]", page.text_content(".chart.tall svg") or "")
        page.goto(f"{address}/retraining")
        page.wait_for_selector("text=every 6h")
        assert "12 series trained" in page.inner_text(".plain >> nth=0")


def test_a_range_shows_older_readings_and_the_slider_keeps_its_zoom(
    page: "Page", server: EmbeddedRedis, connection: Redis, tmp_path: Path
) -> None:
    """New readings go on coming in."""
    now_ms = round(time.time() * 1000)
    seed_forecasts(connection, ["boiler-1"], 300, naive_from=0, now_ms=now_ms - 5000)
    with dashboard(server, tmp_path / "models") as address:
        page.goto(f"{address}/series?name=boiler-1")
        page.click(".ranges a:has-text('hour')")
        page.wait_for_selector("text=Forecasts since 20")
        page.wait_for_function(f"{STREAM}.series[0].data.length == 300")
        page.evaluate(f"{COMPONENT}.chart.dispatchAction({{type: 'dataZoom', start: 40, end: 60}})")
        seed_forecasts(connection, ["boiler-1"], 2, naive_from=0, now_ms=now_ms)
        page.wait_for_function(f"{STREAM}.series[0].data.length == 302")
        assert [40, 60] == page.evaluate(f"[{STREAM}.dataZoom[0].start, {STREAM}.dataZoom[0].end]")


def test_a_series_is_muted_and_unmuted(page: "Page", server: EmbeddedRedis, connection: Redis, tmp_path: Path) -> None:
    """By whom and for how long; both are events."""
    seed_forecasts(connection, ["boiler-1"], 3, naive_from=0)
    with dashboard(server, tmp_path / "models", DASHBOARD__TOKEN=TOKEN) as address:
        page.goto(f"{address}/series?name=boiler-1&token={TOKEN}")
        page.click("button:has-text('Mute')")
        page.click("text=until unmuted")
        page.fill("input[aria-label='Your name']", "Ann")
        page.click("text=Yes >> visible=true")
        page.wait_for_selector("text=muted by Ann")
        page.wait_for_selector(".event-muted")
        page.goto(address)
        page.wait_for_selector(".muted-mark")
        page.goto(f"{address}/series?name=boiler-1")
        page.click("button:has-text('Unmute')")
        page.click("text=Yes >> visible=true")
        page.wait_for_selector(".event-unmuted")
        page.wait_for_selector("button:has-text('Mute'):visible")
    assert {} == connection.hgetall("muted")


def test_on_a_phone_the_page_is_short_and_cards_open_by_a_press(
    page: "Page", server: EmbeddedRedis, connection: Redis, tmp_path: Path
) -> None:
    """Not more than two screens before anything is opened."""
    names = seed_plant(connection, store_at(tmp_path / "models"), round(time.time() * 1000))
    page.set_viewport_size({"width": 390, "height": 844})
    with dashboard(server, tmp_path / "models") as address:
        page.goto(f"{address}/series?name={names[2]}")
        page.wait_for_selector("text=37.58, expected 32.1")
        assert page.evaluate("document.documentElement.scrollHeight") < 2 * 844
        assert not page.is_visible("text=3 (answers)")
        page.click("button:has-text('Versions')")
        page.wait_for_selector("text=3 (answers)")


@pytest.mark.timeout(240)
def test_the_gates_follow_the_newest_window(page: "Page", server: EmbeddedRedis, address: str, tmp_path: Path) -> None:
    """Drawn once a model answers, and redrawn with the next reading."""
    store = store_at(tmp_path / "models")
    store.publish(make_model("boiler-7", Spec(window=6, units=5, layers=2)))
    with worker_process(server.url, store.root), Client(server.url) as client:
        begun = round(time.time() * 1000)
        client.push_many([("boiler-7", 20.0 + i, begun + STEP_MS * i) for i in range(5)])
        page.goto(f"{address}/series?name=boiler-7")
        page.wait_for_selector("text=The network reads 6 readings in a row; the series has 5 so far.")
        assert 0 == page.locator(".gates svg").count()
        for i, value in enumerate((31.5, 32.25), 5):
            client.push("boiler-7", value, begun + STEP_MS * i)
            page.wait_for_function(_met(value), timeout=20_000)
    assert "Version 1: the first of 2 layers of the LSTM over the 6 readings" in page.inner_text(".gates")
    assert 5 * [30] == page.evaluate(f"{CHARTS}.slice(1).map(chart => chart.series[0].data.length)")


def test_a_series_without_a_network_says_so(page: "Page", address: str, connection: Redis) -> None:
    """In words, where the gates would be."""
    seed_forecasts(connection, ["boiler-1"], 3, naive_from=0)
    page.goto(f"{address}/series?name=boiler-1")
    page.wait_for_selector("text=No model answers yet, so there is no network")
    assert 0 == page.locator(".gates svg").count()


@pytest.mark.timeout(300)
def test_the_button_retrains_and_the_page_shows_what_came_of_it(
    page: "Page", server: EmbeddedRedis, tmp_path: Path
) -> None:
    """The button starts a real training of few readings, while a real worker answers."""
    store = store_at(tmp_path / "models")
    noise = random.Random(1)
    begun = round(time.time() * 1000) - 400 * STEP_MS
    readings = [("boiler-7", 30 + 4 * math.sin(i / 4) + noise.gauss(0, 0.2), begun + STEP_MS * i) for i in range(400)]
    page.set_default_timeout(240_000)  # a busy machine takes its time
    short = {"TRAIN__EPOCHS": "2", "TRAIN__SHARED_EPOCHS": "0", "RETRAIN__LOW_PRIORITY": "false"}
    with worker_process(server.url, store.root), Client(server.url) as client:
        client.push_many(readings)
        with dashboard(server, store.root, DASHBOARD__TOKEN=TOKEN, **short) as address:
            page.goto(f"{address}/series?name=boiler-7&token={TOKEN}")
            page.wait_for_selector(".badge.is-no-model")
            page.click("button:has-text('Retrain')")
            page.click("text=Train boiler-7 again now?")
            page.click("text=Yes")
            page.wait_for_selector("button:has-text('Retrain'):disabled")
            page.wait_for_selector(".badge.is-retraining")
            page.wait_for_selector("text=boiler-7: 1 trained")
            page.wait_for_selector("text=1 (answers)")
            page.wait_for_selector(".event-promoted")
            page.wait_for_selector("text=Version 1: the LSTM over the 24 readings")
            page.wait_for_selector("button:has-text('Retrain'):enabled")
            rows = (time.time() * 1000 - begun) / STEP_MS
            client.push("boiler-7", 30 + 4 * math.sin(rows / 4))  # as it goes on: another value would be an anomaly
            page.wait_for_selector(".badge.is-ok")
            page.wait_for_selector(".figure.model .value:has-text('v1')")
    assert 1 == store.champion("boiler-7")


@pytest.mark.timeout(240)
def test_who_leaves_while_a_series_is_retrained_finds_it_so_on_return(
    page: "Page", server: EmbeddedRedis, connection: Redis, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The button waits until the run has ended, and the page shows what came of it, however often it is loaded."""
    seed_forecasts(connection, ["boiler-1"], 3, naive_from=0)
    with dashboard(server, tmp_path / "models", DASHBOARD__TOKEN=TOKEN) as address:
        page.goto(f"{address}/series?name=boiler-1&token={TOKEN}")
        program = connection.info("server")["process_id"]
        os.kill(program, signal.SIGSTOP)  # the run waits for Redis
        page.click("button:has-text('Retrain')")
        page.click("text=Yes")
        page.wait_for_selector(".badge.is-retraining")
        page.goto(f"{address}/series?name=boiler-1")
        assert page.is_disabled("button:has-text('Retrain')")
        os.kill(program, signal.SIGCONT)
        page.wait_for_selector("button:has-text('Retrain'):enabled", timeout=120_000)
        page.wait_for_selector("text=UTC: Retraining boiler-1 failed: ")
        page.reload()
        page.wait_for_selector("text=UTC: Retraining boiler-1 failed: ")
    assert "Traceback" not in capfd.readouterr().err


def _forecasts_of(client: Client, value: float):  # type: ignore[no-untyped-def] # an iterator of forecasts
    forecasts = client.forecasts("0")
    client.push("boiler-7", value)
    return forecasts


def _met(value: float) -> str:
    """Return whether the lines of the gates show a reading."""
    return f"({CHARTS}[0]?.series[0].data ?? []).includes({value})"


def _drawn(value: float) -> str:
    """Return whether the chart's own data hold a reading."""
    return f"{STREAM}.series[0].data.some(point => point[1] == {value})"

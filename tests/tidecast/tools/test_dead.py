"""Readings that could not be answered are seen in the log, by clients and by a command, and are pushed again once."""

import asyncio
import json
import re

import pytest
from redis import Redis
from structlog.testing import capture_logs

from tests.harness.processes import run_command
from tests.worker.harness import NOW, forecasts, new_worker
from tidecast.client import AsyncClient, Client
from tidecast.doctor import flow
from tidecast.doctor.finding import Case
from tidecast.errors import SettingsError
from tidecast.settings import Settings
from tidecast.tools.requeue import requeue, requeued_ids
from tidecast.wire import DeadLetter
from worker.partition.dead_warnings import MOST_COUNTED, DeadLetterWarnings

pytestmark = pytest.mark.settings(worker={"name": "w", "block": "1ms"})


def reject(redis: Redis, settings: Settings) -> None:
    """Let a worker reject readings: with a text, with another target, without a series, and with a long field."""
    rejected: list[dict[str, str]] = [
        {"series": "a", "value": "n/a"},
        {"series": "b", "power": "5"},
        {"value": "1"},
        {"series": "c", "x": "y" * 2000},
    ]
    for n, fields in enumerate(rejected):
        redis.xadd("readings", fields | {"ts": 1000 * n}, id=f"{n + 1}-0")  # type: ignore[arg-type] # texts are fine
    new_worker(settings).step(NOW)


def dead(settings: Settings, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, list[str]]:
    """Run `tidecast dead`; return its exit code and its lines."""
    capsys.readouterr()
    code = run_command("dead", *words, "--redis", settings.redis_url.get_secret_value())
    return code, capsys.readouterr().out.splitlines()


def test_the_command_lists_dead_letters_by_series_and_reason(
    redis: Redis, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """As lines with the remedy, or as JSON."""
    reject(redis, settings)
    code, lines = dead(settings, capsys)
    assert (0, 4) == (code, len(lines))
    assert "1-0  a  bad_value: " in lines[0]
    assert "(no series)  no_series: field 'series' is missing or empty" in lines[2]
    ids = [json.loads(line)["id"] for line in dead(settings, capsys, "--series", "[ab]", "--json")[1]]
    assert ["1-0", "2-0"] == ids
    (line,) = dead(settings, capsys, "--reason", "bad_value", "--json")[1]
    letter = json.loads(line)
    assert ({"series": "a", "value": "n/a", "ts": "0"}, None) == (letter["fields"], letter["requeued"])
    assert ["2-0"] == [
        json.loads(line)["id"] for line in dead(settings, capsys, "--since", "1-0", "-n", "1", "--json")[1]
    ]


def test_a_name_with_control_characters_is_escaped(
    redis: Redis, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """A producer's bug or bad will must not move the cursor of the operator's terminal, nor add lines."""
    redis.xadd("readings", {"series": "a\n\x1b[2Jb", "value": 1})
    new_worker(settings).step(NOW)
    _, (line,) = dead(settings, capsys)
    assert r"  'a\n\x1b[2Jb'  bad_series: " in line
    (finding,) = flow.dead(Case(settings, redis, redis))
    assert r"the newest, of 'a\n\x1b[2Jb': " in finding.remedy


def test_both_clients_follow_dead_letters(redis: Redis, settings: Settings) -> None:
    """Those of a reason or of a series, as events are followed."""
    reject(redis, settings)
    url = settings.redis_url.get_secret_value()

    async def followed() -> list[DeadLetter]:
        async with AsyncClient(url) as client:
            return [letter async for letter in client.dead("0", series="a", block_ms=1, stop_when_idle=True)]

    with Client(url) as client:
        (letter,) = client.dead("0", reasons=["bad_value"], block_ms=1, stop_when_idle=True)
        assert ("1-0", "a", b"n/a") == (letter.id, letter.series, letter.fields[b"value"])
        assert [letter] == asyncio.run(followed())


def test_a_reason_that_does_not_exist_is_refused() -> None:
    """Otherwise a mistyped reason would look like no dead letters."""
    sentence = "reasons has 'bad_valu', which does not exist: did you mean 'bad_value'?"
    with Client() as client, pytest.raises(SettingsError, match=re.escape(sentence)):
        client.dead("0", reasons="bad_valu")


def test_readings_are_pushed_again_once_after_a_correction(
    redis: Redis, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    """With their own fields; the second call pushes none, and a reading whose fields were cut is not pushed."""
    reject(redis, settings)
    assert (0, ["readings pushed again: 1; pushed again before: 0"]) == dead(
        settings, capsys, "--series", "b", "--requeue"
    )
    corrected = settings.model_copy(update={"series": settings.series.model_copy(update={"target": "power"})})
    new_worker(corrected).step(NOW)
    assert [("b", 5.0)] == [(made.series, made.y) for made in forecasts(redis)]
    code, (line,) = dead(settings, capsys, "--requeue", "--json")
    assert {"requeued": 2, "before": 1, "cut": 1, "elsewhere": 0, "known": 0} == json.loads(line)
    assert 3 == code
    assert 4 + 3 == redis.xlen("readings")
    assert {"1-0", "2-0", "3-0"} == set(requeued_ids(settings))
    assert "(pushed again as " in dead(settings, capsys, "--series", "b")[1][0]
    redis.xtrim("dead", maxlen=1, approximate=False)
    dead(settings, capsys, "--requeue")
    assert {} == requeued_ids(settings)


def test_a_reading_is_pushed_again_beside_known_values_with_its_id(redis: Redis, settings: Settings) -> None:
    """Both streams get their ids from the clock, so a reading and known values of one millisecond share one."""
    letter = DeadLetter("1-0", "bad_value", "not a number", {b"series": b"a", b"value": b"x"})
    known = DeadLetter("1-0", "bad_value", "not a number", {b"series": b"a", b"price": b"x"})
    for key, each in (("dead", letter), ("known_dead", known)):
        flat = each.encode()
        redis.xadd(key, dict(zip(flat[::2], flat[1::2], strict=True)), id="1-0")
    assert {"requeued": 1, "known": 1} == requeue(settings, [letter, known])
    ((_, fields),) = redis.xrange("readings")
    assert {b"series": b"a", b"value": b"x"} == fields


def test_the_log_warns_at_once_and_then_once_a_minute(redis: Redis, settings: Settings) -> None:
    """Series, reason, count and remedy; a million bad readings fill no disk."""
    with capture_logs() as logs:
        reject(redis, settings)
    (warning,) = [line for line in logs if line["event"] == "readings rejected"]
    assert (4, "1 bad_value of a", "warning") == (warning["count"], warning["some"][0], warning["log_level"])
    warnings = DeadLetterWarnings(0)
    letters = [DeadLetter(f"{n}-0", "bad_value", "why", {b"series": b"s%d" % n}) for n in range(2 * MOST_COUNTED)]
    with capture_logs() as logs:
        for second in range(90):
            warnings.add(letters if second < 30 else [])
            warnings.warn(NOW + second)
    assert [2000, 58_000] == [line["count"] for line in logs]
    assert str(logs[1]["some"][0]).startswith("29000 bad_value of other series")

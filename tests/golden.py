"""Replay one fixed input through a real worker and keep every byte that it writes, to compare two states of the code.

    python -m tests.golden FILE            write the bytes to FILE
    python -m tests.golden FILE --check    replay again and list the first differences to FILE

The bytes depend on the processor: compare on one machine. The clock has no part in them.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
from redis import Redis

from tests.harness.models import make_model, make_shared, random_panel
from tidecast.connection.embedded import EmbeddedRedis
from tidecast.models.experts import LINEAR, TERMS, LinearExperts
from tidecast.models.model import Model
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.settings import load_settings
from worker import loop, model_loader
from worker.main import make_worker
from worker.metrics import Health

BEGIN_MS = 1_600_000_000_000
STEP_MS = 60_000
ROWS = 900  # of each series
PARTS = 3  # the models move between them
BATCH = 97  # readings, so that batches do not end where rows do
FEATURES = ("value", "load", "wind")
SHOWN = 10  # differences
SWING = 5 * np.cumsum([1, 1, 1, -1, -1, -1, 1, -1, -1, 1, -1, 1])  # no expert without a season learns this period
LOOK_S = 10.0  # between two steps: long enough that the worker looks for models again

Entry = tuple[str, dict[str, str]]


def entries(rows: int = ROWS) -> list[Entry]:
    """Make so many rows of all series in the order of time, with gaps, faults and changes: `(id, fields)`."""
    rng = np.random.default_rng(11)
    made: list[Entry] = []
    for n in range(rows):
        day = np.sin(2 * np.pi * n / 48)
        noise = rng.normal(size=8)
        values = {
            "calm": 50 + 10 * day + noise[0],
            "level": 20 + noise[1] + 15 * (n > 500),
            "season": (1 if n < 550 else -1) * 8 * day + 0.5 * noise[2],
            "swing": SWING[n % len(SWING)] + 0.1 * noise[3],
            "spiky": 100 + noise[4] + 1e6 * (n % 301 == 300),
            "young": 3 + noise[5],
            "flat": 7.0,
        }
        fields = [{"series": name, "value": f"{value:.6f}"} for name, value in values.items()]
        plant = {"series": "plant", "value": f"{day + noise[6]:.4f}", "load": f"{noise[7]:.4f}", "wind": f"{n % 7}"}
        if n % 5 == 0:
            del plant["wind"]
        fields.append(plant)
        made += [(_id(n, i), {**each, "ts": str(_time(n))}) for i, each in enumerate(fields) if not _missing(n, i)]
        made += [(_id(n, 90 + i), each) for i, each in enumerate(_odd(n))]
    return made


def _id(n: int, sequence: int) -> str:
    return f"{_time(n)}-{sequence}"


def _time(n: int) -> int:
    return BEGIN_MS + STEP_MS * n


def _missing(n: int, series: int) -> bool:
    """Return whether a row is left out: short gaps that are filled, and a long one that is not."""
    return (n + 13 * series) % 97 in (1, 2) or (series == 0 and 300 <= n < 340)


def _odd(n: int) -> Iterator[dict[str, str]]:
    """Yield readings that are late, doubled, or no readings at all."""
    if n % 50 == 10:
        yield {"series": "calm", "value": "1", "ts": str(_time(n - 3))}
        yield {"series": "level", "value": "1", "ts": str(_time(n))}
    if n % 50 == 20:
        yield {"series": "calm", "value": "nan", "ts": str(_time(n))}
        yield {"series": "calm", "ts": str(_time(n))}
        yield {"value": "4"}
        yield {"series": "calm", "value": "1", "ts": "yesterday"}
        yield {"series": "calm", "value": "1", "ts": "2020-09-13T12:00:00"}


def publish(store: ModelStore, part: int) -> None:
    """Move the models before a part of the readings: first versions, shared networks, versions on trial."""
    step = {"step_ms": float(STEP_MS)}
    if part == 0:
        store.publish(make_model("calm", Spec(window=12, units=9), panel=random_panel(1), **step))
        stacked = Spec(window=8, units=6, layers=2, bidirectional=True)
        store.publish(make_model("level", stacked, seed=2, panel=random_panel(2), **step))
        store.publish(make_model("season", Spec(window=6, units=5, activation="relu"), seed=3, **step))
        store.publish(make_model("plant", Spec(features=FEATURES, window=10, units=7), seed=4, **step))
        store.publish(_seasonal("swing", lag=len(SWING) - 1))
    if part == 1:
        store.shared.publish(make_shared(f"{STEP_MS}-value", seed=5, step_ms=float(STEP_MS)))
        store.publish(_seasonal("swing", lag=0))
        store.publish(
            make_model("calm", Spec(window=16, units=5, normalise=True), seed=6, panel=random_panel(3), **step)
        )


def _seasonal(series: str, lag: int) -> Model:
    """Make a model with one linear expert that reads the row `lag` before the newest."""
    panel = LinearExperts.naive(10.0)
    lags = np.zeros(TERMS, np.int64)
    needs = np.zeros(len(LINEAR), np.int64)
    coefficients = np.zeros((len(LINEAR), TERMS))
    lags[0] = lag
    needs[0] = lag + 1
    coefficients[0, 0] = 1.0
    panel.errors[:, 1] = 0.1
    known = LinearExperts(lags, lags * 0, coefficients, np.zeros(len(LINEAR)), needs, panel.errors)
    return make_model(series, Spec(window=2, units=1), network=False, panel=known, step_ms=float(STEP_MS))


def replay(folder: Path, rows: int = ROWS) -> dict[str, list[object]]:
    """Run the worker over all readings and return the content of Redis afterwards, by key, as text."""
    with EmbeddedRedis() as server, Redis.from_url(server.url, protocol=2) as redis:
        settings = load_settings(
            redis_url=server.url,
            store=folder / "models",
            worker={"batch": BATCH},
            series={"horizon": 3, "more_levels": (0.5, 0.99), "minimum": -1e5},
            retrain={"probation": 60},
        )
        store = ModelStore(settings.store)
        made = entries(rows)
        for part in range(PARTS):
            publish(store, part)
            first, end = (len(made) * each // PARTS for each in (part, part + 1))
            for entry_id, fields in made[first:end]:
                redis.xadd("readings", fields, id=entry_id)
            _answer(make_worker(settings, Health()))
        return _written(redis)


def _answer(worker: loop.Worker) -> None:
    """Answer all that is there; the worker looks for models before every batch, and loads all at once."""
    with patch.object(loop, "QUIET_S", 0.0), patch.object(model_loader, "IDLE_LOADING_S", 3600.0):
        now = BEGIN_MS / 1000
        while worker.step(now := now + LOOK_S) != 0:
            pass
    worker.leave()


def _written(redis: Redis) -> dict[str, list[object]]:
    """Return all that a worker has written; an event's id is the time of its commit, and left out."""
    streams: dict[str, list[object]] = {
        key: [
            [*([] if key == "events" else [_text(entry_id)]), _pairs(fields)] for entry_id, fields in redis.xrange(key)
        ]
        for key in ("forecasts", "dead", "events")
    }
    state = sorted([_text(name), value.hex()] for name, value in redis.hgetall("state").items())
    return {**streams, "state": list(state), "offset": sorted(_pairs(redis.hgetall("offset")))}


def _pairs(fields: dict[bytes, bytes]) -> list[object]:
    return [[_text(name), _text(value)] for name, value in fields.items()]


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def differences(before: dict[str, list[object]], after: dict[str, list[object]]) -> list[str]:
    """List where two replays differ, a line for each row."""
    lines = []
    for key in sorted(before.keys() | after.keys()):
        old = before.get(key, [])
        new = after.get(key, [])
        if len(old) != len(new):
            lines.append(f"{key}: {len(old)} rows before, {len(new)} now")
        lines += [f"{key}: {a} -> {b}" for a, b in zip(old, new, strict=False) if a != b]
    return lines


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        written = replay(Path(folder))
    print(json.dumps({key: len(rows) for key, rows in written.items()}))
    if not options.check:
        options.file.write_text(json.dumps(written))
        return 0
    lines = differences(json.loads(options.file.read_text()), json.loads(json.dumps(written)))
    print("\n".join(lines[:SHOWN]) or "the same bytes")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())

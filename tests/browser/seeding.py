"""Streams as workers leave them, without one: many series at once, and series in every state."""

import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from redis import Redis

from tests.harness.models import make_model
from tidecast.connection.records.mutes import Mute, mute_series
from tidecast.models.experts import EXPERTS, PROVEN
from tidecast.models.model import Evidence, Scores
from tidecast.models.spec import Spec
from tidecast.models.store import ModelStore
from tidecast.online.series.state import SeriesState
from tidecast.online.window import Window
from tidecast.wire import Event, keys_of

ROWS_KEPT = 400
CONDITIONS = {  # fields of the watch, by series
    "boiler-2/pressure": ("anomaly_ts",),
    "chiller-3/flow": ("stuck",),
    "mill-1/flow": ("silent",),
    "pump-2/pressure": ("degraded",),
}
STEPS = 6  # that are forecast
SPIKE = 6.0  # of the third series
ODD = 3.0  # anomaly score of an anomaly
WEIGHED = {"naive": 1.3, "seasonal_naive": 1.2, "linear": 1.05, "lstm": 1.0, "pretrained": 1.08}  # errors by expert
STEP_MS = 1000
PLACES = ("boiler", "chiller", "pump", "turbine", "valve")
DEAD = (("bad_value", "boiler-3/flow", "1,5"), ("bad_value", "pump-9/flow", "n/a"), ("no_value", "valve-1/flow", ""))
CURVES = {
    "loss": tuple(0.24 + 0.55 * math.exp(-epoch / 4) for epoch in range(1, 25)),
    "validation": tuple(0.29 + 0.5 * math.exp(-epoch / 3.2) + 0.008 * math.sin(epoch) for epoch in range(1, 25)),
}


def seed_forecasts(redis: Redis, names: list[str], rounds: int, *, naive_from: int, now_ms: int | None = None) -> None:
    """Write forecasts of each series, round after round up to now; those from `naive_from` on have no model."""
    end = (now_ms or round(time.time() * 1000)) - 10
    waves = [_wave(i, rounds + STEPS) for i in range(len(names))]
    before: dict[int, tuple[float, float]] = {}
    for turn in range(rounds):
        arrived = end - (rounds - 1 - turn) * STEP_MS
        with redis.pipeline(transaction=False) as pipeline:
            for i, name in enumerate(names):
                y = waves[i][turn] + (SPIKE if (i, turn) == (2, rounds - 20) else 0)
                yhat = y if i >= naive_from else waves[i][turn + 1] + random.Random(f"{i} {turn}").gauss(0, 0.55)
                width = 2.4 if i >= naive_from else 1.1
                fields = _fields(name, arrived, y, yhat, width, None if i >= naive_from else 1 + i % 3)
                if i in before:
                    error = y - before[i][0]
                    score = abs(error) / before[i][1]
                    fields |= {"error": f"{error:.6g}", "anomaly_score": f"{score:.6g}", "anomaly": int(score > ODD)}
                fields |= _ahead(waves[i], turn, width)
                before[i] = (yhat, width)
                pipeline.xadd("forecasts", fields, id=f"{arrived}-{i}")
            pipeline.execute()


def _fields(name: str, at: int, y: float, yhat: float, width: float, model: int | None) -> dict[Any, Any]:
    fields: dict[Any, Any] = {
        "series": name,
        "ts": at + STEP_MS,
        "yhat": f"{yhat:.6g}",
        "yhat_lower": f"{yhat - width:.6g}",
        "yhat_upper": f"{yhat + width:.6g}",
        "level": "0.9",
        "origin": at,
        "kind": "naive" if model is None else ("lstm", "linear", "shared_lstm")[model - 1],
        "y": f"{y:.6g}",
    }
    return fields if model is None else fields | {"model": model}


def _ahead(wave: list[float], turn: int, width: float) -> dict[str, str]:
    """Return the fields of the steps after the next."""
    fields = {}
    for step in range(2, STEPS + 1):
        wide = width * step**0.5
        yhat = wave[turn + step] + random.Random(f"{turn} {step}").gauss(0, wide / 2)
        fields |= {f"yhat_{step}": f"{yhat:.6g}"}
        fields |= {f"yhat_{step}_lower": f"{yhat - wide:.6g}", f"yhat_{step}_upper": f"{yhat + wide:.6g}"}
    return fields


def seed_windows(redis: Redis, names: list[str], rounds: int, now_ms: int) -> None:
    """Remember of each series the readings of `seed_forecasts`, as a worker does."""
    for i, name in enumerate(names):
        window = Window(ROWS_KEPT, 1)
        for turn, y in enumerate(_wave(i, rounds)[:rounds]):
            window.push(now_ms - 10 - (rounds - 1 - turn) * STEP_MS, [float(f"{y:.6g}")], 0)
        state = SeriesState(("value",), window)
        for expert, error in WEIGHED.items():
            state.errors[:, EXPERTS.index(expert)] = error
            state.answers[EXPERTS.index(expert)] = 1.0
        state.fields.evidence[:] = PROVEN
        for condition in CONDITIONS.get(name, ()):
            state.fields.watch[condition] = 1
        redis.hset("state", mapping=dict(state.changes(name)))


def seed_plant(redis: Redis, store: ModelStore, now_ms: int) -> list[str]:
    """Forty-eight series of a plant in every state, with models, a schedule's record and events."""
    names = [f"{place}-{number}/{kind}" for place in PLACES for number in range(1, 5) for kind in ("pressure", "flow")]
    silent = ["mill-1/flow", "mill-2/flow"]
    seed_forecasts(redis, silent, 40, naive_from=2, now_ms=now_ms - 300_000)
    seed_forecasts(redis, names, 96, naive_from=36, now_ms=now_ms)
    seed_windows(redis, [*names, *silent], 96, now_ms)
    mute_series(redis, keys_of(), names[7], Mute(now_ms, None, "Ann"))
    for reason, name, value in DEAD:
        fields = {"reason": reason, "detail": f"value is {value!r}: send a decimal number", "original.value": value}
        redis.xadd("dead", dict(fields | {"original.series": name}))
    for i, name in enumerate([*names[:36], *silent, "hall/temperature"]):
        for version in range(1, 2 + i % 3):
            store.publish(_model(name, now_ms, version))
    for event in _events(names, now_ms):
        redis.xadd("events", dict(_pairs(event.encode())))
    redis.hset("retrain", mapping=_record(now_ms))
    redis.hset("offset", mapping={"last": "0-0", "read": 4000, "forecast": 3998, "dead": 3})
    redis.hset("lease", mapping={"epoch": 1, "owner": "plant", "expires_ms": now_ms + 3_600_000})
    return names


def _wave(i: int, rounds: int) -> list[float]:
    noise = random.Random(i)
    level = 20 + 7 * (i % 9)
    swing = 2 + i % 4
    period = 18 + i % 13
    return [level + swing * math.sin(2 * math.pi * (k + i) / period) + noise.gauss(0, 0.25) for k in range(rounds + 1)]


def _model(name: str, now_ms: int, version: int) -> Any:
    scores = {"model": Scores(mae=0.39, rmse=0.5), "last_value": Scores(mae=0.71, rmse=0.9)}
    evidence = Evidence(rows=180, season=24, scores=scores, skill=0.45, verdict="published")
    made = now_ms - (5 - version) * 86_400_000
    span = (made - 30 * 86_400_000, made)
    spec = Spec(window=24, units=32)
    return make_model(
        name, spec, evidence=evidence, created_ms=made, span=span, curves=CURVES, scale=(3.0,), seed=version
    )


def _events(names: list[str], now_ms: int) -> Iterator[Event]:
    due = "2026-03-01T03:00:00Z"
    yield Event("series_created", f"first readings received of {len(names)} series: {names[0]}, {names[1]}, …")
    yield Event("started", f"the run due at {due} has started, try 1")
    yield Event("promoted", "MAE 0.39, the champion's 0.44: 11 % less", names[1], 2)
    yield Event("refused", "MAE 0.41, the champion's 0.40: it stays", names[4], 3)
    summary = "12 series trained, 5 kept their model, 0 refused, 3 put off, in 449.1 s"
    yield Event("finished", f"the run due at {due} has finished: {summary}")
    yield Event("confirmed", "over 100 readings its errors were not larger than version 1's", names[1], 2)
    yield Event("drift", "the forecasts err more than before: 1.08 times the threshold", names[7])
    at = now_ms - 20 * STEP_MS
    facts = {"phase": "begins", "ts": at, "value": 37.58, "expected": 32.1, "score": 4.9}
    yield Event("anomaly", "37.58, expected 32.1", names[2], facts=facts)
    yield Event(
        "level_changed", "from 35.2 to 33.9", names[2], facts={"ts": at - 45 * STEP_MS, "old": 35.2, "new": 33.9}
    )


def _record(now_ms: int) -> dict[str, str | int]:
    return {
        "trigger": "every 6h",
        "state": "finished",
        "due_ms": now_ms - 7_200_000,
        "tries": 1,
        "started_ms": now_ms - 7_200_000,
        "ended_ms": now_ms - 6_750_900,
        "next_ms": now_ms + 14_400_000,
        "runs": 9,
        "detail": "12 series trained, 5 kept their model, 0 refused, 3 put off, in 449.1 s",
    }


def _pairs(flat: list[str | bytes]) -> Iterator[tuple[Any, Any]]:
    return zip(flat[::2], flat[1::2], strict=True)


def store_at(folder: Path) -> ModelStore:
    """Return a store in a folder that may not be there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return ModelStore(folder)

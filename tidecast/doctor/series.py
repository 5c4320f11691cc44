"""Describe one series: its model and verdicts, its newest forecast and errors, its events and dead letters."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, cast

from redis import Redis

from tidecast.connection import connect
from tidecast.connection.known_series import answered_series
from tidecast.connection.partitions import at_present, newest_entries, offset_of
from tidecast.errors import StoreError, StreamError, TidecastError
from tidecast.models.store import ModelStore
from tidecast.moments import utc_text
from tidecast.online.series.condition_names import SERIES_STATES
from tidecast.settings import Settings
from tidecast.suggestions import did_you_mean
from tidecast.wire import Event, Forecast, Keys, id_pair, layout_of

NEWEST = 10_000  # most entries of a stream that are searched
LEAST_UNCHANGED = 10  # readings with one value that are mentioned
EVENTS_SHOWN = 5  # most events that are shown
ORIGINAL_SERIES = b"original.series"  # the field of a dead letter with the name of the series
Facts = dict[str, Any]


def facts_of(series: str, settings: Settings, describe_state: Callable[[bytes], Facts]) -> Facts:
    """Collect the facts about a series from Redis and the store, as JSON types.

    Args:
        series: its name.
        settings: where Redis and the store are.
        describe_state: decodes a stored state.

    Raises:
        RedisError: Redis does not answer.
        SettingsError: Redis stores no valid number of partitions.
        StateError: the state is of another format.
        StoreError: the series is unknown.
    """
    with connect(settings) as redis:
        settings = at_present(redis, settings)
        layout = layout_of(settings)
        keys = [part.keys for part in layout.parts_for(series)]
        head = cast("bytes | None", redis.hget(keys[0].state, series))
        facts: Facts = {
            "series": series,
            "partition": layout.partition_of(series),
            "min_history": settings.retrain.min_history,
            "model": _model(series, ModelStore(settings.store)),
            "ended": _ended(series, ModelStore(settings.store)),
            "state": describe_state(head) if head else None,
            "forecast": _newest_forecast(redis, [part.forecasts for part in keys], series),
            "events": _events(redis, [part.events for part in keys], series),
            "level_changed": _level_change(redis, [part.events for part in keys], series),
            "dead": _dead(redis, [part.dead for part in keys], series),
            "readings": _dispositions(redis, keys, series),
        }
        known = ("state", "forecast", "events", "ended")
        is_known = any(facts[name] for name in known) or any(facts["model"].values()) or facts["dead"]["count"]
        if not is_known and not any(facts["readings"].values()):
            raise StoreError(_unknown(series, redis, settings))
        return facts


def _entries(
    redis: Redis, streams: Iterable[str], series: str, field: bytes = b"series"
) -> Iterator[tuple[bytes, dict[bytes, bytes]]]:
    """Yield the entries of a series among the newest of each stream, newest first; the streams follow one another."""
    for stream in streams:
        for entry in newest_entries(redis, stream, NEWEST):
            if entry[1].get(field) == series.encode():
                yield entry


def _dispositions(redis: Redis, all_keys: Sequence[Keys], series: str) -> dict[str, int]:
    """Return how the newest readings of a series ended; those after the offset of their partition wait.

    A reading without a forecast and without a dead letter is a duplicate of the newest time so far, or late.
    """
    counts = Counter({"answered": 0, "late": 0, "duplicate": 0, "dead": 0, "waiting": 0})
    newest_ts: bytes | None = None
    for keys in reversed(all_keys):  # the oldest partition first
        last = id_pair(offset_of(redis, keys).last)
        newest = list(_entries(redis, [keys.readings], series))
        answered = {entry_id for entry_id, _ in _entries(redis, [keys.forecasts], series)}
        dead = {entry_id for entry_id, _ in _entries(redis, [keys.dead], series, ORIGINAL_SERIES)}
        for entry_id, fields in reversed(newest):
            if id_pair(entry_id) > last:
                counts["waiting"] += 1
            elif entry_id in answered:
                counts["answered"] += 1
                newest_ts = fields.get(b"ts")
            elif entry_id in dead:
                counts["dead"] += 1
            else:
                counts["duplicate" if fields.get(b"ts") == newest_ts else "late"] += 1
    return dict(counts)


def _unknown(series: str, redis: Redis, settings: Settings) -> str:
    """Return the message for an unknown series, with a similar name if there is one."""
    names = {*answered_series(redis, settings), *ModelStore(settings.store).series()}
    remedy = (
        did_you_mean(series, sorted(names)) if names else "push a reading of it first, or check --redis and --store"
    )
    return f"series {series!r} does not exist, neither in Redis nor in the store {settings.store}: {remedy}"


def _model(series: str, store: ModelStore) -> Facts:
    """Return the champion and the newest version with their verdicts, or an `error` if the store is damaged."""
    try:
        champion = store.champion(series)
        versions = store.versions(series)
        headers = {number: store.header(series, number) for number in {champion, *versions[-1:]} - {None} if number}
    except TidecastError as exc:
        return {"champion": None, "versions": [], "verdicts": {}, "error": str(exc)}
    verdicts = {str(number): header.evidence.verdict for number, header in sorted(headers.items())}
    return {"champion": champion, "versions": versions, "verdicts": verdicts, "error": None}


def _ended(series: str, store: ModelStore) -> Facts | None:
    """Return when the name of a series last ended, epoch milliseconds, and its new name; None if it never did."""
    endings = [ending for ending in store.endings() if ending.series == series]
    return {"at_ms": endings[-1].at_ms, "new": endings[-1].new} if endings else None


def _newest_forecast(redis: Redis, streams: Iterable[str], series: str) -> Facts | None:
    for entry_id, fields in _entries(redis, streams, series):
        with suppress(StreamError):  # not written by a worker
            newest = Forecast.decode(entry_id, fields)
            return {"id": newest.id, "kind": newest.kind, "model": newest.model, "y": newest.y, "yhat": newest.yhat}
    return None


def _newest_events(redis: Redis, streams: Iterable[str], series: str) -> Iterator[Event]:
    """Yield the newest events of the series, newest first."""
    for entry_id, fields in _entries(redis, streams, series):
        with suppress(StreamError):  # not written by Tidecast
            yield Event.decode(entry_id, fields)


def _events(redis: Redis, streams: Iterable[str], series: str) -> list[Facts]:
    """Return the newest events of the series, the oldest of them first."""
    newest = islice(_newest_events(redis, streams, series), EVENTS_SHOWN)
    events = [{"id": each.id, "kind": each.kind, "detail": each.detail, "version": each.version} for each in newest]
    return events[::-1]


def _level_change(redis: Redis, streams: Iterable[str], series: str) -> Facts | None:
    """Return the old and the new level of the newest change, and when it began, epoch milliseconds."""
    for event in _newest_events(redis, streams, series):
        facts = event.facts
        since = facts.get("since", facts.get("ts"))
        if event.kind == "level_changed" and {"old", "new"} <= facts.keys() and since is not None:
            return {"old": facts["old"], "new": facts["new"], "since": since}
    return None


def _dead(redis: Redis, streams: Iterable[str], series: str) -> Facts:
    letters = [fields for _, fields in _entries(redis, streams, series, ORIGINAL_SERIES)]
    reasons = Counter(fields.get(b"reason", b"?").decode(errors="backslashreplace") for fields in letters)
    newest = letters[0].get(b"detail", b"").decode(errors="backslashreplace") if letters else None
    return {"count": len(letters), "reasons": dict(reasons), "newest": newest}


def sentences(facts: Facts) -> Iterator[str]:
    """Yield the facts as lines of text."""
    state = facts["state"]
    forecast = facts["forecast"]
    dead = facts["dead"]
    yield f"{facts['series']}, in partition {facts['partition']}"
    if ended := facts["ended"]:
        how = f"is called {ended['new']} since" if ended["new"] else "was deleted on"
        yield f"the series of this name {how} {utc_text(ended['at_ms'])}"
    yield from _of_the_model(facts)
    if state is None and facts["readings"]["dead"]:
        yield "readings: none answered, as all were rejected: see the dead letters below"
    elif state is None:
        yield "readings: none answered so far: push some, and see `tidecast doctor` whether a worker is at work"
    else:
        yield f"readings: {state['readings']} since the series began, the newest of {utc_text(state['last_ts'])}"
        yield from _of_the_value(state)
        yield from _of_the_blend(state, forecast)
        yield from _of_the_drift(state)
    if any(facts["readings"].values()):
        ended = ", ".join(f"{count} {how}" for how, count in facts["readings"].items())
        yield f"among the newest {NEWEST} readings of the partition, of this series: {ended}"
    if level := facts["level_changed"]:
        yield f"level: changed from {level['old']:.6g} to {level['new']:.6g} at {utc_text(level['since'])}"
    reasons = ", ".join(f"{count} {reason}" for reason, count in dead["reasons"].items())
    yield f"dead letters: {reasons}; the newest: {dead['newest']}" if reasons else "dead letters: none"
    for event in facts["events"]:
        version = f" v{event['version']}" if event["version"] else ""
        yield f"event: {utc_text(int(event['id'].partition('-')[0]))}  {event['kind']}{version}  {event['detail']}"


def _of_the_model(facts: Facts) -> Iterator[str]:
    model = facts["model"]
    state = facts["state"]
    if model["error"]:
        yield f"model: {model['error']}"
    elif model["champion"]:
        yield f"model: version {model['champion']} forecasts"
    elif model["versions"]:
        yield f"model: none. {_why_unpublished(model)}"
    elif state and state["never_changed"]:
        yield "model: none, and none is needed"
    else:
        rejected = state is None and facts["readings"]["dead"]
        yield (
            "model: none"
            if rejected
            else f"model: none. {_why_untrained((state or {}).get('readings', 0), facts['min_history'])}"
        )
    for number, verdict in model["verdicts"].items():
        yield f"verdict on version {number}: {verdict}"


def _why_unpublished(model: Facts) -> str:
    """Return why no version of the series forecasts it, and what helps."""
    newest = model["versions"][-1]
    if str(model["verdicts"][str(newest)]).startswith("not published"):
        return (
            f"Version {newest} failed its test, so the series is better forecast without it. "
            "A training with more readings tries again"
        )
    return f"Version {newest} passed its test, but was not published: `tidecast models promote` publishes it"


def _why_untrained(readings: int, enough: int) -> str:
    """Return why a series has no version, and what helps.

    Args:
        readings: how many readings it has.
        enough: how many readings a first model needs.
    """
    if readings < enough:
        held = f"{readings} reading" + "s" * (readings != 1)
        return (
            f"It has {held}, and a first model needs {enough} (retrain.min_history): "
            f"wait for {enough - readings} more. Until then the pretrained network forecasts it"
        )
    return "It was not trained yet: `tidecast train --recorded` or the schedule makes one"


def _of_the_value(state: Facts) -> Iterator[str]:
    """Yield the condition of a series, and whether its value stays the same."""
    if state["condition"] != SERIES_STATES[-1]:
        yield f"condition: {state['condition']}"
    if state["value"] is None or state["unchanged"] < LEAST_UNCHANGED:
        return
    if state["never_changed"]:
        yield f"value: {state['value']:.6g} in every reading: the last value is the best forecast"
    else:
        yield (
            f"value: {state['value']:.6g} since {utc_text(state['changed_ts'])}, for {state['unchanged']} readings; "
            f"before that, no value stayed for more than {state['unchanged_before']}"
        )


def _of_the_blend(state: Facts, forecast: Facts | None) -> Iterator[str]:
    ranked = sorted(state["errors"].items(), key=lambda item: item[1])
    if forecast:
        version = f" of version {forecast['model']}" if forecast["model"] else ""
        yield (
            f"newest reading {forecast['y']:.6g}, forecast of the next {forecast['yhat']:.6g}; "
            f"{forecast['kind']}{version} weighs most"
        )
    if ranked:
        yield "recent errors, the least first: " + ", ".join(f"{expert} {error:.4g}" for expert, error in ranked)
    if state["guarded_for"]:
        yield f"after a shock: the last value leads the blend for up to {state['guarded_for']} more readings"


def _of_the_drift(state: Facts) -> Iterator[str]:
    shares = ", ".join(f"{kind} {share:.2f}" for kind, share in state["drift"].items())
    pause = f"; no alarm for {state['no_alarm_for']} more readings" if state["no_alarm_for"] else ""
    yield f"drift, an alarm at 1: {shares}{pause}"
    if trial := state["probation"]:
        yield (
            f"probation: version {trial['version']} beside {trial['former']} over {trial['readings']} readings, "
            f"errors {trial['standard_errors']:+.1f} standard errors off{', to be rolled back' * trial['to_roll_back']}"
        )

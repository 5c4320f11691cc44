"""The settings in which the workers of a namespace must agree: they decide what a forecast is, and what is kept."""

import json
from collections.abc import Iterator
from typing import Any

from tidecast.settings.load import Settings

KEEPING = ("retention", "forecasts_kept", "dead_kept", "events_kept", "wait_for_group", "wait_replicas", "lag_group")
GROUPS: dict[str, set[str] | bool] = {
    **dict.fromkeys(("series", "anomalies", "experts", "forecasts", "known"), True),
    "worker": set(KEEPING),
}
NAMED = 3  # most differences that are named
LONGEST = 60  # characters of a value
REMEDY = "give all workers the same settings and version, and restart those that differ"


def agreed_settings(settings: Settings, version: str) -> str:
    """Return these settings and the version of the program as JSON."""
    return json.dumps(settings.model_dump(mode="json", include=GROUPS) | {"version": version}, sort_keys=True)


def differences(ours: str, theirs: str, our_name: str, their_name: str) -> str:
    """Return in which settings two workers differ; empty: in none, or the text of one is damaged."""
    try:
        left = dict(_flat(json.loads(ours)))
        right = dict(_flat(json.loads(theirs)))
    except (ValueError, AttributeError):
        return ""
    names = sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name))
    shown = [
        f"{name} is {_shown(left, name)} for {our_name} and {_shown(right, name)} for {their_name}"
        for name in names[:NAMED]
    ]
    return "; ".join([*shown, *([f"and {len(names) - NAMED} more"] if len(names) > NAMED else [])])


def _flat(groups: dict[str, Any]) -> Iterator[tuple[str, object]]:
    for group, value in groups.items():
        if isinstance(value, dict):
            yield from ((f"{group}.{name}", each) for name, each in value.items())
        else:
            yield group, value


def _shown(values: dict[str, object], name: str) -> str:
    return json.dumps(values[name], ensure_ascii=False)[:LONGEST] if name in values else "unknown"

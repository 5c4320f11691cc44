"""Faults of the model store, and of the values known ahead that models need."""

import json
from typing import cast

from tests.harness.installation import Installation
from tests.harness.models import make_model
from tidecast.models.model import FORMAT
from tidecast.models.spec import Spec
from tidecast.settings import SeriesSettings
from tidecast.wire.state_head import StateHead


def no_store(installation: Installation) -> Installation:
    """Return a setting that names nothing."""
    return installation.told(store=installation.settings.store / "absent")


def no_directory(installation: Installation) -> Installation:
    """Return a setting that names a file."""
    file = installation.settings.store.parent / "file"
    file.touch()
    return installation.told(store=file)


def damaged_pointer(installation: Installation) -> None:
    """Half a write."""
    next(installation.settings.store.rglob("champion")).write_bytes(b"")


def dangling_pointer(installation: Installation) -> None:
    """A champion whose file is gone."""
    next(installation.settings.store.rglob("*.safetensors")).unlink()
    installation.store.publish(make_model("a"), promote=False)
    next(installation.settings.store.rglob("champion")).write_bytes(b"7")


def broken_champion(installation: Installation) -> None:
    """A file that was cut."""
    file = next(installation.settings.store.rglob("*.safetensors"))
    file.write_bytes(file.read_bytes()[:-10])


def champion_to_come(installation: Installation) -> None:
    """A file of a format that is not known here."""
    file = next(installation.settings.store.rglob("*.safetensors"))
    raw = file.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    head = json.loads(raw[8 : 8 + size])
    head["__metadata__"]["tidecast"] = head["__metadata__"]["tidecast"].replace(
        f'"format":{FORMAT}', f'"format":{FORMAT + 1}'
    )
    new = json.dumps(head).encode()
    file.write_bytes(len(new).to_bytes(8, "little") + new + raw[8 + size :])


def known_ran_out(installation: Installation) -> None:
    """A champion whose prices nobody pushes any more."""
    installation.store.publish(make_model("a", Spec(window=6, units=5, known=("price",))))


def known_ends(installation: Installation) -> Installation:
    """Prices for the next reading, and none for the step after it."""
    known_ran_out(installation)
    head = cast("bytes", installation.redis.hget("state", "a"))
    next_ts = round(StateHead.decode(head).window.last_ts + make_model("a").header.step_ms)
    installation.redis.xadd("known", {"series": "a", "ts": next_ts, "price": 1})
    return installation.told(series=SeriesSettings(horizon=3))


def damaged_series(installation: Installation) -> None:
    """A name that cannot be read."""
    next(installation.settings.store.rglob("series.json")).write_bytes(b"{")

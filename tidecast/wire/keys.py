"""The names of the keys in Redis, and the partition of a series."""

import zlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """The Redis keys of one partition; `readings`, `forecasts`, `dead` and `state` are the public contract."""

    readings: str
    forecasts: str
    dead: str
    state: str  # hash: series -> its state
    offset: str  # hash: the last committed entry and the counts so far
    lease: str  # hash: epoch, owner, expiry
    events: str  # stream: events of series and models, for people and programs
    retrain: str  # hash: the last scheduled retraining and the next one
    routed: str  # hash: stream -> its last reading that the router appended, see `worker/layout/router.py`
    muted: str  # hash: series -> until when nobody wants to be notified about it, see `connection/records/mutes.py`
    orders: str  # hash: orders to delete or rename a series, see `connection/records/orders.py`
    changed: str  # set: fields of `state` that were written since a repartition began to copy them, and its mark
    requeued: str  # hash: id of a dead letter -> the id under which its reading was pushed again


def keys_of(partition: int = 0, partitions: int = 1, namespace: str = "", generation: int = 0) -> Keys:
    """Return a partition's keys; with several partitions, a hash tag keeps each one's keys in one Cluster slot.

    After a repartition there is always a tag, which begins with the generation: `{1.0}:readings`.
    """
    prefix = f"{namespace}:" if namespace else ""
    tag = f"{{{generation}.{partition}}}:" if generation else f"{{{partition}}}:" if partitions > 1 else ""
    return Keys(*(f"{prefix}{tag}{name}" for name in Keys.__slots__))


def partition_of(series: str, partitions: int) -> int:
    """Return the partition of a series, the same in every language: `crc32(series) % partitions`."""
    return zlib.crc32(series.encode()) % partitions


def repartition_key(namespace: str = "") -> str:
    """Return the key of the repartition that is under way, which all partitions share."""
    return f"{namespace}:repartition" if namespace else "repartition"


def repartition_claim_key(namespace: str = "") -> str:
    """Return the key with the worker that carries the repartition out, which all partitions share."""
    return f"{repartition_key(namespace)}_claim"


def common_keys(namespace: str = "") -> tuple[str, str]:
    """Return the keys that all partitions share: the number of partitions, and the roster of workers."""
    prefix = f"{namespace}:" if namespace else ""
    return f"{prefix}partitions", f"{prefix}workers"

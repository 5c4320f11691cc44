"""Push the readings of dead letters again, each once, after their cause was corrected."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain
from typing import cast

from redis import Redis

from tidecast.connection import connect
from tidecast.connection.partitions import at_present
from tidecast.settings import Settings
from tidecast.wire import DeadLetter, Keys, id_pair, layout_of
from tidecast.wire.known import known_keys

RESULTS = ("requeued", "before", "cut", "elsewhere", "known")
# KEYS: readings, requeued   ARGV: the letter's id, field, value, ...   Returns 1, or 0 if it was pushed before.
_PUSH_ONCE = """
if redis.call('HEXISTS', KEYS[2], ARGV[1]) == 1 then return 0 end
redis.call('HSET', KEYS[2], ARGV[1], redis.call('XADD', KEYS[1], '*', unpack(ARGV, 2)))
return 1
"""


def requeue(settings: Settings, letters: Iterable[DeadLetter]) -> Counter[str]:
    """Push the original fields of dead letters to the readings; return how many had which of `RESULTS`.

    The hash `requeued` records each, in the same step, so that a repeated call pushes none twice. A reading whose
    fields were cut is not pushed (`cut`), nor in a cluster one that belongs to another partition (`elsewhere`), nor are
    known values (`known`).

    Args:
        settings: of the installation.
        letters: the letters.

    Raises:
        SettingsError: Redis stores no valid number of partitions.
        RedisError: Redis does not answer; the same call may be repeated.
    """
    results: Counter[str] = Counter()
    with connect(settings) as redis:
        layout = layout_of(at_present(redis, settings))
        all_keys = [*layout.present(), *layout.former()]
        push = redis.register_script(_PUSH_ONCE)
        known_dead = known_keys(settings.namespace)[1]
        for letter in letters:
            if _holds(redis, known_dead, letter):
                results["known"] += 1
                continue
            own = layout.keys_for(letter.series) if b"series" in letter.fields else None
            its = next((keys for keys in all_keys if _holds(redis, keys.dead, letter)), own or all_keys[0])
            own = own or its
            if letter.is_cut:
                results["cut"] += 1
            elif settings.redis_cluster and own != its:
                results["elsewhere"] += 1
            else:
                fields = chain.from_iterable(letter.fields.items())
                is_new = push(keys=[own.readings, its.requeued], args=[letter.id, *fields])
                results["requeued" if is_new else "before"] += 1
        for keys in all_keys:
            _forget_trimmed(redis, keys)
    return results


def _holds(redis: Redis, stream: str, letter: DeadLetter) -> bool:
    """Return whether a stream has this dead letter; two streams may have letters of the same id."""
    stored = cast("list[tuple[bytes, dict[bytes, bytes]]]", redis.xrange(stream, letter.id, letter.id))
    return any(DeadLetter.decode(*entry) == letter for entry in stored)


def requeued_ids(settings: Settings) -> dict[str, str]:
    """Return the ids of the dead letters that were pushed again, each with the id of its new reading."""
    pushed: dict[str, str] = {}
    with connect(settings) as redis:
        layout = layout_of(at_present(redis, settings))
        for keys in (*layout.former(), *layout.present()):
            stored = cast("dict[bytes, bytes]", redis.hgetall(keys.requeued))
            pushed |= {letter.decode(): reading.decode() for letter, reading in stored.items()}
    return pushed


def _forget_trimmed(redis: Redis, keys: Keys) -> None:
    """Forget the dead letters that were pushed again and trimmed since."""
    oldest = cast("list[tuple[bytes, object]]", redis.xrange(keys.dead, count=1))
    first = id_pair(oldest[0][0]) if oldest else (2**64, 0)
    gone = [name for name in cast("list[bytes]", redis.hkeys(keys.requeued)) if id_pair(name) < first]
    if gone:
        redis.hdel(keys.requeued, *gone)

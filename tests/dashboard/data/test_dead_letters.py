"""The dead letters that the dashboard lists."""

from redis import Redis

from dashboard.actions import Actions
from dashboard.data.dead_letters import DeadLetterReader
from tidecast.settings import Settings
from tidecast.wire import DeadLetter, keys_of


def test_dead_letters_from_before_a_repartition_are_listed_too(settings: Settings, redis: Redis) -> None:
    """`tidecast dead` lists them as well; the newest of all partitions come first."""
    for number, key in enumerate((keys_of().dead, keys_of(1, 2, generation=1).dead)):
        flat = DeadLetter(f"{number + 1}-0", "bad_value", "not a number", {b"series": b"a"}).encode()
        redis.xadd(key, dict(zip(flat[::2], flat[1::2], strict=True)), id=f"{number + 1}-0")
    redis.set("partitions", "1,2")
    assert ["2-0", "1-0"] == [letter.id for letter in DeadLetterReader(settings).newest()]


def test_a_wrong_number_of_partitions_is_left_to_the_banner(settings: Settings, redis: Redis) -> None:
    """An open page reads every second: each time, an error would fill the log with a traceback."""
    redis.set("partitions", "abc")
    assert [] == DeadLetterReader(settings).newest()
    sentence = Actions(settings).mute("a", None, "ann")
    assert sentence.startswith("Redis could not be written: partitions in Redis is 'abc', not a number: ")

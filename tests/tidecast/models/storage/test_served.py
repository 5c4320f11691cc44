"""The series that have a champion, as pointers move."""

from tests.harness.models import make_model
from tidecast.models.storage.served import Served
from tidecast.models.store import ModelStore


def test_who_has_a_champion_is_known_from_the_start_and_with_each_move(store: ModelStore) -> None:
    """A version that was never promoted is not a champion."""
    served = Served(store)
    assert set() == served.names()
    store.publish(make_model("a"))
    store.publish(make_model("b"), promote=False)
    assert {"a"} == served.names() == Served(store).names()
    store.promote("b", 1)
    assert {"a", "b"} == served.names()
    store.delete("a")
    store.rename("b", "c")
    assert {"c"} == served.names()


def test_a_store_in_which_nothing_moved_is_not_listed_again(store: ModelStore) -> None:
    """The known champions stay, whatever the directories hold; another version of a known series changes nothing."""
    store.publish(make_model("a"))
    served = Served(store)
    names = served.names()
    (store.root / "series").rename(store.root / "elsewhere")
    assert names is served.names()
    (store.root / "elsewhere").rename(store.root / "series")
    store.publish(make_model("a", seed=1))
    assert names is served.names()

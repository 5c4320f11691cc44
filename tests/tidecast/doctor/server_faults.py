"""Faults of the server: its disk, its memory, its settings, and keys of other programs."""

from tests.harness.installation import Installation
from tests.harness.patience import until

BALLAST = 2**25  # bytes


def full_disk(installation: Installation) -> None:
    """A snapshot that cannot be put in place."""
    (installation.server.folder / "dump.rdb").unlink(missing_ok=True)
    (installation.server.folder / "dump.rdb").mkdir()
    installation.redis.bgsave()
    until(lambda: installation.redis.info("persistence")["rdb_last_bgsave_status"] == "err")


def mended_disk(installation: Installation) -> None:
    """A snapshot that can: the server is shared."""
    (installation.server.folder / "dump.rdb").rmdir()
    installation.redis.bgsave()
    until(lambda: installation.redis.info("persistence")["rdb_last_bgsave_status"] == "ok")


def evicting(installation: Installation) -> None:
    """A policy that throws keys away."""
    installation.redis.config_set("maxmemory", "1gb")
    installation.redis.config_set("maxmemory-policy", "allkeys-lru")


def nearly_full(installation: Installation) -> None:
    """The limit is hardly above the memory in use: with much in use, buffers of connections do not matter."""
    installation.redis.setrange("ballast", BALLAST, "x")
    installation.redis.config_set("maxmemory", str(int(installation.redis.info("memory")["used_memory"] * 1.05)))


def full(installation: Installation) -> None:
    """Less memory than is used."""
    installation.redis.config_set("maxmemory", str(installation.redis.info("memory")["used_memory"] // 2))


def wrong_type(installation: Installation) -> None:
    """A key of another program."""
    installation.redis.delete("dead")
    installation.redis.set("dead", "other")


def endless_blocks(installation: Installation) -> None:
    """Streams of one block each."""
    installation.redis.config_set("stream-node-max-entries", 0)
    installation.redis.config_set("stream-node-max-bytes", 0)

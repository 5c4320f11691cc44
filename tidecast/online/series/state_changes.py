"""The changed fields of the stored states of a batch's series, as Redis receives them."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Self

from tidecast.online.kernels.redis_arguments import arguments_in


class StateChanges(Mapping[str, bytes]):
    """The fields of the `state` hash to write, by name; they are decoded together, the first time that one is needed.

    Args:
        packed: names and values in turn, as arguments of a Redis command.
        fields: the number of fields.

    Attributes:
        packed: names and values in turn, as arguments of a Redis command.
    """

    def __init__(self, packed: bytes = b"", fields: int = 0) -> None:
        self.packed = packed
        self._fields = fields

    @classmethod
    def of(cls, fields: Mapping[str, bytes]) -> Self:
        """Pack fields."""
        texts = (text for name, value in fields.items() for text in (name.encode(), value))
        return cls(b"".join(b"$%d\r\n%b\r\n" % (len(text), text) for text in texts), len(fields))

    def __len__(self) -> int:
        return self._fields

    def __iter__(self) -> Iterator[str]:
        return iter(self._decoded)

    def __getitem__(self, name: str) -> bytes:
        return self._decoded[name]

    def __add__(self, others: Self) -> "StateChanges":
        return StateChanges(self.packed + others.packed, len(self) + len(others))

    @cached_property
    def _decoded(self) -> dict[str, bytes]:
        texts = arguments_in(self.packed)
        return {name.decode(): value for name, value in zip(texts[::2], texts[1::2], strict=True)}

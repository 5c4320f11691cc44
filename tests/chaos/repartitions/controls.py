"""Workers whose repartitions lack a guard: a verifier that passes them proves nothing.

`python -m tests.chaos.repartitions.controls worker NAME ...` runs the real worker with that guard taken out.
"""

import sys
import time
from collections.abc import Callable, Iterator
from types import MappingProxyType

from tidecast.wire import Layout
from worker.layout.new_partitions import NewPartitions
from worker.layout.repartition import Repartitioner
from worker.scripts import script_of

PIECE_S = 0.1  # how long a piece of the copy takes in the control without notes
FENCE = "redis.call('HINCRBY', lease, 'epoch', 1)"


def _without_fence() -> None:
    """Let commits of a closed partition succeed, after its states were copied too."""
    script = script_of("close")
    assert FENCE in script
    make = Repartitioner.__init__

    def init(self: Repartitioner, *args: object) -> None:
        make(self, *args)  # type: ignore[arg-type] # as it was called
        self._close = self._redis.register_script(script.replace(FENCE, ""))

    Repartitioner.__init__ = init  # type: ignore[method-assign,assignment] # the control takes its place
    Repartitioner._check = lambda *_: None  # type: ignore[method-assign,assignment] # the guard


def _without_notes() -> None:
    """Leave out the states that were written while all states were copied, which takes as long as for many series."""
    copy = Repartitioner._copy

    def copy_slowly(self: Repartitioner, layout: Layout, new: NewPartitions) -> Iterator[float]:
        for longest_s in copy(self, layout, new):
            yield longest_s
            until = time.monotonic() + PIECE_S
            while time.monotonic() < until:
                yield 0.0  # serve the partitions meanwhile

    Repartitioner._copy = copy_slowly  # type: ignore[method-assign] # the control takes its place
    Repartitioner._copy_noted = lambda *_: iter(())  # type: ignore[method-assign,assignment] # the guard


CONTROLS = MappingProxyType[str, Callable[[], None]]({"no fence": _without_fence, "no notes": _without_notes})


def main() -> None:
    """Run the real worker's command without the named guard."""
    from tidecast.cli import main as cli

    name = next(argument for argument in sys.argv if argument in CONTROLS)
    sys.argv.remove(name)
    CONTROLS[name]()
    cli.main()


if __name__ == "__main__":
    main()

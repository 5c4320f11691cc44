"""How often a Redis of the tests looks for blocking reads that are to end: between two looks, each of them waits."""

TICKS = ("--hz", "100")  # a second; by default 10, so that an empty read of 1 ms takes up to 100 ms

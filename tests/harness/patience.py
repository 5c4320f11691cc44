"""How long a test waits for something that must happen: no test may depend on how fast the machine is."""

PATIENCE_S = 240.0  # shorter than the time limit of a test, so that its own message is seen

"""Training runs: a plan of shards, the engine that trains them, and the driver that publishes their results."""

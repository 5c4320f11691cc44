"""The compiled loops of the networks: their inputs, their weights in memory, and the forward pass."""

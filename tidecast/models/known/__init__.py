"""The values that are known ahead of readings, and the inputs of models that are made of them."""

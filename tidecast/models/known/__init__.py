"""What is known ahead of the readings: its values, and the inputs of models that are made of them."""

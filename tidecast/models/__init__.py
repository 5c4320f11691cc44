"""Models: the shape of a network, the experts, the model file and the model store."""

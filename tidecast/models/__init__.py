"""Models: what a network looks like, the experts, the model file and the store."""

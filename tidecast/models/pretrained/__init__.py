"""The pretrained network: its shape, its inputs, and its weights."""

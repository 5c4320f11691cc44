"""What the commands and the Python functions do: backtest, replay, push, frames, demo, status."""

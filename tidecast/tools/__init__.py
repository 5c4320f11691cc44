"""The implementation of commands and Python functions: backtest, replay, push, frames, demo, status."""

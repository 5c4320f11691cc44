"""Compiled loops of forecasts of further steps, those after the next one."""

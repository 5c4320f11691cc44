"""Compiled rules that detect anomalies, conditions and drifts, one reading at a time."""

"""Consume one partition: its lease, its stream and its readings."""

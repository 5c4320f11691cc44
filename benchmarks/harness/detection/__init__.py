"""Faults, labelled series and a scripted plant: what the rules for anomalies and conditions are measured on."""

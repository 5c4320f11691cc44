"""Faults, changes, labelled series and a scripted plant, on which the rules of detection are measured."""

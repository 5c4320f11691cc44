"""Tests of the package tidecast.models.pretrained."""

"""Dialling out by itself: pacing, windows, campaigns."""

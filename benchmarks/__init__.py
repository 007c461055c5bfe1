"""Timing, as ratios in one run."""

"""Plugins that are deliberately wrong, each in one thing, to show that a rule can fail."""

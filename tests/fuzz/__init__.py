"""Random hostile input for every parser that reads other people's bytes.

``make fuzz`` runs all targets; ``tests/fuzz/test_fuzz.py`` runs a few hundred inputs of each.
"""

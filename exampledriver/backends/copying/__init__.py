"""Copies of a volume's data: trees, snapshots, rollbacks, archives; each whole, or not there.

Nothing here knows the service, the journal or a request. All of it blocks.
"""

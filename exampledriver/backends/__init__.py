"""Where a volume's bytes live: one module a kind, one interface."""

"""The volume driver: the model, the service that decides and orders, the mount ledger."""

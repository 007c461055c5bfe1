"""What makes a good process of a Twisted service. It knows nothing of volumes."""

"""The operator's command ``exampledriver``."""

"""A kit for channel authors: what every channel needs and none should write for itself."""

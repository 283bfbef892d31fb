"""The imperative shell: takes webhooks, consumes topics, calls channels, publishes what came of it."""

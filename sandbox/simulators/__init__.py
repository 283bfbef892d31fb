"""Provider simulators: each one speaks a provider's wire protocol and plays the customer behind it."""

"""The console: one page on loopback where a person plays the customer and the agent, and watches the records."""

"""What crosses Kafka: ids, envelope, events, commands, statuses, state, capabilities, accounts, topics, errors.

Everything another team may rely on is declared in this package and nowhere else; `published/` holds the
AsyncAPI document and the JSON Schemas generated from it.
"""

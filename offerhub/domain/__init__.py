"""The rules of the product as plain values and pure functions.

Here live money, states, fees, postings, intents, plans, events, workflow messages, ids and errors. Never here: I/O, clocks,
randomness, third-party imports. Everything in this package may be imported by workflow code and must stay deterministic.
"""

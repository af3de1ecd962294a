"""Load generators and what they measured, by date, in `results/`.

Everything here uses the stack as a marketplace does: over HTTP, with a key, plus the sandbox's faucet for money and Temporal's
client for counting history events. Nothing here is imported by the server, and no test depends on a speed.
"""

"""Faults on demand: what a test may make the network, Horizon and Trustless Work do wrong, and how often.

Here: the kinds of faults (each a small class with its settings), their scope, and the board that counts them. Never here:
a fault that breaks the ledger's own rules (money created, a sequence reused), or one that outlives the process: a restart
clears them all.
"""

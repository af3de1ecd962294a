"""Stellar RPC over JSON-RPC 2.0: health, network, latest ledger and ledger entries, as the public documentation describes them.

Here: reading the chain without Horizon and without Trustless Work, so that a deployed contract can be checked independently
of both. Never here: submission, simulation, events; and none of the faults that hit Horizon, unless one names this path.
"""

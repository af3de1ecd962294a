"""The reconciler: reads books and chain side by side and says where they differ, for the scheduled run and for one user on demand.

It reads the network outside of every transaction and writes only through ``offerhub.commands``; nothing here posts to the ledger but
the credit of a missed deposit.
"""

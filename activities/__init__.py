"""Side effects, one file per kind of world: Trustless Work, custody, Horizon, our own books, deposits, wallets, the outbox.

A regular activity causes exactly one effect outside and may be repeated at any point without causing it twice; the commands run as local
activities. No decision about money is made here, and no envelope is signed anywhere but in ``signing.py``.
"""

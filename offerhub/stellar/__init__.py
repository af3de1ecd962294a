"""What the server knows of the Stellar network: envelopes byte by byte, their verification against our intents, and Horizon.

Here live the comparison of an offered envelope with an intent, our own envelopes, the Horizon client, and the reading of outcomes and
payments. Never here: secret keys (``offerhub.custody``), the database, the Trustless Work API, or a decision about an order.
"""

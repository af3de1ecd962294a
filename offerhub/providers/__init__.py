"""Services of other companies behind typed calls, and the budgets that keep us within their limits.

Here live Trustless Work's API and its request budget. Never here: a decision about money, the database, keys, or trust in an answer: what
Trustless Work builds is only offered, ``offerhub.stellar.verify`` decides whether it is signed.
"""

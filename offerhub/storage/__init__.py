"""PostgreSQL: the only package with SQLAlchemy. One file per table family, plain SQL, rows as frozen dataclasses.

Functions take a ``Transaction`` and never commit; rules live in ``offerhub.commands``, not here.
"""

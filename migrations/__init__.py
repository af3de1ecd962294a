"""The schema's history (Alembic). ``python -m migrations`` brings ``DATABASE_URL`` (or ``DIRECT_URL``) to the newest revision.

Each revision is SQL beside its Python file, so that a reviewer reads what PostgreSQL runs. Expand first, contract in a later release:
the previous release must work on the new schema.
"""

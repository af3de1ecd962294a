"""From committed rows to readers: nudges between processes, the relay that numbers events, the fan-out to subscribers, webhooks, and the
seals of the audit log.

Redis only carries hints and a short replay window; every reader can go on from PostgreSQL alone.
"""

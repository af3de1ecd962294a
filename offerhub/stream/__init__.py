"""From committed rows to readers: nudges between processes, the relay that numbers events, and the fan-out to subscribers.

Redis only carries hints and a short replay window; every reader can go on from PostgreSQL alone.
"""

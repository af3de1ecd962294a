"""What the product does, one function per command: each runs in one transaction that its caller opened and that commits as a whole.

A command locks the entity, checks the transition, writes state, postings, events, audit entry, operation and outbox message, and
returns what to show. Commands never wait for the network and never commit. ``request_…`` accepts a wish, ``book_…`` books what the
chain answered; booking twice finds the first booking.
"""

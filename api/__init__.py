"""HTTP and nothing else: authentication, idempotency, parsing, presenting, the event stream; one router file per resource.

Never here: a business rule, SQL, a key of custody, a call to the chain or to a provider. A handler parses, runs one command or
reads, and presents.
"""

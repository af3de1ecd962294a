"""What requests may contain and what answers look like, per resource: the only pydantic models of the API. No behaviour beyond parsing."""

"""The orchestrator without its edges: everything that is neither HTTP (``api``) nor Temporal (``workflows``, ``activities``)."""

"""What a process keeps for its whole life is no garbage: the collector need not look through it again and again."""

from __future__ import annotations

import gc

# Requests and activities leave little behind that only the collector can find; by default it looks after 700 new objects.
_NEW_OBJECTS = 10_000


def keep_what_is_loaded() -> None:
    """Called once, when everything is imported.

    Without it every full collection goes through the modules of all libraries, and requests wait for a tenth of a second meanwhile.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS)

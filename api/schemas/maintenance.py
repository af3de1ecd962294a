"""Maintenance: is new money refused?"""

from __future__ import annotations

from api.schemas.fields import Body, Reason, Shape, Time


class DrainBody(Body):
    """``reason`` is shown to every caller who is refused."""

    reason: Reason | None = None


class Maintenance(Shape):
    """``draining``: what would move money is refused with ``MAINTENANCE``. The rest is null until it was changed for the first time."""

    draining: bool
    reason: str | None
    changed_by: str | None
    changed_at: Time | None

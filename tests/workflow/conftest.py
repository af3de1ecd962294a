"""The same installation as in ``tests/e2e``."""

from tests.e2e.conftest import rig

__all__ = ["rig"]

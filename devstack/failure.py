"""The two ways things are not well here: not yet, and not at all."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot run; the message is the one line its user reads."""


class NotReadyError(Exception):
    """A service does not answer yet; the message says what is missing."""

"""Patch ids: how a running workflow tells an old history from a new one.

A change to a workflow that alters the commands of an existing history goes behind ``temporalio.workflow.patched(<id>)``, its id is a
constant here with the release that introduced it, and the history recorded before stays in ``tests/replay/histories``. An id is removed
only when no workflow started before it can still be running. This first release needs none.
"""

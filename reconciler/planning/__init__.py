"""Deciding what to do: pure functions from values to a plan."""

from reconciler.planning.down import plan_down
from reconciler.planning.project import plan

__all__ = ["plan", "plan_down"]

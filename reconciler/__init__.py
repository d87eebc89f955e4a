"""Planner, executor, loop and command line: what brings a machine to its spec."""

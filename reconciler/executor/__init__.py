"""Carrying out a plan; nothing is decided here."""

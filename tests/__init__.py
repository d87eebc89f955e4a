"""Tests; the tree mirrors the one that it tests."""

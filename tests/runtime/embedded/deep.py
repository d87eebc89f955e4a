"""Directories nested deeper than Python's stack and a path's 4,096 bytes allow."""

import os
from pathlib import Path


def deep(top: Path, levels: int) -> None:
    """Make ``top`` and ``levels`` directories in each other below it, a file in each."""
    top.mkdir(parents=True)
    above = os.open(top, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("nested", dir_fd=above)
        os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=above))
        below = os.open("nested", os.O_RDONLY, dir_fd=above)
        os.close(above)
        above = below
    os.close(above)

"""What survives us: the journal of runs, and the lock of a project."""

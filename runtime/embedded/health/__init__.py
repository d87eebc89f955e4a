"""Health checks: what is asked of a container, what came of it, and who waits for it."""

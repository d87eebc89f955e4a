"""From text to a validated, immutable project. Knows nothing of runtimes."""

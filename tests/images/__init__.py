"""Real images for tests, demo and benchmarks, made from Debian's packages without code of ours."""

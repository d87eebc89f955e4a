"""trueup and its peers doing the same work in one run. `make bench` writes docs/benchmarks.md."""

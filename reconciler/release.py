"""Which trueup this is. A constant, because asking the installed metadata costs 15 ms."""

VERSION = "0.1.0"

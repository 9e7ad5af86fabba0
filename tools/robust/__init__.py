"""Run every page under other arithmetic and other chance, and say which of its checks do not hold: `nox -s robust`."""

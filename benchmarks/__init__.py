"""How long things take, side by side in one run: ``nox -s bench``."""

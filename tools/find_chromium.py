"""Find a Chromium for the browser tests and the picture: `CHROMIUM`, or what is on the PATH."""

from __future__ import annotations

import os
import shutil
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MISSING = (
    f"no browser found (looked for {', '.join(NAMES)}; CHROMIUM may name one); on Debian: apt-get install chromium"
)


def find_chromium() -> str | None:
    """Return the browser's path, or None where there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


if __name__ == "__main__":
    found = find_chromium()
    print(found or MISSING)
    sys.exit(found is None)

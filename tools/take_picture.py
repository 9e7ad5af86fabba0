"""Take the README's picture: the home page of the built site, in the light theme, as a small PNG.

`.nox/tests/bin/python tools/take_picture.py`, after `nox -s docs site`; it needs Chromium.
"""

from __future__ import annotations

import sys
from pathlib import Path

from find_chromium import MISSING, find_chromium
from PIL import Image
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[1]
HOME = ROOT / "docs" / "_build" / "html" / "index.html"
TARGET = ROOT / ".github" / "home.png"
HEAVIEST = 150_000  # bytes: a README opens on a phone, too


def take(target: Path) -> int:
    """Write the picture with at most 256 colours, and return its size in bytes."""
    path = find_chromium()
    if path is None:
        sys.exit(MISSING)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        options = {"color_scheme": "light", "reduced_motion": "reduce"}  # the film stands still at its last frame
        page = browser.new_page(viewport={"width": 1280, "height": 800}, **options)
        page.goto(HOME.as_uri(), wait_until="load")
        page.evaluate("document.fonts.ready")
        page.evaluate("for (const film of document.querySelectorAll('video')) film.controls = false")
        page.wait_for_timeout(500)  # what the controls had drawn fades
        page.screenshot(path=target)
        browser.close()
    with Image.open(target) as image:
        small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(target, optimize=True)
    return target.stat().st_size


if __name__ == "__main__":
    size = take(TARGET)
    print(f"{TARGET.relative_to(ROOT)}: {size:,} bytes")
    if size > HEAVIEST:
        sys.exit(f"the picture may have {HEAVIEST:,} bytes at most")

"""The built site, and a browser that lets nothing leave it."""

from __future__ import annotations

import functools
import http.server
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.find_chromium import find_chromium

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: nox -s site")

ROOT = Path(__file__).parents[2]
SITE = ROOT / "docs" / "_build" / "html"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def site() -> Path:
    """Give the folder of the built site."""
    if not (SITE / "index.html").exists():
        pytest.fail(f"there is no site in {SITE}; build it with `nox -s docs`")
    return SITE


@pytest.fixture(scope="session")
def origin(site: Path) -> Iterator[str]:
    """Serve the site on this machine."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: Any) -> None:
            """Say nothing."""

        def do_GET(self) -> None:
            """Answer as the parent does; browsers ask for an icon that nothing names."""
            if self.path == "/favicon.ico":
                self.send_response(204)
                self.end_headers()
            else:
                super().do_GET()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="session", params=["chromium", *(["firefox"] if os.environ.get("FIREFOX") else [])])
def browser(request: pytest.FixtureRequest) -> Iterator[Any]:
    """Start the browser: Chromium (CHROMIUM names another one), and Playwright's Firefox if FIREFOX is set."""
    with sync_api.sync_playwright() as playwright:
        try:
            if request.param == "firefox":
                started = playwright.firefox.launch()
            else:
                started = playwright.chromium.launch(executable_path=find_chromium(), args=FLAGS)
        except sync_api.Error as error:
            if os.environ.get("CI") and request.param == "chromium":
                raise
            pytest.skip(f"no {request.param} here: {str(error).splitlines()[0]}")
        yield started
        started.close()


@pytest.fixture
def open_page(browser: Any, origin: str) -> Iterator[Callable[..., Any]]:
    """Open pages of the site; at the end nothing may have left the site, and no script may have complained."""
    contexts, complaints = [], []

    def failed(request: Any) -> None:
        """Complain, unless the browser gave the request up itself, as it does with an icon when a page is left."""
        if "ABORTED" not in request.failure:
            complaints.append(f"failed: {request.url}")

    def open_(path: str = "explore/index.html", *, base: str = origin, **options: Any) -> Any:
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        inside = (base, "data:", "blob:")
        page.on("request", lambda request: None if request.url.startswith(inside) else complaints.append(request.url))
        page.on("requestfailed", failed)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.goto(f"{base}/{path}")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not complaints, complaints

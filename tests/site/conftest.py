"""The built site, and a browser whose every request is watched."""

from __future__ import annotations

import functools
import gzip
import http.server
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from built_site import SITE

from tools.find_chromium import MISSING, find_chromium


@pytest.fixture(scope="session")
def site() -> Path:
    """Give the folder of the built site."""
    if not (SITE / "index.html").exists():
        pytest.fail(f"there is no site in {SITE}; build it with `nox -s docs`")
    return SITE


@pytest.fixture(scope="session")
def browser():
    """Start Chromium. Without one the tests that need it are skipped, but under CI they fail."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="the browser tests need Playwright: use `nox -s site`")
    path = find_chromium()
    if path is None:
        pytest.fail(MISSING) if os.environ.get("CI") else pytest.skip(MISSING)
    with sync_api.sync_playwright() as playwright:
        # CI runs as root. No request gets beyond this machine; to hold each back would turn the browser's cache off.
        args = ["--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        chromium = playwright.chromium.launch(executable_path=path, args=args)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def server(site: Path):
    """Serve the site on loopback and give its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            """Say nothing."""

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{httpd.server_port}/"
    httpd.shutdown()
    httpd.server_close()
    thread.join()


@dataclass
class Visit:
    """A page as the browser saw it."""

    page: Any
    home: str = ""
    outside: list[str] = field(default_factory=list)  # requests that would leave the site
    complaints: list[str] = field(default_factory=list)  # the console's errors and warnings, and failed requests
    responses: list[Any] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Note every request, and listen."""
        page = self.page
        page.on("request", self._note)
        page.on("console", self._listen)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", self._fail)
        page.on("response", lambda response: self.responses.append(response))  # noqa: PLW0108  # Playwright refuses built-ins

    def _note(self, request: Any) -> None:
        if not request.url.startswith((self.home, "data:", "blob:")):
            self.outside.append(request.url)

    def _fail(self, request: Any) -> None:
        if "ABORTED" not in request.failure:  # else the browser gave it up itself, as an icon when a page is left
            self.complaints.append(f"failed: {request.url}")

    def _listen(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def go(self, home: str, name: str) -> Visit:
        """Open a page, home + name, and forget what was seen before."""
        self.home = home
        for seen in (self.outside, self.complaints, self.responses):
            seen.clear()
        self.page.goto(home + name, wait_until="load")
        return self

    def weight(self) -> int:
        """Sum the bytes of everything that the page loads, text compressed as web servers send it."""
        loaded = {response.url: response for response in self.responses if response.ok}.values()
        return sum(map(_sent, loaded))


def _sent(response) -> int:
    """Count the bytes of one file on the wire."""
    body = response.body()
    is_text = response.url.split("?")[0].endswith((".html", ".css", ".js", ".svg"))
    return len(gzip.compress(body)) if is_text else len(body)


@pytest.fixture
def visit(browser):
    """Give a function that opens a page, home + name, in a context of its own."""
    contexts = []

    def open_page(home: str, name: str, *, width: int = 1280, scheme: str = "light", **options: Any) -> Visit:
        contexts.append(browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, **options))
        return Visit(contexts[-1].new_page()).go(home, name)

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def open_page(browser, server):
    """Give a function that opens pages; at the end nothing may have left the site, and no script may have complained."""
    contexts, visits = [], []

    def open_(path: str = "explore/index.html", *, base: str = server, **options: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options}))
        visits.append(Visit(contexts[-1].new_page()).go(base.rstrip("/") + "/", path))
        return visits[-1].page

    yield open_
    for context in contexts:
        context.close()
    assert [said for seen in visits for said in (*seen.outside, *seen.complaints)] == []


@pytest.fixture(scope="module")
def tab(browser):
    """Give one tab for many pages: opening one anew would take longer than its tests."""
    context = browser.new_context(reduced_motion="reduce")
    yield Visit(context.new_page())
    context.close()

"""Measure pages of the built site with Lighthouse: `python tests/lighthouse/serve_and_measure.py [page ...]`.

The site is served on loopback as a host would: text compressed, files that carry a hash in their address kept.
"""

from __future__ import annotations

import functools
import gzip
import http.server
import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
SITE = ROOT / "docs" / "_build" / "html"
sys.path[:0] = [str(ROOT / "docs" / "_ext"), str(ROOT / "tools")]

import npm  # it and the next are found through the line above
from find_chromium import MISSING, find_chromium

PAGES = ("index.html", "tutorial/batch.html", "gallery/variants/plot_batch.html")
LEAST = 98  # of 100, in each category
TEXT = (".html", ".css", ".js", ".svg", ".json", ".xml", ".txt")


class Host(http.server.SimpleHTTPRequestHandler):
    """Answer as a web host does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send a file, compressed if it is text, and say how long it may be kept."""
        path = Path(self.translate_path(urlsplit(self.path).path))
        if not path.is_file():
            self.send_error(404)
            return
        body = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(str(path)))
        if path.suffix in TEXT:
            body = gzip.compress(body, 9)
            self.send_header("Content-Encoding", "gzip")
        kept = "no-cache" if path.suffix == ".html" else "public, max-age=31536000, immutable"
        self.send_header("Cache-Control", kept)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def measure(address: str, work: Path) -> dict:
    """Run Lighthouse on one page and give its report."""
    browser = find_chromium()
    if browser is None:
        sys.exit(MISSING)
    report = work / "report.json"
    command = [npm.NODE, work / "node_modules" / "lighthouse" / "cli" / "index.js", address, "--quiet"]
    command += [
        "--only-categories=performance,accessibility,best-practices,seo",
        "--output=json",
        f"--output-path={report}",
        "--chrome-flags=--headless=new --no-sandbox --disable-gpu",
    ]
    subprocess.run(command, check=True, env={**os.environ, "CHROME_PATH": browser})
    return json.loads(report.read_text(encoding="utf-8"))


def main(pages: list[str]) -> int:
    """Print the figures of each page; return 1 if one is below the least allowed."""
    work = ROOT / ".cache" / "lighthouse"
    npm.install(HERE, work)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Host, directory=str(SITE)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    low = False
    for page in pages:
        report = measure(f"http://127.0.0.1:{server.server_port}/{page}", work)
        figures = {name: round(100 * part["score"]) for name, part in report["categories"].items()}
        print(page, *(f"{name} {figure}" for name, figure in figures.items()), sep="  ")
        for audit in report["audits"].values():
            if audit.get("score") is not None and audit["score"] < 0.9:
                print(f"    {audit['score']:.2f}  {audit['title']} {audit.get('displayValue', '')}")
        low |= min(figures.values()) < LEAST
    server.shutdown()
    return int(low)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(PAGES)))

"""Check a built site for what Sphinx lets pass: links to ids that are not there, noise in outputs, pages kept from running.

`python docs/_ext/check_site.py docs/_build/html [ADDRESS]`. What else a page should be, tests/site asks in a browser.
"""

from __future__ import annotations

import html
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

_SCRIPT = re.compile(r"(<script[^>]*>).*?(?=</script>)", re.DOTALL)
_LINK = re.compile(r'\s(?:href|src|poster)="([^"]*)"')
_ID = re.compile(r'\sid="([^"]*)"')
_OUTPUT = re.compile(r'<(?:div|dt) class="(?:output stream|sphx-glr-script-out|sig ).*?(?:</pre>|</dt>)', re.DOTALL)
_TAG = re.compile(r"<[^>]+>")
_NOISE = {
    "a memory address": re.compile(r" at 0x[0-9a-fA-F]+"),
    "a progress bar": re.compile(r"━{2,}|█|\b\d+(?:\.\d+)?(?:ms|us|s)/(?:step|epoch)\b|\d(?:it/s|s/it)\b"),
    "a log line": re.compile(
        r"^(?:\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[.,]\d+: ?[A-Z]\b.*|[IWEF]0000 .*|(?:DEBUG|INFO|WARNING|ERROR|CRITICAL)\b ?:.*"
        r"|.*\b(?:oneDNN|cuda_\w+|libcuda\w*|cpu_feature_guard)\b.*)",
        re.MULTILINE,
    ),
    "a warning": re.compile(r"\b\w*Warning: .*"),
    "a traceback": re.compile(r"Traceback \(most recent call last\).*"),
}
_NOT_RUN = re.compile(r"^\s*(?:execution_mode: *[\"']?(?:off|false)\b.*|.*\bskip-execution\b.*)", re.MULTILINE)
_NOWHERE = "http://site.invalid/site/"  # stands for the address of a site that was built for none


def check_site(site: Path, *, base: str = "") -> list[str]:
    """Name every fault of a built site; `base` is its address, if it was built for one."""
    files = {path.relative_to(site).as_posix(): path for path in site.rglob("*") if path.is_file()}
    texts = {
        name: _SCRIPT.sub(r"\1", path.read_text(encoding="utf-8"))
        for name, path in sorted(files.items())
        if name.endswith(".html") and not name.startswith(("_static/", "_downloads/"))
    }
    ids = {name: {html.unescape(one) for one in _ID.findall(text)} for name, text in texts.items()}
    faults = []
    for name, text in texts.items():
        links = dict.fromkeys(html.unescape(link) for link in _LINK.findall(text))
        faults += [
            f"{name}: broken link {link}: {why}" for link in links if (why := _broken(name, link, files, ids, base))
        ]
        faults += [f"{name}: {noise}" for noise in _noise(text)]
    for name, path in sorted(files.items()):
        if name.startswith("_sources/") and name.endswith(".md.txt"):
            kept = _NOT_RUN.findall(path.read_text(encoding="utf-8"))
            faults += [f"docs/{name[9:-4]}: kept from running: {words.strip()!r}" for words in kept]
    return faults


def _broken(page: str, link: str, files: dict[str, Path], ids: dict[str, set[str]], base: str) -> str:
    """Say why a link on a page leads nowhere; "" where it does not, or leads to another site."""
    base, given = base or _NOWHERE, urlsplit(link)
    address = urljoin(urljoin(base, page), link)
    if not address.startswith(base):
        return "" if given.scheme or given.netloc else "it leaves the site"
    parts = urlsplit(address)
    target, anchor = unquote(parts.path).removeprefix(urlsplit(base).path), unquote(parts.fragment)
    if target not in files:
        return "no such file"
    return f"no #{anchor} on {target}" if anchor and target in ids and anchor not in ids[target] else ""


def _noise(text: str) -> Iterator[str]:
    """Find in what a page's code printed, and in its signatures, what differs from run to run or tells of trouble."""
    for output in _OUTPUT.findall(text):
        plain = html.unescape(_TAG.sub("", output))
        for name, pattern in _NOISE.items():
            if found := pattern.search(plain):
                yield f"{name} in an output: {found.group().strip()[:160]!r}"


if __name__ == "__main__":
    found = check_site(Path(sys.argv[1]), base=sys.argv[2] if len(sys.argv) > 2 else "")
    print(*found, f"{len(found)} fault(s)", sep="\n")
    sys.exit(bool(found))

"""Check a built site for what Sphinx lets pass: `python docs/_ext/check_site.py docs/_build/html [ADDRESS]`.

Sphinx passes images without alt text, warnings printed by a cell, memory addresses, progress bars, style sheets from
elsewhere, and links to ids that are not there. Here each is a fault, named by the page's source and its line.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import asdict, dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit

_VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"]
)
_LOADS = {"audio": "src", "embed": "src", "iframe": "src", "img": "src", "input": "src", "object": "data"}
_LOADS |= {"script": "src", "source": "src", "track": "src", "video": "src"}
_LOADING_LINKS = frozenset(
    ["stylesheet", "icon", "preload", "prefetch", "modulepreload", "manifest", "dns-prefetch", "preconnect"]
)
_ELSEWHERE = re.compile(r"\s*(?:[a-z][a-z0-9+.-]*:)?//|\s*(?:https?|ftp):", re.IGNORECASE)
_STYLE_LOAD = re.compile(r"(?:url\(\s*|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)
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
_NOWHERE = "http://site.invalid/site/"  # stands for the address of a site that was built for none
_NOT_RUN = re.compile(r"^\s*(?:execution_mode: *[\"']?(?:off|false)\b.*|.*\bskip-execution\b.*)", re.MULTILINE)


@dataclass(frozen=True)
class Fault:
    """One fault: the page, the file and line to mend, and what is wrong."""

    page: str
    source: str
    message: str

    def __str__(self) -> str:
        """Say it in one line, the file to mend first."""
        return f"{self.source}: {self.message} [{self.page}]"


@dataclass
class Page:
    """What one page holds: faults with the place they stand at, its ids, its links."""

    faults: list[tuple[str, str]] = field(default_factory=list)  # (place, message); a place is "cell 3", "text ..."
    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)


class _Reader(HTMLParser):
    """Read one page in one pass."""

    def __init__(self) -> None:
        super().__init__()
        self.page = Page()
        self.stack: list[tuple[str, str]] = []  # open elements: (tag, what it means to us)
        self.text: list[str] = []
        self.cells = self.inputs = self.outputs = self.results = self.examples = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        classes = values.get("class", "").split()
        self._note_id(values)
        self._check_loads(tag, values)
        self._check_words(tag, values)
        if tag == "a" and "href" in values:
            self.page.links.append(values["href"])
        if "katex-error" in classes:
            self._fault(f"KaTeX cannot read this: {values.get('title', '')[:200]}")
        if "system-message" in classes:
            self._fault("docutils left a message on the page")
        meaning = self._meaning(tag, classes)
        if tag not in _VOID:
            self.stack.append((tag, meaning))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        while self.stack:
            name, meaning = self.stack.pop()
            if meaning == "output":
                self._check_output("".join(self.text))
                self.text = []
            if name == tag:
                return

    def handle_data(self, data: str) -> None:
        if self.stack and self.stack[-1][0] == "style":
            self._check_style(data)
        if any(meaning == "output" for _, meaning in self.stack):
            self.text.append(data)

    def _fault(self, message: str, place: str = "") -> None:
        self.page.faults.append((place, message))

    def _place(self) -> str:
        return f"cell {self.cells}" if self.cells else f"result {self.results}"

    def _meaning(self, tag: str, classes: list[str]) -> str:
        """Tell what an element is for the checks, and count cells and outputs."""
        if tag == "div" and "cell" in classes:
            self.cells += 1
        self.inputs += "cell_input" in classes
        self.examples += "sphx-glr-example-title" in classes
        if tag == "video" or {"sphx-glr-single-img", "sphx-glr-script-out"} & {*classes}:
            self.outputs += 1
        self.results += "sphx-glr-script-out" in classes
        if "cell_output" in classes:
            self.outputs += 1
        if "stderr" in classes:
            self._fault("something was printed to stderr", self._place())
        is_output = {"cell_output", "sphx-glr-script-out", "sig"} & {*classes}
        return "output" if is_output and not any(meaning == "output" for _, meaning in self.stack) else ""

    def _note_id(self, values: dict[str, str]) -> None:
        if values.get("id"):
            if values["id"] in self.page.ids:
                self._fault(f"the id {values['id']!r} stands twice on the page", f"text {values['id']}")
            self.page.ids.append(values["id"])

    def _check_loads(self, tag: str, values: dict[str, str]) -> None:
        loads = [values.get(_LOADS.get(tag, ""), ""), values.get("poster", "")]
        loads += [entry.strip().split(" ")[0] for entry in values.get("srcset", "").split(",")]
        if tag == "link" and _LOADING_LINKS & {*values.get("rel", "").split()}:
            loads.append(values.get("href", ""))
        for url in filter(None, loads):
            if _ELSEWHERE.match(url):
                self._fault(f"<{tag}> loads {url} from elsewhere", f"text {url}")
            elif not url.startswith("data:"):
                self.page.links.append(url)
        self._check_style(values.get("style", ""))

    def _check_style(self, style: str) -> None:
        for url in _STYLE_LOAD.findall(style):
            self._fault(f"a style loads {url} from elsewhere", f"text {url}")

    def _check_words(self, tag: str, values: dict[str, str]) -> None:
        if tag == "img" and not values.get("alt", "").strip():
            name = values.get("src", "").rsplit("/", 1)[-1]
            inside = any(meaning == "output" for _, meaning in self.stack)
            self._fault(f"image without alt text: {name}", self._place() if inside else f"text {name}")
        if tag == "video" and not values.get("aria-label", "").strip():
            self._fault(f"video without aria-label: {values.get('src', '')}")

    def _check_output(self, text: str) -> None:
        for name, pattern in _NOISE.items():
            if found := pattern.search(text):
                self._fault(f"{name} in an output: {found.group().strip()[:160]!r}", self._place())


def read_page(text: str) -> Page:
    """Read one page and find the faults that can be seen on it alone."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    if (reader.inputs or reader.examples) and not reader.outputs:
        reader._fault("the page has code and no output: was it run?")
    return reader.page


def find_source(site: Path, name: str) -> tuple[str, str]:
    """Find the source of a page, (its path in the project, its text), from the copy that the site ships."""
    for suffix in (".md", ".rst", ".ipynb"):
        copy = site / "_sources" / name.replace(".html", f"{suffix}.txt")
        if copy.exists():
            text = copy.read_text(encoding="utf-8")
            example = re.search(r'EDIT THE SOURCE PYTHON FILE:\n\.\. "gallery/(.+)"', text)
            return (f"examples/{example[1]}" if example else f"docs/{name.replace('.html', suffix)}"), text
    return f"docs/{name}", ""


def find_line(source: str, text: str, place: str) -> str:
    """Give file:line of a place on a page: a notebook's cell, a script's block, or the first line with a text."""
    kind, _, rest = place.partition(" ")
    lines = text.splitlines()
    found: list[int] = []
    if kind == "cell":
        fences = [i for i, line in enumerate(lines, 1) if re.match(r"`{3,}\{code-cell\}|:{3,}\{code-cell\}", line)]
        fences = [i for i in fences if "remove-cell" not in "".join(lines[i : i + 4])]
        found = fences[int(rest) - 1 :]
    elif kind == "result":
        block = 1
        results = []
        for line in lines:
            block = (
                int(match[1]) if (match := re.match(r"\.\. GENERATED FROM PYTHON SOURCE LINES (\d+)-", line)) else block
            )
            if "sphx-glr-script-out" in line:
                results.append(block)
        found = results[max(int(rest) - 1, 0) :]
    elif kind == "text" and not source.startswith("examples/"):
        stem = Path(urlsplit(rest).path).stem or urlsplit(rest).fragment
        found = [i for i, line in enumerate(lines, 1) if stem and stem in line]
    return f"{source}:{found[0]}" if found else source


def _broken_links(site: Path, pages: dict[str, Page], base: str) -> list[tuple[str, str, str]]:
    """Find links into the site whose file or anchor is not there: (page, link, why)."""
    broken = []
    ids = {name: {*page.ids} for name, page in pages.items()}
    files = {path.relative_to(site).as_posix() for path in site.rglob("*") if path.is_file()}
    for name, page in pages.items():
        for link in dict.fromkeys(page.links):
            address, given = urljoin(urljoin(base, name), link), urlsplit(link)
            if not address.startswith(base):
                if not (given.scheme or given.netloc):
                    broken.append((name, link, "it leaves the site"))
                continue
            parts = urlsplit(address)
            path, anchor = unquote(parts.path), unquote(parts.fragment)
            target = path.removeprefix(urlsplit(base).path)
            if target not in files:
                broken.append((name, link, "no such file"))
            elif anchor and target in ids and anchor not in ids[target]:
                broken.append((name, link, f"no #{anchor} on {target}"))
    return broken


def _read_pages(site: Path, cache: Path | None) -> dict[str, Page]:
    """Read every page, those that have not changed since the last time from the cache."""
    own = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    known = _read_cache(cache)
    pages, kept = {}, {}
    for path in sorted(site.rglob("*.html")):
        name = path.relative_to(site).as_posix()
        if name.startswith(("_static/", "_downloads/")):
            continue
        content = path.read_bytes()
        key = hashlib.sha256(own.encode() + content).hexdigest()
        page = Page(**known[key]) if key in known else read_page(content.decode("utf-8"))
        pages[name] = page
        kept[key] = asdict(page)
    if cache:
        cache.write_text(json.dumps(kept), encoding="utf-8")
    return pages


def _read_cache(cache: Path | None) -> dict[str, dict]:
    """Read what is known of pages already checked; nothing, where a stopped build has left half a file."""
    try:
        return json.loads(cache.read_text(encoding="utf-8")) if cache else {}
    except (OSError, ValueError):
        return {}


def check_site(site: Path, *, base: str = "", cache: Path | None = None) -> list[Fault]:
    """Find every fault of a built site; `base` is its address, if it was built for one."""
    pages = _read_pages(site, cache)
    raw = [(name, place, message) for name, page in pages.items() for place, message in page.faults]
    raw += [
        (name, f"text {link}", f"broken link {link}: {why}")
        for name, link, why in _broken_links(site, pages, base or _NOWHERE)
    ]
    faults = []
    for name, place, message in raw:
        source, text = find_source(site, name)
        faults.append(Fault(name, find_line(source, text, place), message))
    for path in sorted(site.rglob("*.css")):
        name = path.relative_to(site).as_posix()
        faults += [
            Fault(name, f"docs/{name.lstrip('_')}", f"a style sheet loads {url} from elsewhere")
            for url in _STYLE_LOAD.findall(path.read_text(encoding="utf-8"))
        ]
    for path in sorted((site / "_sources").rglob("*.md.txt")):
        name = path.relative_to(site / "_sources").as_posix().removesuffix(".txt")
        text = path.read_text(encoding="utf-8")
        for found in _NOT_RUN.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            faults.append(Fault(name, f"docs/{name}:{line}", f"kept from running: {found.group().strip()!r}"))
    return faults


def main(arguments: list[str]) -> int:
    """Print the faults of the site in the folder named, and return 1 if there are any."""
    faults = check_site(Path(arguments[0]), base=arguments[1] if len(arguments) > 1 else "")
    for fault in faults:
        print(fault)
    print(f"{len(faults)} fault(s)")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Hold the version together, or move it: `python tools/release.py check` and `python tools/release.py prepare 1.0.0`.

The version stands in four files. `check` says where they disagree, and prints the notes of the version; given a tag, it
must be the version's. `prepare` writes a new version and date into all four.
"""

from __future__ import annotations

import argparse
import datetime as dt
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_PLACES = {
    "gdexplain/__init__.py": r'^__version__ = "(.+)"$',
    "pyproject.toml": r'^version = "(.+)"$',
    "CITATION.cff": r"^version: (.+)$",
}
_SECTION = r"^## \[{}\](?: - (\d{{4}}-\d\d-\d\d))?\n(.*?)(?=^## \[|\Z)"


def versions(root: Path) -> dict[str, str]:
    """Read the version from each file that states it."""
    return {name: _find(root / name, pattern) for name, pattern in _PLACES.items()}


def _find(path: Path, pattern: str) -> str:
    """Find the one place that a pattern matches."""
    found = re.findall(pattern, path.read_text(encoding="utf-8"), re.MULTILINE)
    if len(found) != 1:
        raise ValueError(f"{path.name} must match {pattern!r} once, and does {len(found)} times")
    return found[0]


def section(root: Path, name: str) -> tuple[str, str] | None:
    """Read the date and the text of one section of the changelog; None where there is none."""
    text = (root / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(_SECTION.format(re.escape(name)), text, re.MULTILINE | re.DOTALL)
    return (found[1] or "", found[2].strip()) if found else None


def disagreements(root: Path, tag: str = "") -> list[str]:
    """Say what stands in the way of a release; without a tag the version may be one that is not released yet."""
    stated = versions(root)
    faults = [f"the version differs: {stated}"] if len({*stated.values()}) > 1 else []
    version = stated["pyproject.toml"]
    if tag and tag != f"v{version}":
        faults.append(f"the tag is {tag}, the version {version}: the tag must be v{version}")
    released = section(root, version)
    dates = re.findall(r"^date-released: (.+)$", (root / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    if released is None:
        faults += [f"CHANGELOG.md has no section [{version}]: `python tools/release.py prepare {version}`"] * bool(tag)
        faults += [f"CITATION.cff says that {version} was released on {date}; CHANGELOG.md does not" for date in dates]
    elif dates != [released[0]]:
        faults.append(
            f"CHANGELOG.md dates [{version}] {released[0] or 'not at all'}, CITATION.cff {dates or 'not at all'}"
        )
    return faults


def prepare(root: Path, version: str, date: str) -> None:
    """Write a version and its date into every file, and give it what stands under [Unreleased]."""
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"a version is three numbers, such as 1.0.0; got {version!r}")
    if section(root, version) is not None:
        raise ValueError(f"CHANGELOG.md has a section [{version}] already")
    unreleased = section(root, "Unreleased")
    if unreleased is None or not unreleased[1]:
        raise ValueError("CHANGELOG.md says nothing under [Unreleased]: there is nothing to release")
    for name, pattern in _PLACES.items():
        old = _find(root / name, pattern)
        line = pattern.strip("^$").replace("(.+)", "{}")
        _replace(root / name, line.format(old), line.format(version))
    _replace(root / "CHANGELOG.md", "## [Unreleased]\n", f"## [Unreleased]\n\n## [{version}] - {date}\n")
    citation = root / "CITATION.cff"
    kept = re.sub(r"^date-released: .+\n", "", citation.read_text(encoding="utf-8"), flags=re.MULTILINE)
    _write(citation, kept.replace(f"version: {version}\n", f"version: {version}\ndate-released: {date}\n"))


def _replace(path: Path, old: str, new: str) -> None:
    """Replace the first occurrence of a text that must be there."""
    text = path.read_text(encoding="utf-8")
    if old not in text:
        raise ValueError(f"{path.name} does not say {old!r}")
    _write(path, text.replace(old, new, 1))


def _write(path: Path, text: str) -> None:
    """Write with Unix line ends on every system."""
    path.write_text(text, encoding="utf-8", newline="\n")


def main(arguments: list[str], root: Path = ROOT) -> int:
    """Check or prepare, and say in words what is wrong."""
    parser = argparse.ArgumentParser(description="Hold the version together, or move it.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check").add_argument("tag", nargs="?", default="")
    preparing = commands.add_parser("prepare")
    preparing.add_argument("version")
    preparing.add_argument("--date", default=dt.datetime.now(dt.UTC).date().isoformat())
    given = parser.parse_args(arguments)
    try:
        if given.command == "prepare":
            prepare(root, given.version, given.date)
        faults = disagreements(root, given.tag if given.command == "check" else f"v{given.version}")
    except ValueError as error:
        faults = [str(error)]
    if faults:
        print(*faults, sep="\n", file=sys.stderr)
        return 1
    version = versions(root)["pyproject.toml"]
    print((section(root, version) or section(root, "Unreleased") or ("", ""))[1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

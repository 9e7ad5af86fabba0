"""Put the sites of all versions beside each other: `python tools/assemble_site.py SITES TARGET`.

SITES holds one built site a folder: `dev`, and each release under its version, such as `1.0.2`. TARGET gets `dev/`,
one folder for each minor version (`1.0/`, its newest release), `stable/` (a copy of the newest), and a page that leads
there. Each site's `_static/versions.js`, empty where it was built, is given the list that its switcher shows. `stable/`
keeps the wheels of all releases, because scripts name the one that they were downloaded with.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

_RELEASE = re.compile(r"(\d+)\.(\d+)\.(\d+)")
_HOME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>gdexplain</title>
<meta http-equiv="refresh" content="0; url={name}/">
<link rel="canonical" href="{name}/">
</head>
<body><p><a href="{name}/">gdexplain</a></p></body>
</html>
"""


def choose(names: list[str]) -> dict[str, str]:
    """Choose which site goes into which folder of the target: `dev` first, then the newest first, then `stable`.

    Raises
    ------
    ValueError
        If a folder is neither `dev` nor a version of three numbers, or if there is none.
    """
    wrong = [name for name in names if name != "dev" and not _RELEASE.fullmatch(name)]
    if wrong or not names:
        raise ValueError(f"sites are named dev or like 1.0.2; got {', '.join(wrong) or 'none'}")
    releases = sorted((tuple(map(int, name.split("."))), name) for name in names if name != "dev")
    newest = {f"{number[0]}.{number[1]}": name for number, name in releases}
    chosen = {"dev": "dev"} if "dev" in names else {}
    chosen |= dict(reversed(newest.items()))
    return chosen | ({"stable": releases[-1][1]} if releases else {})


def pages_of(site: Path) -> set[str]:
    """List the pages of a site."""
    return {path.relative_to(site).as_posix() for path in site.rglob("*.html")}


def assemble(sites: Path, target: Path) -> list[str]:
    """Copy every site to its place, tell each of the others, and return the names of the folders."""
    chosen = choose(sorted(path.name for path in sites.iterdir() if path.is_dir()))
    for name, source in chosen.items():
        if not (sites / source / "index.html").is_file():
            raise ValueError(f"{sites / source} holds no built site: it has no index.html")
        shutil.copytree(sites / source, target / name)
    pages = {name: pages_of(target / name) for name in chosen}
    for here in chosen:
        entries = [
            {
                "name": name,
                "release": source,
                "here": name == here,
                "without": sorted(pages[here] - pages[name]),  # a page that is missing there leads to its home instead
            }
            for name, source in chosen.items()
        ]
        _tell(target / here, entries)
    if "stable" in chosen:  # a script that was downloaded years ago asks for its own version
        for wheel in sites.glob("*.*.*/downloads/*.whl"):
            (target / "stable" / "downloads").mkdir(exist_ok=True)
            shutil.copy2(wheel, target / "stable" / "downloads")
    home = "stable" if "stable" in chosen else "dev"
    (target / "index.html").write_text(_HOME.format(name=home), encoding="utf-8")
    (target / ".nojekyll").touch()  # Pages would leave out folders such as _static
    return list(chosen)


def _tell(site: Path, entries: list[dict[str, object]]) -> None:
    """Write the list that a site's switcher reads; a site built before there was a switcher needs none."""
    path = site / "_static" / "versions.js"
    if path.exists():
        path.write_text(f"globalThis.gdexplainVersions = {json.dumps(entries)};\n", encoding="utf-8")


def main(arguments: list[str]) -> int:
    """Assemble, and say what was put where."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        names = assemble(Path(arguments[0]), Path(arguments[1]))
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    print("assembled:", ", ".join(names))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Write a software bill of materials: what `harmovid` with the named extras brings, as it is installed here.

    python deploy/sbom.py server dashboard --out out/sbom.json      # or: make sbom

CycloneDX 1.6 as JSON (https://cyclonedx.org/docs/1.6/json/), from the metadata of the installed packages and nothing
else: no network, no other package. The same installation gives the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import uuid
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any

PROJECT = "harmovid"
NAMESPACE = uuid.UUID("6ba7b811-9dad-11d1-80b4-00c04fd430c8")  # RFC 9562, NAMESPACE_URL
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRAS = re.compile(r"\[([^\]]*)\]")
_EXTRA_MARKER = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]")


def normal(name: str) -> str:
    """Return a package's name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(found: metadata.Distribution, extras: Iterable[str]) -> list[tuple[str, frozenset[str]]]:
    """Return what a package asks for with these extras: names and the extras that it asks for of them."""
    wanted = {normal(extra) for extra in extras}
    asked = []
    for line in found.requires or ():
        requirement, _, marker = line.partition(";")
        only_for = {normal(extra) for extra in _EXTRA_MARKER.findall(marker)}
        if only_for and not only_for & wanted:
            continue
        name = _NAME.match(requirement.strip())
        if name is None:
            continue
        inner = _EXTRAS.search(requirement)
        words = inner[1].split(",") if inner else ()
        asked.append((normal(name[0]), frozenset(normal(word.strip()) for word in words)))
    return asked


def closure(extras: Iterable[str]) -> dict[str, set[str]]:
    """Return every package that is reached and installed, and the packages that each of them needs.

    A requirement that is not installed is one of another system or Python: its marker does not hold here.
    """
    needs: dict[str, set[str]] = {}
    waiting = [(PROJECT, frozenset(extras))]
    seen = set()
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        found = metadata.distribution(name)
        for other, inner in requirements(found, wanted):
            try:
                metadata.distribution(other)
            except metadata.PackageNotFoundError:
                continue
            waiting.append((other, inner))
            if other != name:
                needs.setdefault(name, set()).add(other)
        needs.setdefault(name, set())
    return needs


def licences(found: metadata.Distribution) -> list[dict[str, Any]]:
    """Return what a package says of its licence: an expression (PEP 639), classifiers, or a short text."""
    facts = found.metadata
    if expression := facts.get("License-Expression"):
        return [{"expression": expression}]
    names = [
        line.rsplit(" :: ", 1)[-1]
        for line in facts.get_all("Classifier") or ()
        if line.startswith("License :: ")
    ]
    text = (facts.get("License") or "").strip()
    if not names and text and "\n" not in text:
        names = [text]
    return [{"license": {"name": name}} for name in names]


def component(name: str) -> dict[str, Any]:
    """Return one package as CycloneDX describes it."""
    found = metadata.distribution(name)
    version = found.version
    reference = f"pkg:pypi/{name}@{version}"
    told: dict[str, Any] = {
        "type": "application" if name == PROJECT else "library",
        "bom-ref": reference,
        "name": name,
        "version": version,
        "purl": reference,
    }
    if said := licences(found):
        told["licenses"] = said
    return told


def bill(extras: Iterable[str]) -> dict[str, Any]:
    """Return the whole bill of materials."""
    needs = closure(extras)
    parts = {name: component(name) for name in sorted(needs)}
    reference = {name: part["bom-ref"] for name, part in parts.items()}
    depends = [
        {"ref": reference[name], "dependsOn": sorted(reference[other] for other in others)}
        for name, others in sorted(needs.items())
    ]
    body = json.dumps([list(parts.values()), depends], sort_keys=True)
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(NAMESPACE, body)}",
        "version": 1,
        "metadata": {"component": parts.pop(PROJECT)},
        "components": list(parts.values()),
        "dependencies": depends,
    }


def main(words: list[str]) -> int:
    """Write the bill, and say how many packages it has."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "extras", nargs="*", metavar="EXTRA", help="extras of harmovid: server, dashboard, ..."
    )
    parser.add_argument("--out", required=True, metavar="FILE.json")
    args = parser.parse_args(words)
    told = bill(args.extras)
    out = Path(args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    print(f"{out}: {len(told['components'])} packages")
    silent = [part["name"] for part in told["components"] if "licenses" not in part]
    if silent:
        print(f"no licence in the metadata of: {', '.join(silent)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

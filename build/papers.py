"""What goes with the binary on paper: licences of everything in it, and a bill of materials (CycloneDX)."""

from __future__ import annotations

import json
import platform
import sys
import sysconfig
import uuid
from importlib.metadata import Distribution, distribution
from pathlib import Path
from typing import Any

_NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS")


def licenses(names: list[str]) -> str:
    """The licences of Python and of the distributions `names`, one after the other, as text."""
    parts = [_section(f"Python {platform.python_version()}", "PSF-2.0", [_python_license()])]
    for name in names:
        dist = distribution(name)
        parts.append(_section(f"{dist.name} {dist.version}", license_of(dist), _texts(dist)))
    return "\n".join(parts)


def _section(title: str, licence: str, texts: list[str]) -> str:
    line = "=" * 78
    return "\n".join([line, f"{title}: {licence}", line, *(text.strip() + "\n" for text in texts)])


def _python_license() -> str:
    places = [Path(sysconfig.get_path("stdlib")) / "LICENSE.txt", Path(sys.base_prefix) / "LICENSE.txt"]
    return next((p.read_text() for p in places if p.is_file()), "See https://docs.python.org/3/license.html")


def _texts(dist: Distribution) -> list[str]:
    found = sorted({str(f) for f in dist.files or [] if f.name.upper().startswith(_NAMES) and f.suffix != ".py"})
    return [Path(str(dist.locate_file(f))).read_text(errors="replace") for f in found]


def license_of(dist: Distribution) -> str:
    """What a distribution says its licence is."""
    fields = dist.metadata.json
    classifiers = [
        str(c).rpartition(" :: ")[2] for c in fields.get("classifier", []) if str(c).startswith("License ::")
    ]
    told = str(fields.get("license", ""))
    short = "" if "\n" in told else told
    return str(fields.get("license_expression", "")) or short or ", ".join(classifiers) or "see below"


def sbom(names: list[str]) -> str:
    """A CycloneDX 1.6 document, the same for the same versions."""
    dists = [distribution(name) for name in names]
    parts: list[dict[str, Any]] = [_component(dist) for dist in dists if dist.name != "cerebelum"]
    version = platform.python_version()
    parts.append(
        {
            "type": "platform",
            "bom-ref": f"python@{version}",
            "name": "python",
            "version": version,
            "purl": f"pkg:generic/python@{version}",
        }
    )
    main = next(dist for dist in dists if dist.name == "cerebelum")
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "urn:uuid:" + str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(parts, sort_keys=True))),
        "version": 1,
        "metadata": {"component": {**_component(main), "type": "application"}},
        "components": sorted(parts, key=lambda part: str(part["bom-ref"])),
    }
    return json.dumps(document, indent=2) + "\n"


def _component(dist: Distribution) -> dict[str, Any]:
    purl = f"pkg:pypi/{dist.name.lower().replace('_', '-')}@{dist.version}"
    return {
        "type": "library",
        "bom-ref": purl,
        "name": dist.name,
        "version": dist.version,
        "purl": purl,
        "licenses": [{"license": {"name": license_of(dist)}}],
    }

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

from natives import LICENSES, Native

_NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "AUTHORS")
_ABOUT = """\
cerebelum is licensed under the MIT licence. The binary holds the software below, each part under its own licence.
Libraries under the LGPL are files of their own in the folder that the binary unpacks itself to. To use another version
of one, change it in the recipe: `make binary`, in the sources of cerebelum, builds this file.
"""


def licenses(names: list[str], parts: list[Native]) -> str:
    """The licences of Python, of the distributions `names` and of `parts`, one after the other, as text."""
    dists = [distribution(name) for name in names]
    sections = [_ABOUT, _section(f"Python {platform.python_version()}", "PSF-2.0", [_python_license()])]
    sections += [_section(f"{dist.name} {dist.version}", license_of(dist), _texts(dist)) for dist in dists]
    sections += [_part(part) for part in parts]
    # The LGPL version 3, psycopg's, is the GPL version 3 with further permissions, and wants both to be there.
    shared = {name for part in parts for name in part.kind.texts if name[0].isupper()} | {"GPL-3"}
    sections += [_section("Text of a licence", n, [(LICENSES / f"{n}.txt").read_text()]) for n in sorted(shared)]
    return "\n".join(sections)


def _part(part: Native) -> str:
    title = " ".join(filter(None, (part.kind.name, part.version, f"({', '.join(part.files)})")))
    # Texts that several parts share come once, at the end; their names begin with a capital.
    own = [name for name in part.kind.texts if name[0].islower()]
    return _section(title, part.kind.licence, [(LICENSES / f"{name}.txt").read_text() for name in own])


def _section(title: str, licence: str, texts: list[str]) -> str:
    line = "=" * 78
    return "\n".join([line, f"{title}: {licence}", line, *(text.strip() + "\n" for text in texts)])


def _python_license() -> str:
    places = [Path(sysconfig.get_path("stdlib")) / "LICENSE.txt", Path(sys.base_prefix) / "LICENSE.txt"]
    where = "The licences of what Python itself incorporates: https://docs.python.org/3/license.html"
    return "\n\n".join([*(p.read_text() for p in places if p.is_file()), where])


def _texts(dist: Distribution) -> list[str]:
    found = sorted({str(f) for f in dist.files or [] if f.name.upper().startswith(_NAMES) and f.suffix != ".py"})
    texts = [Path(str(dist.locate_file(f))).read_text(errors="replace") for f in found]
    return list(dict.fromkeys(texts))


def license_of(dist: Distribution) -> str:
    """What a distribution says its licence is."""
    fields = dist.metadata.json
    classifiers = [
        str(c).rpartition(" :: ")[2] for c in fields.get("classifier", []) if str(c).startswith("License ::")
    ]
    told = str(fields.get("license", ""))
    short = "" if "\n" in told else told
    return str(fields.get("license_expression", "")) or short or ", ".join(classifiers) or "see below"


def sbom(names: list[str], parts: list[Native]) -> str:
    """A CycloneDX 1.6 document, the same for the same versions."""
    dists = [distribution(name) for name in names]
    version = platform.python_version()
    python = {"type": "platform", "name": "python", "version": version, "purl": f"pkg:generic/python@{version}"}
    components = [{**python, "bom-ref": python["purl"], "licenses": [{"license": {"id": "PSF-2.0"}}]}]
    components += [_component(dist) for dist in dists if dist.name != "cerebelum"]
    components += [_native(part) for part in parts]
    components.sort(key=lambda part: str(part["bom-ref"]))
    main = next(_component(dist) for dist in dists if dist.name == "cerebelum") | {"type": "application"}
    needs = [part["bom-ref"] for part in components]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": "urn:uuid:" + str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([main, components]))),
        "version": 1,
        "metadata": {"component": main},
        "components": components,
        "dependencies": [{"ref": main["bom-ref"], "dependsOn": needs}, *({"ref": ref} for ref in needs)],
    }
    return json.dumps(document, indent=2) + "\n"


def _component(dist: Distribution) -> dict[str, Any]:
    purl = f"pkg:pypi/{dist.name.lower().replace('_', '-')}@{dist.version}"
    expression = dist.metadata.json.get("license_expression")
    licence = {"expression": expression} if expression else {"license": {"name": license_of(dist)}}
    fields = {"type": "library", "bom-ref": purl, "name": dist.name, "version": dist.version, "purl": purl}
    return {**fields, "licenses": [licence]}


def _native(part: Native) -> dict[str, Any]:
    fields = {"type": "library", "bom-ref": f"{part.purl}#{part.files[0]}", "name": part.kind.name, "purl": part.purl}
    if part.version is not None:
        fields["version"] = part.version
    files = [{"name": "cerebelum:file", "value": name} for name in part.files]
    return {**fields, "licenses": [{"expression": part.kind.licence}], "properties": files}


def strays(names: list[str], sources: list[str]) -> list[str]:
    """The files among `sources` that were installed by no distribution of `names`: their licences would be missing."""
    owned = {str(dist.locate_file(file)) for dist in map(distribution, names) for file in dist.files or []}
    places = (sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    return sorted({source for source in sources if source.startswith(places) and source not in owned})

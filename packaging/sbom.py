#!/usr/bin/env python3
"""Writes the bill of materials of the program as CycloneDX 1.5 JSON: every crate that is linked into it.

usage: packaging/sbom.py > magewarden.cdx.json

Reads `cargo metadata` (default features, normal dependencies, x86_64-unknown-linux-gnu) and the hashes of
Cargo.lock. The same commit gives the same bytes: the time is that of SOURCE_DATE_EPOCH, the serial number a
hash of the rest.
"""
import datetime
import json
import os
import pathlib
import re
import subprocess
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent


def component(package, hashes):
    name, version = package["name"], package["version"]
    found = {
        "type": "library", "bom-ref": f"pkg:cargo/{name}@{version}", "name": name, "version": version,
        "purl": f"pkg:cargo/{name}@{version}", "licenses": [{"expression": spdx(package["license"])}] if package["license"] else [],
    }
    if (name, version) in hashes:
        found["hashes"] = [{"alg": "SHA-256", "content": hashes[name, version]}]
    if package["repository"]:
        found["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return found


def spdx(text):
    """Older crates part licences by a slash, which means OR."""
    return re.sub(r"\s*/\s*", " OR ", text)


def main():
    metadata = json.loads(subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"],
        cwd=ROOT, check=True, capture_output=True).stdout)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    program = next(id for id, package in packages.items() if package["name"] == "magewarden")
    linked, depends, todo = set(), {}, [program]
    while todo:
        id = todo.pop()
        if id in linked:
            continue
        linked.add(id)
        depends[id] = sorted({dep["pkg"] for dep in nodes[id]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])})
        todo += depends[id]
    lock = (ROOT / "Cargo.lock").read_text()
    hashes = {(name, version): checksum for name, version, checksum in
              re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"\nsource = "[^"]+"\nchecksum = "([0-9a-f]+)"', lock)}
    made = {id: component(packages[id], hashes) for id in linked}
    main_component = dict(made.pop(program), type="application")
    time = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    bom = {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ"), "component": main_component},
        "components": sorted(made.values(), key=lambda one: one["bom-ref"]),
        "dependencies": sorted(({"ref": f"pkg:cargo/{packages[id]['name']}@{packages[id]['version']}",
                                 "dependsOn": sorted(f"pkg:cargo/{packages[on]['name']}@{packages[on]['version']}" for on in ons)}
                                for id, ons in depends.items()), key=lambda one: one["ref"]),
    }
    bom["serialNumber"] = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(bom, sort_keys=True))}"
    print(json.dumps(bom, indent=1, sort_keys=True))


if __name__ == "__main__":
    main()

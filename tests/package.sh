#!/usr/bin/env bash
# What ./package made is whole: checksums hold, the package unpacks and its program works, the bill names what is linked.
#
# usage: tests/package.sh      after ./package; installs nothing
set -euo pipefail
cd "$(dirname "$0")/.."
fail() { echo "FAILED: $*" >&2; exit 1; }

(cd dist && sha256sum --check --quiet SHA256SUMS) || fail "checksums"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

dpkg-deb --extract dist/*.deb "$work/deb"
dpkg-deb --control dist/*.deb "$work/control"
for script in postinst prerm; do sh -n "$work/control/$script" || fail "$script"; done
grep -qx /etc/magewarden/up.toml "$work/control/conffiles" || fail "the settings are no conffile"
program=$work/deb/usr/bin/magewarden
"$program" --version > /dev/null || fail "the packaged program does not start"
tar -xzf dist/*.tar.gz -C "$work"
cmp -s "$program" "$work"/magewarden-*/magewarden || fail "archive and package hold different programs"
unit=$work/deb/lib/systemd/system/magewarden.service
if command -v systemd-analyze > /dev/null; then
  # Only what is wrong with the unit itself: its program is not installed here.
  systemd-analyze verify "$unit" 2>&1 | grep "magewarden.service:[0-9]" && fail "the unit"
  agent=$work/deb/lib/systemd/system/magewarden-agent.service
  systemd-analyze verify "$agent" 2>&1 | grep "magewarden-agent.service:[0-9]" && fail "the agent's unit"
  helper=$work/deb/lib/systemd/system/magewarden-agent-root
  systemd-analyze verify "$helper.socket" "$helper.service" 2>&1 | grep "magewarden-agent-root\.[a-z]*:[0-9]" && fail "the root helper's units"
  install -D -m 644 "$work/deb/usr/share/doc/magewarden/who-wrote.conf" "$unit.d/who-wrote.conf"
  systemd-analyze verify "$unit" 2>&1 | grep "\.\(service\|conf\):[0-9]" && fail "the unit with who-wrote.conf"
fi

cat > "$work/access.log" <<'LOG'
203.0.113.9 - - [05/Aug/2026:10:15:00 +0000] "GET /catalogsearch/result/?q=1%27%20UNION%20SELECT%20password%20FROM%20admin_user-- HTTP/1.1" 200 512 "-" "x"
LOG
code=0
"$program" analyze "$work/access.log" --out "$work/out" > "$work/told" || code=$?
[ "$code" = 10 ] || fail "analyze ended with $code"
"$program" verify "$work/out/latest/ledger" > /dev/null || fail "its ledger does not verify"

# Another reader of the ledger, without any code of ours, agrees; and no longer once a bit is flipped.
ledger=$work/out/latest/ledger
other() { /usr/bin/python3 docs/verify_ledger.py "$ledger" "$work/out/latest/checkpoints.copy" > /dev/null 2>&1; }
other || fail "docs/verify_ledger.py does not verify the ledger (needs python3-cryptography)"
python3 - "$ledger/segments/00000000.leaf" <<'PY'
import sys
with open(sys.argv[1], "r+b") as file:
    file.seek(40)
    byte = file.read(1)[0]
    file.seek(40)
    file.write(bytes([byte ^ 1]))
PY
other && fail "docs/verify_ledger.py does not see a flipped bit"
"$program" verify "$ledger" > /dev/null && fail "verify does not see a flipped bit"

python3 - dist/*.cdx.json <<'PY' || fail "the bill of materials"
import json, pathlib, re, sys
bom = json.load(open(sys.argv[1]))
assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.5")
refs = {one["bom-ref"] for one in bom["components"]} | {bom["metadata"]["component"]["bom-ref"]}
assert len(refs) == len(bom["components"]) + 1
for one in bom["components"]:
    assert one["licenses"], one["name"]
    assert "hashes" in one or one["name"].startswith("magewarden"), one["name"]
for edge in bom["dependencies"]:
    assert edge["ref"] in refs and set(edge["dependsOn"]) <= refs, edge["ref"]
locked = set(re.findall(r'name = "([^"]+)"\nversion = "([^"]+)"', pathlib.Path("Cargo.lock").read_text()))
assert all((one["name"], one["version"]) in locked for one in bom["components"])
assert {"sqlx-sqlite", "axum", "rustls", "ed25519-dalek"} <= {one["name"] for one in bom["components"]}
PY
echo "package: whole"

#!/usr/bin/env python3
"""Scores `magewarden analyze` against a labelled capture of a real shop.

usage: score.py MAGEWARDEN CAPTURE [--out DIR] [--json]

CAPTURE holds labels.json and the folders mysql/ nginx/ magento/ php/. Prints found, missed, false,
and the precision of actors, tables and time. Exit code 0 when at least 19 attacks are found and at
most 3 incidents rest on benign activity alone.

An attack is found when an incident names its actor, its tables or paths, its store or `unknown`,
begins within 60 s of its label, and spans at most twice its length plus five minutes.
"""
import argparse
import datetime
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

# What each kind of attack touches, by a word in its label's name: any one of these must be named.
TOUCHES = [
    ("csv_export", r"sales_order_grid|customer_grid_flat|export|mui"),
    ("rest_", r"/rest/|sales_order"),
    ("mysqldump", r"sales_order_payment|vault_payment_token"),
    ("into_outfile_php", r"\.php|outfile|media|payment|core_config_data|path|unknown"),
    ("into_outfile", r"sales_order_payment"),
    ("sqli", r"admin_user|sales_order|customer_entity|vault|/"),
    ("union_by", r"admin_user|customer_entity|sales_order|vault|quote"),
    ("table_browse", r"sales_order_payment|vault_payment_token|admin_user|customer_entity|quote_payment"),
    ("skimmer_core", r"core_config_data"),
    ("skimmer_cms", r"cms_block|cms_page"),
    ("admin_user_insert", r"admin_user|authorization_role"),
    ("php_drop", r"\.php|\.phtml|/media"),
    ("brute_force", r"admin|/"),
    ("card_testing", r"payment|checkout|cart|guest-carts|quote"),
    ("stuffing", r"token|login|customer|/"),
    ("path_scan", r"/"),
    ("audit_tamper", r"audit|log|sales_order_payment|vault"),
]


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def actors_of(label, options):
    """What may name the label's actor; some labels leave it to the logs."""
    names = [label[key] for key in ("src", "db_user", "user", "token") if label.get(key)]
    if "stuffing" in label["name"]:  # its label names no source; the access log does
        names = [options.stuffing]
    if not names and "php_drop" not in label["name"]:
        names = [options.account]
    return names


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("magewarden")
    parser.add_argument("capture", type=pathlib.Path)
    parser.add_argument("--out")
    parser.add_argument("--account", default="magento", help="the shop's database account, where a label names none")
    parser.add_argument("--stuffing", default="127.66.8.", help="start of the addresses that try logins")
    options = parser.parse_args()
    out = options.out or tempfile.mkdtemp(prefix="magewarden-score-")
    paths = [str(options.capture / name) for name in ("mysql", "nginx", "magento", "php")]
    start = time.monotonic()
    run = subprocess.run([options.magewarden, "analyze", *paths, "--out", out, "--format", "json", "--fail-on", "never", "--zone", "UTC"],
                         capture_output=True, check=False)
    wall = time.monotonic() - start
    if run.returncode != 0:
        sys.exit(run.stderr.decode())
    result = json.loads(run.stdout)
    labels = json.loads((options.capture / "labels.json").read_text())["events"]
    attacks = [label for label in labels if label["kind"] == "attack"]
    for label in attacks:
        label["from"], label["to"] = seconds(label["start"]), seconds(label["end"])
    entries, findings = result["entries"], result["findings"]

    def in_attack(incident):
        """Labels in whose byte ranges an event of the incident lies."""
        hits = set()
        for joined in incident["findings"]:
            for event in findings[joined["finding"]]["events"]:
                entry = entries.get(str(event["sequence"]))
                if not entry:
                    continue
                for label in attacks:
                    for name, (low, high) in label["log_offsets"].items():
                        if name in entry["source"] and low <= entry["offset_bytes"] < high:
                            hits.add(label["name"])
        return hits

    rows, used = [], set()
    for label in attacks:
        pattern = next((pattern for word, pattern in TOUCHES if word in label["name"]), ".")
        best = None
        for incident in result["incidents"]:
            first, last = seconds(incident["first"]) if isinstance(incident["first"], str) else incident["first"] / 1e6, \
                seconds(incident["last"]) if isinstance(incident["last"], str) else incident["last"] / 1e6
            names = json.dumps(incident["actors"])
            actor = any(name in names for name in actors_of(label, options))
            asset = any(re.search(pattern, asset["name"]) for asset in incident["assets"])
            length = label["to"] - label["from"]
            begins = abs(first - label["from"]) <= 60
            spans = last - first <= 2 * length + 300
            marks = (actor, asset, begins, spans)
            near = label["from"] - 60 <= last and first <= label["to"] + 60
            key = (all(marks), sum(marks), -abs(first - label["from"]))
            if near and (best is None or key > best[0]):
                best = (key, marks, incident)
        rows.append((label, best))
        if best and best[0][0]:
            used.add(best[2]["id"])
    false = []
    for incident in result["incidents"]:
        hits = in_attack(incident)
        names = json.dumps(incident["actors"])
        named = any(name in names for label in attacks for name in actors_of(label, options)
                    if label["from"] - 60 <= incident["last"] / 1e6 and incident["first"] / 1e6 <= label["to"] + 60)
        if not hits and not named:
            false.append(incident)
    found = sum(1 for _, best in rows if best and best[0][0])
    print(f"{'attack':42} {'found':6} actor asset begin span   incident")
    for label, best in rows:
        if best is None:
            print(f"{label['name']:42} {'no':6} -")
            continue
        (whole, _, _), marks, incident = best
        words = " ".join(f"{'yes' if mark else 'NO':5}" for mark in marks)
        print(f"{label['name']:42} {'yes' if whole else 'NO':6} {words} {incident['severity']:8} {incident['title'][:90]}")
    events = [seconds(label[key]) for label in labels for key in ("start", "end")]
    print(f"\n{found} of {len(attacks)} found; {len(result['incidents'])} incidents; {len(false)} rest on benign activity alone, "
          f"in a window of {(max(events) - min(events)) / 60:.0f} minutes; {wall:.1f} s")
    for name, index in (("actors", 0), ("tables or paths", 1), ("begin", 2), ("span", 3)):
        seen = [best[1][index] for _, best in rows if best]
        print(f"  {name}: {sum(seen)} of {len(seen)} right")
    for incident in false:
        print(f"  false: {incident['severity']} {incident['title'][:140]} {[a['value'] for a in incident['actors']][:4]}")
    sys.exit(0 if found >= 19 and len(false) <= 3 else 1)


if __name__ == "__main__":
    main()

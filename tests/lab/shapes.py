#!/usr/bin/env python3
"""Counts how statements on tables of payments are judged in the benign part of a labelled capture.

usage: shapes.py MAGEWARDEN CAPTURE [--attack]

A statement counts as benign when it lies between the first and the last label and in no attack's byte range.
A dump tool's statement is judged by the breadth of its connection, not by its text: unknown by its shape, it counts as
explained when its connection read more tables than a thief would. Exits with 1 when a benign statement is unknown.
"""
import argparse, collections, gzip, json, pathlib, subprocess, sys, tempfile

LOGS = ("server_audit.log", "general.log", "slow.log")
PAYMENT = {"sales_order_payment", "sales_order_payment_archive", "quote_payment", "vault_payment_token", "vault_payment_token_order_payment_link",
           "sales_payment_transaction", "paypal_billing_agreement", "paypal_billing_agreement_order", "paypal_payment_transaction",
           "paypal_settlement_report", "paypal_settlement_report_row"}
WORDS = [table.encode() for table in PAYMENT]
BACKUP_TABLES_MIN = 60  # as in crates/detect/src/dump.rs


def read(path):
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def statements(program, path):
    run = subprocess.run([program, "shape", "--log", str(path), "--format", "ndjson", "--zone", "UTC", "--all"], capture_output=True, check=True)
    return [json.loads(line) for line in run.stdout.splitlines() if b"no_cache_hint" in line or any(word in line for word in WORDS)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("magewarden")
    parser.add_argument("capture", type=pathlib.Path)
    parser.add_argument("--attack", action="store_true", help="show the statements of the attacks instead")
    options = parser.parse_args()
    labels = json.loads((options.capture / "labels.json").read_text())["events"]
    unknown = 0
    with tempfile.TemporaryDirectory(prefix="magewarden-shapes-") as folder:
        for log in LOGS:
            source = next(path for path in (options.capture / "mysql").iterdir() if path.name in (log, log + ".gz"))
            plain = pathlib.Path(folder) / log
            plain.write_bytes(read(source))
            ranges = [(label["kind"], label["log_offsets"][f"mysql/{log}"]) for label in labels if f"mysql/{log}" in label["log_offsets"]]
            first, last = min(low for _, (low, _) in ranges), max(high for _, (_, high) in ranges)
            attacks = [span for kind, span in ranges if kind == "attack"]
            breadth, rows = collections.defaultdict(set), []
            for row in statements(options.magewarden, plain):
                at = row["offset_bytes"]
                attack = any(low <= at < high for low, high in attacks)
                if "no_cache_hint" in row["traits"]:
                    breadth[row["account"], row["connection"]].update(row["tables"])
                if first <= at < last and attack == options.attack and PAYMENT.intersection(row["tables"]):
                    rows.append(row)
            groups = collections.Counter()
            for row in rows:
                verdict, why = row["magento"], row["why"]
                wide = len(breadth[row["account"], row["connection"]])
                if "no_cache_hint" in row["traits"] and wide >= BACKUP_TABLES_MIN:
                    verdict, why = "explained", "a backup: its connection read the whole schema"
                groups[verdict, row["account"], why, "cut" if "cut" in row["traits"] else "", row["class"], ",".join(row["tables"])[:90]] += 1
            counts = collections.Counter()
            for (verdict, *_), count in groups.items():
                counts[verdict] += count
            unknown += counts["unknown"] + counts["not_judged"]
            print(f"\n{log}: " + ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))
            for group, count in sorted(groups.items(), key=lambda item: (item[0][0], -item[1])):
                print(f"  {count:6} " + " | ".join(word for word in group if word))
    print(f"\n{unknown} unknown or not judged")
    sys.exit(0 if options.attack or unknown == 0 else 1)


if __name__ == "__main__":
    main()

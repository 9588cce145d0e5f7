#!/usr/bin/env python3
"""Renames a labelled capture and shifts it by 334 days: what is found must not depend on names or dates.

usage: rename.py CAPTURE OUT      then: score.py MAGEWARDEN OUT --account acmeapp --stuffing 127.88.8.

Every replacement keeps its length, so that byte offsets in labels.json stay true.
"""
import gzip, pathlib, re, sys

SAME_LENGTH = [(b"127.66.", b"127.88."), (b"127.67.", b"127.89."), (b"127.20.", b"127.41."), (b"127.30.", b"127.52."),
               (b"127.10.", b"127.73."), (b"magento", b"acmeapp"), (b"storefinder", b"dealerslook"), (b"labgateway", b"foopayment"),
               (b"admin_lab", b"backof_x1"), (b"reporting", b"financebi"), (b"marketing-feed", b"channel-export"), (b"shop.manager", b"anna.example")]
DATES = [(b"2026-11-23", b"2027-10-23"), (b"20261123", b"20271023"), (b"23/Nov/2026", b"23/Oct/2027"), (b"261123 ", b"271023 "),
         (b"2026/11/23", b"2027/10/23")]
DAYS = 334


def change(data):
    for old, new in SAME_LENGTH + DATES:
        assert len(old) == len(new)
        data = data.replace(old, new)
    return re.sub(rb"SET timestamp=(\d{10})", lambda hit: b"SET timestamp=%d" % (int(hit[1]) + DAYS * 86400), data)


def main():
    source, out = map(pathlib.Path, sys.argv[1:3])
    for name in ("mysql", "nginx", "magento", "php"):
        (out / name).mkdir(parents=True, exist_ok=True)
        for path in (source / name).iterdir():
            if path.suffix == ".gz":
                (out / name / path.name).write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes())), 1))
            else:
                (out / name / path.name).write_bytes(change(path.read_bytes()))
    (out / "labels.json").write_bytes(change((source / "labels.json").read_bytes()))


if __name__ == "__main__":
    main()

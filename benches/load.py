#!/usr/bin/env python3
"""What watching costs the shop, and what each log costs that magewarden asks to switch on.

usage: benches/load.py MAGEWARDEN [--quick]

Starts the stand-in shop of tests/shop (nginx, php-fpm, MariaDB, Redis), loads its checkout with ApacheBench, and takes turns:
without and with magewarden watching rows, Redis and logs on the same two cores; without and with each log. Ten pairs each, in
changing order. Prints one line of JSON a comparison: requests a second of both sides, the ratios, their median and the
interval of the median that holds it in 95 of 100 (by signs, exact). Of magewarden's own statements MariaDB's own figures tell
the share of its busy time, the longest and what waited for locks.
"""
import json
import math
import pathlib
import random
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "shop"), str(ROOT / "tests" / "services")]

from shared import end, free_port, grant, need, page, wait_for
from shop import Shop

PAIRS, SECONDS = 10, 3


def load(shop, seconds):
    """Requests a second the checkout answers."""
    out = subprocess.run(["ab", "-q", "-l", "-c", "4", "-t", str(seconds), "-n", "10000000", "-H", f"Host: de.shop.test:{shop.port}", f"http://127.0.0.1:{shop.port}/checkout"],
                         capture_output=True, text=True, check=True).stdout
    failed = int(re.search(r"Failed requests:\s+(\d+)", out)[1])
    need(failed == 0 and "Non-2xx" not in out, "the shop failed under load", out)
    return float(re.search(r"Requests per second:\s+([\d.]+)", out)[1])


def interval(values):
    """The median's interval at 95 of 100: between which ranks it lies, by the binomial of signs."""
    ordered, count = sorted(values), len(values)
    for out in range(count // 2, -1, -1):
        outside = 2 * sum(math.comb(count, k) for k in range(out)) / 2 ** count
        if outside <= 0.05:
            return ordered[out - 1] if out else ordered[0], ordered[count - out] if out else ordered[-1]
    return ordered[0], ordered[-1]


def pairs(shop, name, on, off, seconds, chance):
    """Turns with and without; the order within a pair by chance."""
    without, with_it = [], []
    for _ in range(PAIRS):
        for side in chance.sample(("off", "on"), 2):
            (on if side == "on" else off)()
            (with_it if side == "on" else without).append(load(shop, seconds))
    off()
    ratios = [b / a for a, b in zip(without, with_it)]
    low, high = interval(ratios)
    print(json.dumps({"what": name, "without": without, "with": with_it, "ratio": statistics.median(ratios), "low": low, "high": high}), flush=True)


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    seconds = 1 if "--quick" in sys.argv else SECONDS
    chance = random.Random(1129)
    started, folder = [], pathlib.Path(tempfile.mkdtemp(prefix="magewarden-load-"))
    try:
        shop = Shop(folder, started, options=["--performance-schema=ON", "--slow-query-log-file=slow.log"])
        word = folder / "password"
        word.write_text("its-own-password\n")
        word.chmod(0o600)
        asked = ["--magento", str(shop.root), "--database-user", "magewarden", "--database-password-file", str(word), "--source", "shop_rows"]
        printed = subprocess.run([str(magewarden), "up", *asked, "--print-grants"], check=True, capture_output=True, text=True).stdout
        grant(shop.sql, printed, "its-own-password")
        # As many rows as a shop has, so that looking at them is work.
        shop.sql("""use shop; insert into mg_core_config_data (scope, scope_id, path, value) select 'stores', 1, concat('a/b/c', seq), repeat('x', 40) from seq_1_to_3000;
                    insert into mg_cms_block (identifier, title, content, is_active) select concat('b', seq), 'B', repeat('<p>text</p>', 300), 1 from seq_1_to_500;
                    insert into mg_cron_schedule (job_code, status, created_at) select concat('j', seq), 'success', now() from seq_1_to_5000;
                    insert into mg_quote_payment (quote_id, method) select seq, 'checkmo' from seq_1_to_20000;
                    insert into mg_admin_user (username, is_active) select concat('a', seq), 1 from seq_1_to_40;""")
        shop.sql("set global server_audit_logging=off; set global slow_query_log=off; set global long_query_time=10; set global userstat=on")
        load(shop, 2)
        chosen = lambda name, on, off: pairs(shop, name, on, off, seconds, chance)
        same = lambda: None
        chosen("nothing changed (what this measure itself can tell apart)", same, same)
        sql = lambda text: lambda: shop.sql(text)
        chosen("MariaDB's audit log: CONNECT, QUERY, TABLE", sql("set global server_audit_logging=on"), sql("set global server_audit_logging=off"))
        chosen("MariaDB's slow log of every statement", sql("set global slow_query_log=on; set global long_query_time=0"), sql("set global slow_query_log=off; set global long_query_time=10"))
        chosen("nginx's access log as JSON with cookie and header, beside the usual one", lambda: shop.access_log(True), lambda: shop.access_log(False))
        console, up = free_port(), []
        (folder / "settings.toml").write_text(f'[[source]]\nkind = "redis"\nserver = "127.0.0.1:{shop.redis}"\n')
        logs = ["--log", str(shop.audit), "--log", str(folder / "access.json")]

        def begin(*more):
            """Starts it as the packaged unit runs it – what the shop wants comes first – and waits until it has seen all there is."""
            up.append(subprocess.Popen(["nice", "-n", "19", str(magewarden), "up", *asked, *more, "--config", str(folder / "settings.toml"),
                                        "--data", str(folder / f"data{len(started)}"), "--port", str(console)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            started.append(up[0])
            wait_for("the console", 60, lambda: "<main" in page(console))
            wait_for("the rows", 120, lambda: 'magewarden_source_works{source="shop_rows:shop"} 1' in page(console, "/metrics"))
            time.sleep(20)

        def finish():
            up[0].send_signal(signal.SIGCONT)
            up[0].send_signal(signal.SIGTERM)
            up.pop().wait(60)

        # Held and let go on: a start is not what it costs.
        go, hold = (lambda: up[0].send_signal(signal.SIGCONT)), (lambda: up[0].send_signal(signal.SIGSTOP))
        begin()
        chosen("magewarden on the shop's own two cores: rows and Redis", go, hold)
        finish()

        def logging(is_on):
            shop.sql(f"set global server_audit_logging={'on' if is_on else 'off'}")
            shop.access_log(is_on)
            (go if is_on else hold)()

        logging_on, logging_off = (lambda: logging(True)), (lambda: logging(False))
        begin(*logs)
        chosen("audit log, access log as JSON, and magewarden that reads them on the same two cores", logging_on, logging_off)
        logging_on()
        # Its statements alone, at a shop under load.
        shop.sql("flush user_statistics; truncate performance_schema.events_statements_summary_by_user_by_event_name")
        for _ in range(2 if seconds == 1 else 25):
            load(shop, seconds)
        busy = dict(line.split("\t") for line in shop.sql("select user, busy_time from information_schema.user_statistics").splitlines())
        own = shop.sql("""select sum(count_star), max(max_timer_wait) / 1e9, sum(sum_lock_time) / 1e9, sum(sum_timer_wait) / 1e9 from performance_schema.events_statements_summary_by_user_by_event_name
                          where user = 'magewarden' and event_name like 'statement/sql/%'""").split()
        finish()
        total = sum(float(value) for value in busy.values())
        print(json.dumps({"what": "magewarden's own statements", "share": float(busy.get("magewarden", 0)) / total, "count": int(float(own[0])), "longest_ms": float(own[1]),
                          "locks_ms": float(own[2]), "all_ms": float(own[3])}), flush=True)
    finally:
        end(started, folder)


if __name__ == "__main__":
    main()

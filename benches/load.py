#!/usr/bin/env python3
"""What watching costs the shop, and what each log costs that magewarden asks to switch on.

usage: benches/load.py MAGEWARDEN [--quick] [--own]

--own    magewarden's own statements alone, without the prices

Starts the stand-in shop of tests/shop (nginx, php-fpm, MariaDB, Redis), loads its checkout with ApacheBench, and takes turns:
without and with magewarden watching rows, Redis and logs on the same two cores; without and with each log. Ten pairs each, in
changing order. Prints one line of JSON a comparison: requests a second of both sides, the ratios, their median and the
interval of the median that holds it in 95 of 100 (by signs, exact). Of magewarden's own statements MariaDB's own figures tell
the share of its busy time, the longest, and what waited for locks: under load while others hold the rows it watches, and while they
hold whole tables.
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

from shared import client, end, free_port, grant, need, page, wait_for
from shop import Shop

PAIRS, SECONDS = 10, 3
# How long others hold watched rows at a time: a statement that waited for them would take about as long.
HELD_SECONDS = 2
# Tables that are looked at each minute and that a checkout doesn't write.
HELD = ("core_config_data", "cms_page", "cms_block", "admin_user")


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


class Other:
    """Somebody else at the shop's database, whose statements run while the block does."""

    def __init__(self, shop, text):
        self.process = subprocess.Popen(client(shop.folder) + ["shop"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True)
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def waits(shop):
    """How often and how many milliseconds magewarden's account waited for locks of tables, or of all.

    MariaDB counts in `wait/lock/metadata/sql/mdl` only requests that had to wait, beside `lock_time`, in which taking a lock that is
    free counts, too. Stages are what else it waits for: locks of the table, of the server (`FLUSH TABLES`), of the query cache.
    """
    count, time_ms = shop.sql("""select coalesce(sum(count), 0), coalesce(sum(time), 0) from (
        select count_star count, sum_timer_wait / 1e9 time from performance_schema.events_waits_summary_by_account_by_event_name
            where user = 'magewarden' and event_name = 'wait/lock/metadata/sql/mdl'
        union all select count_star, sum_timer_wait / 1e9 from performance_schema.events_stages_summary_by_account_by_event_name
            where user = 'magewarden' and event_name like 'stage/sql/Waiting for%' and event_name not like '%metadata lock') waits""").split()
    return int(count), float(time_ms)


def own_statements(shop):
    """Of magewarden's account: statements, those that failed, and in milliseconds the longest, those in locks and all."""
    return [float(value) for value in shop.sql("""select sum(count_star), sum(sum_errors), max(max_timer_wait) / 1e9, sum(sum_lock_time) / 1e9, sum(sum_timer_wait) / 1e9
        from performance_schema.events_statements_summary_by_user_by_event_name where user = 'magewarden' and event_name like 'statement/sql/%'""").split()]


def forget(shop):
    """Lets the server count from nothing."""
    shop.sql("flush user_statistics;" + "".join(f"truncate performance_schema.events_{table};" for table in (
        "statements_summary_by_user_by_event_name", "waits_summary_by_account_by_event_name", "stages_summary_by_account_by_event_name")))


def own(shop, seconds):
    """What magewarden's own statements cost a shop under load, and whether they wait for anybody."""
    rows = "".join(f"select count(*) from mg_{table} for update;" for table in HELD)
    turn = f"begin; {rows} do sleep({HELD_SECONDS}); rollback;"
    forget(shop)
    with Other(shop, turn * 1000):
        for _ in range(2 if seconds == 1 else 25):
            load(shop, seconds)
        locked = int(shop.sql("select coalesce(sum(trx_rows_locked), 0) from information_schema.innodb_trx"))
        need(locked > 3000, f"rows are held: {locked}")
    # Who holds the rows is no part of the shop.
    busy = dict(line.split("\t") for line in shop.sql("select user, busy_time from information_schema.user_statistics where user <> 'root'").splitlines())
    count, _, longest, locks, total = own_statements(shop)
    waited, waited_ms = waits(shop)
    forget(shop)
    # A table that is locked, and one that an ALTER TABLE waits for: who asks after it, waits behind it.
    with (Other(shop, f"lock tables mg_{HELD[0]} write;"), Other(shop, f"begin; select count(*) from mg_{HELD[2]};")):
        time.sleep(1)
        with Other(shop, f"alter table mg_{HELD[2]} add column later int;"):
            time.sleep(75)
            _, refused, refused_longest, _, _ = own_statements(shop)
            refused_waits, refused_waits_ms = waits(shop)
            need(refused >= 2, f"the tables were asked for: {refused}")
            # The measure itself: a statement of the same account that does wait.
            forget(shop)
            account = ["mariadb", "--no-defaults", f"--socket={shop.folder}/sock", "-umagewarden", "-pits-own-password"]
            waiting = subprocess.run(account, input=f"set session lock_wait_timeout = 1; select count(path) from shop.mg_{HELD[0]}", text=True, capture_output=True)
            need("1205" in waiting.stderr, "a statement waits for a table that is locked", waiting.stderr)
            control, control_ms = waits(shop)
            need(control == 1 and control_ms > 900, f"a wait is counted: {control}, {control_ms} ms")
    print(json.dumps({"what": "magewarden's own statements", "share": float(busy.get("magewarden", 0)) / sum(float(value) for value in busy.values()),
                      "count": int(count), "longest_ms": longest, "locks_ms": locks, "all_ms": total, "waits": waited, "waits_ms": waited_ms, "held_ms": HELD_SECONDS * 1000,
                      "refused": int(refused), "refused_longest_ms": refused_longest, "refused_waits": refused_waits, "refused_waits_ms": refused_waits_ms,
                      "control_waits": control, "control_ms": control_ms}), flush=True)


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
        shop.sql("set global server_audit_logging=off; set global slow_query_log=off; set global long_query_time=10; set global userstat=on;"
                 "update performance_schema.setup_instruments set enabled = 'YES', timed = 'YES' where name = 'wait/lock/metadata/sql/mdl' or name like 'stage/sql/Waiting for%'")
        load(shop, 2)
        prices = "--own" not in sys.argv
        chosen = lambda name, on, off: pairs(shop, name, on, off, seconds, chance) if prices else None
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
        if prices:
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
        own(shop, seconds)
        finish()
    finally:
        end(started, folder)


if __name__ == "__main__":
    main()

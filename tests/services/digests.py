#!/usr/bin/env python3
"""A MariaDB without any log of statements: what performance_schema sums up tells of a dump and how many rows it took.

usage: digests.py MAGEWARDEN

Starts MariaDB without its audit plugin on a free port of 127.0.0.1, lets a shop work, and watches with
`up --source statement_digests`. A thief reads the payment table: an incident must say how many rows. Then magewarden is killed, the thief
reads again, and the next start must tell of just that. Everything started here is ended by its process id.
"""
import pathlib
import re
import signal
import subprocess
import sys
import time

from shared import client, database, free_port, grant, magento, need, observations, page, password_file, stage, verified, wait_for

SCHEMA = pathlib.Path(__file__).resolve().parent.parent / "shop" / "schema.sql"
ROWS = 5000
# What a shop asks all day, the payment tables by key among it.
SHOP = """
select main_table.* from mg_quote as main_table where (entity_id = 7);
select `sales_order_payment`.* from `mg_sales_order_payment` as `sales_order_payment` where (`parent_id` = 17);
select `sales_order_payment`.* from `mg_sales_order_payment` as `sales_order_payment` where (`parent_id` in (17, 18, 19));
insert into mg_quote_payment (quote_id, method) values (8, 'checkmo');
select `main_table`.* from `mg_sales_order` as `main_table` where (`state` = 'new') limit 20;
"""
DUMP = "select entity_id, cc_number_enc, cc_last_4 from mg_sales_order_payment"


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("digests") as (started, folder):
        server, _ = database(folder, free_port(), audit=False, options=["--performance-schema=ON"])
        started.append(server)

        def sql(text):
            ran = subprocess.run(client(folder) + ["-N"], input=text, text=True, capture_output=True)
            need(ran.returncode == 0, "a statement", ran.stderr[-300:])
            return ran.stdout

        sql("create database shop; use shop;" + SCHEMA.read_text()
            + f"insert into mg_sales_order_payment (parent_id, method, cc_number_enc) select seq, 'checkmo', 'not-a-number' from seq_1_to_{ROWS};")
        root = magento(folder, "shop")
        word = password_file(folder, "its-own-password")
        asked = ["--magento", str(root), "--database-user", "magewarden", "--database-password-file", str(word),
                 "--source", "statement_digests,every_seconds=5", "--source", "shop_rows"]
        printed = subprocess.run([str(magewarden), "up", *asked, "--print-grants"], check=True, capture_output=True, text=True).stdout
        grant(sql, printed, "its-own-password")
        need("performance_schema" in printed, "the grant is printed", printed)
        console, data = free_port(), folder / "data"
        err = open(folder / "err", "w+")

        def start():
            up = subprocess.Popen([str(magewarden), "up", *asked, "--data", str(data), "--port", str(console)], stderr=err)
            started.append(up)
            wait_for("the console", 30, lambda: "<main" in page(console))
            return up

        show = lambda path="/incidents": page(console, path)
        digests = lambda: observations(magewarden, data, f"statement_digests:{folder}/sock")
        dumped = lambda: [one for one in digests() if "cc_number_enc" in one.get("db.statement", "") and "entity_id" in one["db.statement"] and one["change"] == "called"]
        rows = lambda: sum(one["db.rows_sent"] for one in dumped())
        sql("use shop;" + SHOP * 40)
        up = start()
        wait_for("what was asked before", 60, lambda: any("mg_sales_order_payment" in one.get("db.statement", "") for one in digests()))
        for _ in range(5):
            sql("use shop;" + SHOP * 40)
            time.sleep(2)
        time.sleep(6)
        links = re.findall(r'href="(/incidents/[0-9a-f]+)"', show())
        need(not links, "what a shop asks, and what we ask, is no incident", "\n".join(show(link) for link in links))
        sql(f"use shop; {DUMP}; {DUMP};")
        wait_for("the dump", 60, lambda: rows() == 2 * ROWS)
        need([one["change_count"] for one in dumped()] == [2], "its two calls", dumped())
        told = lambda: " ".join(show(link) for link in dict.fromkeys(re.findall(r'href="(/incidents/[0-9a-f]+)"', show())))
        wait_for("an incident that says how many rows", 60, lambda: re.search(r"10.?000", told()) and "sales_order_payment" in told())
        # While it is down, sums go on.
        up.send_signal(signal.SIGKILL)
        up.wait(20)
        sql(f"use shop; {DUMP} limit 700;")
        up = start()
        wait_for("what was read while it was down", 60, lambda: rows() == 2 * ROWS + 700)
        # A server that begins anew begins its sums anew; the connection that broke comes back.
        sql("truncate table performance_schema.events_statements_summary_by_digest")
        sql(f"use shop; {DUMP} limit 90;")
        wait_for("what was read after the sums were emptied", 60, lambda: rows() == 2 * ROWS + 790)
        # A line that is lost is said, and comes back by itself.
        ours = sql("select id from information_schema.processlist where user = 'magewarden'").split()
        sql("".join(f"kill {one};" for one in ours))
        wait_for("the trouble in the metrics", 60, lambda: re.search(r'magewarden_source_works\{source="statement_digests:[^"]*"\} 0', show("/metrics")))
        sql(f"use shop; {DUMP} limit 5;")
        wait_for("what was read meanwhile", 90, lambda: rows() == 2 * ROWS + 795)
        up.send_signal(signal.SIGTERM)
        up.wait(30)
        verified(magewarden, data)
        print(f"1 passed, 0 failed ({len(digests())} sums sealed, {rows()} rows of the dump told)")


if __name__ == "__main__":
    main()

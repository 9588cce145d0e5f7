#!/usr/bin/env python3
"""What `magewarden up` says it can't see of a real MariaDB, and that its remedies and undos do what they say.

usage: gaps.py MAGEWARDEN

Starts MariaDB as installed on a free port of 127.0.0.1, makes magewarden's account with the printed
statements, closes each printed gap with its printed statement and takes that back with its printed
undo. Everything started here is ended by its process id.
"""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile

from shared import client, database, end, free_port, magento, need, page, wait_for

# As root magewarden runs as another user: under the name of root the account would be the administrator's.
USER = "nobody" if os.geteuid() == 0 else os.environ["USER"]
AS_USER = {"user": USER, "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
SECRET = "SECRET-of-the-shop"


class Shop:
    def __init__(self, folder, magewarden):
        self.folder, self.program = folder, folder / "magewarden"
        shutil.copy(magewarden, self.program)
        self.root = magento(folder, SECRET)
        (self.root / "var" / "log").mkdir(parents=True)
        (self.root / "var" / "log" / "system.log").write_text("")

    def up(self, *arguments, command="up"):
        return subprocess.run([str(self.program), command, "--magento", str(self.root), *arguments],
                              capture_output=True, text=True, timeout=60, cwd=self.folder, **AS_USER)

    def check(self, *arguments):
        """Looks, and gives the answer with the gaps by their names."""
        run = self.up("--format", "json", *arguments, command="doctor")
        need(run.returncode in (0, 10), "`doctor` failed", run.stdout + run.stderr)
        need(SECRET not in run.stdout + run.stderr, "the shop's password was printed")
        answer = json.loads(run.stdout)
        answer["unreadable"] = [gap for gap in answer["gaps"] if gap["id"] == "log-unreadable"]
        answer["gaps"] = {gap["id"]: gap for gap in answer["gaps"]}
        return answer

    def sql(self, text):
        done = subprocess.run(client(self.folder), input=text, capture_output=True, text=True, timeout=60)
        need(done.returncode == 0, f"the database refused: {text}", done.stderr)
        return done.stdout


def account(shop):
    """The printed statements make an account that may read settings and no card."""
    before = shop.check()
    need(not before["database"]["asked"] and "account-none" in before["gaps"], "no account, no gap", before)
    need("audit-unseen" in before["gaps"], "files alone tell that no audit log is there", before)
    printed = shop.up("--print-grants").stdout
    shop.sql(printed)
    shop.sql(re.search(r"^-- Undo: (.*)$", printed, re.M).group(1))
    shop.sql(before["gaps"]["account-none"]["close"])
    asked = shop.check("--database-user", USER)
    told = asked["database"]
    need(told["asked"] and "MariaDB" in told["variables"]["version"], "the database was not asked", asked)
    need(told["stores"] == {"de": "base", "fr": "base"}, "the stores are told", told["stores"])
    need(500 <= told["rows"]["mg_sales_order_payment"] * 2 and "mg_quote_payment" in told["rows"], "sizes are told", told["rows"])
    for column in ("cc_number_enc", "cc_last_4", "*"):
        tried = subprocess.run(["mariadb", "--no-defaults", f"--socket={shop.folder}/sock", f"-u{USER}", "shop", "-e",
                                f"select {column} from mg_sales_order_payment limit 1"], capture_output=True, text=True, **AS_USER)
        need("denied" in tried.stderr, f"the account may read {column}", tried.stdout + tried.stderr)
    need(set(asked["gaps"]) >= {"audit-missing", "slow-off"} and "account-none" not in asked["gaps"], "gaps as installed", asked)


def close_and_undo(shop, ids):
    """Closes gaps with what is printed, one after the other, sees each closed, and takes all back."""
    look = lambda: shop.check("--database-user", USER)
    before, undos = look(), []
    for name in ids:
        gap = look()["gaps"].get(name)
        need(gap and gap["run"] == "sql", f"{name} is a gap closed by SQL", gap)
        shop.sql(gap["close"])
        undos.append(gap["undo"])
        after = look()
        need(name not in after["gaps"], f"{name} is closed by: {gap['close']}", after)
    for undo in reversed(undos):
        shop.sql(undo)
    after = look()
    need(set(ids) <= set(after["gaps"]), f"the undos bring the gaps back: {undos}", after)
    changed = {name: (value, after["database"]["variables"].get(name))
               for name, value in before["database"]["variables"].items()
               if after["database"]["variables"].get(name) != value}
    need(not changed, "the undos restore every variable", changed)


def narrowed(shop):
    """An audit log that leaves things out, and logs magewarden may not open."""
    gap = shop.check("--database-user", USER)["gaps"]["audit-missing"]
    shop.sql(gap["close"])
    shop.sql("SET GLOBAL server_audit_events='CONNECT'; SET GLOBAL server_audit_query_log_limit=1024;"
             "SET GLOBAL server_audit_excl_users='backup,shop'; SET GLOBAL server_audit_file_rotate_size=1000000;"
             "SET GLOBAL slow_query_log=ON; SET GLOBAL log_slow_filter='full_scan'; SET GLOBAL log_slow_rate_limit=7;"
             "SET GLOBAL log_output='TABLE';")
    close_and_undo(shop, ["audit-events", "audit-cut", "audit-excluded", "audit-rotation", "slow-threshold", "slow-rate",
                          "slow-filter", "log-table"])
    shop.sql("SET GLOBAL server_audit_logging=OFF;")
    close_and_undo(shop, ["audit-off"])
    shop.sql("SET GLOBAL server_audit_excl_users=''; SET GLOBAL server_audit_incl_users='shop'; SET GLOBAL server_audit_logging=ON;")
    close_and_undo(shop, ["audit-included"])
    shop.sql("SET GLOBAL server_audit_incl_users=''; SET GLOBAL server_audit_events='CONNECT,QUERY,TABLE';")
    log = str(shop.folder / "server_audit.log")
    readable = lambda: {line["path"]: line["readable"] for line in shop.check("--database-user", USER)["logs"]}
    need(log in readable(), "the audit log's path was asked", readable())
    if os.geteuid() == 0:
        gaps = [gap for gap in shop.check("--database-user", USER)["unreadable"] if log in gap["what"]]
        need(len(gaps) == 1 and gaps[0]["run"] == "shell", "the audit log can't be read", gaps)
        gap = gaps[0]
        subprocess.run(gap["close"], shell=True, check=True, timeout=20)
        need(readable()[log], f"readable after: {gap['close']}")
        shop.sql("SET GLOBAL server_audit_file_rotate_now=ON;")
        need(readable()[log], "the new file is readable after a rotation")
        subprocess.run(gap["undo"], shell=True, check=True, timeout=20)
        need(not readable()[log], f"unreadable again after: {gap['undo']}")
        subprocess.run(gap["close"], shell=True, check=True, timeout=20)


def refused(shop):
    """Wrong passwords, open files and accounts that may read too much are said, and nothing stops."""
    file = shop.folder / "password"
    arguments = ["--database-user", "warden", "--database-password-file", str(file)]

    def write(password, mode):
        file.write_text(password + "\n")
        if AS_USER:
            shutil.chown(file, USER)
        file.chmod(mode)

    grants = shop.up("--print-grants", *arguments).stdout
    shop.sql(grants.replace(f"THE PASSWORD IN {file}", "not-a-secret"))
    write("wrong", 0o600)
    gap = shop.check(*arguments)["gaps"]["account-refused"]
    need("1045" in gap["what"] and str(file) in gap["close"], "says what to do about a wrong password", gap)
    write("not-a-secret", 0o644)
    gap = shop.check(*arguments)["gaps"]["account-refused"]
    need(gap["close"] == f"chmod 600 {file}", "says that others may read the password", gap)
    subprocess.run(gap["close"], shell=True, check=True, timeout=20)
    need(shop.check(*arguments)["database"]["asked"], "the right password in a private file")
    shop.sql("GRANT SELECT ON shop.* TO 'warden'@'localhost';")
    answer = shop.check(*arguments)
    need(not answer["database"]["asked"] and "SELECT on `shop`" in answer["gaps"]["account-refused"]["what"],
         "an account that may read cards is not used", answer)
    run = shop.up("--database-user", "shop", command="doctor")
    need(run.returncode == 1 and "the shop's own account" in run.stderr, "the shop's own account is not used", run.stderr)


class Live:
    """A running `up` and its page of sources."""

    def __init__(self, shop, started, *arguments):
        data = pathlib.Path(tempfile.mkdtemp(dir=shop.folder))
        if AS_USER:
            shutil.chown(data, USER)
        self.port = free_port()
        self.process = subprocess.Popen([str(shop.program), "up", "--magento", str(shop.root), "--data", str(data / "d"),
                                         "--port", str(self.port), *arguments],
                                        stderr=subprocess.PIPE, text=True, cwd=shop.folder, **AS_USER)
        started.append(self.process)
        wait_for("the console", 30, self.page)

    def page(self):
        return page(self.port, "/sources")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        _, said = self.process.communicate(timeout=20)
        need(self.process.returncode == 0, "`up` ends well", said)
        return said


def live(shop, started):
    """`up` goes on without the database's answers; and a log that is switched on while it runs is followed."""
    file = shop.folder / "password"
    file.write_text("wrong\n")
    up = Live(shop, started, "--database-user", "warden", "--database-password-file", str(file))
    html = up.page()
    need("refused" in html and "1045" in html, "the console says that the database refused", html)
    said = up.stop()
    need("error 1045" in said and "price:" in said, "`up` said so and went on", said)

    late = shop.folder / "late.log"
    shop.sql(f"SET GLOBAL server_audit_logging=OFF; SET GLOBAL server_audit_file_path='{late}';")
    gap = shop.check("--database-user", USER)["gaps"]["audit-off"]
    up = Live(shop, started, "--database-user", USER)
    need(str(late) not in re.findall("<code>file:([^<]*)</code>", up.page()), "nothing to follow yet", up.page())
    shop.sql(gap["close"])
    shop.sql("SELECT 1;")
    wait_for("the log that was switched on", 30, lambda: str(late) in re.findall("<code>file:([^<]*)</code>", up.page()))
    up.stop()


def unsuspected(shop):
    """What magewarden asks is no incident: its own statements stand in the audit log it reads."""
    text = (shop.folder / "server_audit.log").read_text() + (shop.folder / "late.log").read_text()
    need("SHOW GRANTS" in text and "SHOW GLOBAL VARIABLES" in text, "its statements are in the audit log")
    copy = shop.folder / "copy"
    copy.mkdir()
    own = [line for line in text.splitlines(True) if f",{USER}," in line]
    (copy / "server_audit.log").write_text("".join(own))
    run = subprocess.run([str(shop.program), "analyze", str(copy), "--format", "json", "--table-prefix", "mg_"],
                         capture_output=True, text=True, timeout=60, cwd=shop.folder)
    need(run.returncode == 0 and json.loads(run.stdout)["incidents"] == [], "magewarden suspects itself", run.stdout + run.stderr)


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    started = []
    folder = pathlib.Path(tempfile.mkdtemp(prefix="magewarden-gaps-"))
    folder.chmod(0o755)
    try:
        server, _ = database(folder, free_port(), audit=False)
        started.append(server)
        shop = Shop(folder, magewarden)
        shop.sql("""
            create database shop; use shop;
            create table mg_store_website (website_id int primary key, code varchar(32), name varchar(64));
            create table mg_store (store_id int primary key, code varchar(32), website_id int, name varchar(255));
            create table mg_sales_order_payment (entity_id int primary key auto_increment, parent_id int, cc_number_enc varchar(128),
              cc_last_4 varchar(100), additional_information text);
            create table mg_quote_payment (payment_id int primary key, cc_number_enc varchar(255), cc_cid_enc varchar(255));
            create table mg_vault_payment_token (entity_id int primary key, gateway_token varchar(255), details text);
            insert into mg_store_website values (0, 'admin', ''), (1, 'base', '');
            insert into mg_store values (0, 'admin', 0, ''), (1, 'de', 1, ''), (2, 'fr', 1, '');
            insert into mg_sales_order_payment (parent_id, cc_last_4) select seq, '1111' from seq_1_to_500;
            create user 'shop'@'localhost' identified by 'not-a-secret'; grant all on shop.* to 'shop'@'localhost';
        """)
        account(shop)
        close_and_undo(shop, ["audit-missing", "slow-off"])
        narrowed(shop)
        refused(shop)
        live(shop, started)
        unsuspected(shop)
        print("6 passed, 0 failed")
    finally:
        end(started, folder)


if __name__ == "__main__":
    main()

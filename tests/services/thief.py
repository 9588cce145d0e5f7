#!/usr/bin/env python3
"""A thief at a real MariaDB, seen in a real browser.

usage: thief.py MAGEWARDEN

Starts MariaDB with its audit plugin on a free port of 127.0.0.1, follows its audit log with
`magewarden up`, reads a payment table as a dump tool does, and waits until headless Chromium shows
the incident on the console's page. Everything started here is ended by its process id.
"""
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, seconds, check):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(0.2)
    raise SystemExit(f"FAILED: waited {seconds} s for {what}")


def database(folder, port, audit=True):
    """Starts MariaDB, with its audit plugin when asked; gives the process and the audit log's path."""
    data, log = folder / "mysql", folder / "server_audit.log"
    account = "mysql" if os.geteuid() == 0 else os.environ.get("USER", "nobody")
    if os.geteuid() == 0:
        shutil.chown(folder, "mysql")
        folder.chmod(0o755)
    subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={account}",
                    "--auth-root-authentication-method=normal", "--skip-test-db"], check=True, capture_output=True)
    process = subprocess.Popen(
        ["mariadbd", "--no-defaults", f"--datadir={data}", f"--user={account}", f"--port={port}", "--bind-address=127.0.0.1",
         f"--socket={folder}/sock", f"--pid-file={folder}/pid", f"--log-error={folder}/error.log", "--skip-name-resolve"]
        + (["--plugin-load-add=server_audit", "--server-audit-logging=ON", "--server-audit-events=CONNECT,QUERY,TABLE",
            f"--server-audit-file-path={log}"] if audit else []))
    wait_for("MariaDB", 60, lambda: subprocess.run(client(folder) + ["-e", "select 1"], capture_output=True).returncode == 0)
    return process, log


def client(folder):
    return ["mariadb", "--no-defaults", f"--socket={folder}/sock", "-uroot"]


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    started = []
    folder = pathlib.Path(tempfile.mkdtemp(prefix="magewarden-thief-"))
    try:
        server, log = database(folder, free_port())
        started.append(server)
        subprocess.run(client(folder), check=True, input=b"""
            create database shop; use shop;
            create table sales_order_payment (entity_id int primary key auto_increment, parent_id int, cc_last_4 varchar(4),
              cc_type varchar(8), additional_information text);
            insert into sales_order_payment (parent_id, cc_last_4, cc_type) select seq, '1111', 'VI' from seq_1_to_500;
            create user 'shop'@'127.0.0.1' identified by 'not-a-secret'; grant all on shop.* to 'shop'@'127.0.0.1';
            create user 'shop'@'localhost' identified by 'not-a-secret'; grant all on shop.* to 'shop'@'localhost';
        """)
        console = free_port()
        up = subprocess.Popen([str(magewarden), "up", "--log", str(log), "--data", str(folder / "data"), "--port", str(console)],
                              stderr=subprocess.PIPE, text=True)
        started.append(up)
        url = f"http://127.0.0.1:{console}/"

        def page():
            shown = subprocess.run(
                ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                 "--disable-background-networking", "--disable-component-update", "--disable-sync",
                 f"--user-data-dir={folder}/browser", "--dump-dom", url], capture_output=True, text=True, timeout=60)
            return shown.stdout

        wait_for("the console", 30, lambda: "<main" in page())
        if "sales_order_payment" in page():
            raise SystemExit("FAILED: an incident before anyone stole")
        subprocess.run(["mariadb-dump", "--no-defaults", f"--socket={folder}/sock", "-ushop", "-pnot-a-secret",
                        "--single-transaction", "shop", "sales_order_payment"], check=True, stdout=subprocess.DEVNULL)
        html = wait_for("the incident on the page", 30, lambda: (text := page()) and "sales_order_payment" in text and text)
        link = re.search(r'href="(/incidents/[0-9a-f]+)"', html)
        if not link:
            raise SystemExit("FAILED: the queue links to no incident")
        up.send_signal(signal.SIGTERM)
        up.wait(20)
        verified = subprocess.run([str(magewarden), "verify", str(folder / "data" / "ledger")])
        if verified.returncode != 0:
            raise SystemExit("FAILED: the ledger does not verify")
        print("1 passed, 0 failed")
    finally:
        for process in reversed(started):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(20)
                except subprocess.TimeoutExpired:
                    process.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A thief at a real MariaDB, seen in a real browser.

usage: thief.py MAGEWARDEN

Starts MariaDB with its audit plugin on a free port of 127.0.0.1, follows its audit log with
`magewarden up`, reads a payment table as a dump tool does, and waits until headless Chromium shows
the incident on the console's page. Everything started here is ended by its process id.
"""
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

from console import Person, page as console_page, started_proxy
from shared import client, database, end, free_port, wait_for


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

        wait_for("the console", 30, lambda: "<main" in console_page(console))
        url = started_proxy(console, Person(console, "thief.taker").cookie)

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
        # The picture of reads may name the table before any incident does.
        link = wait_for("the incident on the page", 30, lambda: (text := page()) and "sales_order_payment" in text and re.search(r'href="(/incidents/[0-9a-f]+)"', text))
        up.send_signal(signal.SIGTERM)
        up.wait(20)
        verified = subprocess.run([str(magewarden), "verify", str(folder / "data" / "ledger")])
        if verified.returncode != 0:
            raise SystemExit("FAILED: the ledger does not verify")
        print("1 passed, 0 failed")
    finally:
        end(started, folder)


if __name__ == "__main__":
    main()

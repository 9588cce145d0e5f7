#!/usr/bin/env python3
"""The state in a real PostgreSQL: the contract of SQLite, kills, a server that goes away, TLS, a second magewarden, a changed ledger.

usage: state.py MAGEWARDEN

A log grows while magewarden is killed and PostgreSQL is stopped and crashed; afterwards incidents and rows must be those of a run on SQLite
over the same log. The database is made by the statements of docs/state.md. Everything started here is ended by its process id.
"""
import json
import os
import pathlib
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error

from console import fetch
from shared import Postgres, free_port, metric, need, page, password_file, stage, verified, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROWS = {"finding": "id, sequence, detected, first, last, body", "incident": "id, sequence, first, last, body",
        "source": "id, generation, offset_bytes", "list": "source, body", "read_hour": "hour, name, body"}
# What doesn't depend on which entries were sealed in between, by whose numbers ids are made.
NUMBERS = {"id", "finding", "sequence", "detected", "measures_seconds"}
ACCOUNT, PASSWORD = "magewarden", "it's a %41 password"


def card():
    """A number that nobody was given, with its check digit."""
    digits = [4] + [random.randrange(10) for _ in range(14)]
    total = sum(sum(divmod(2 * digit, 10)) if at % 2 == 0 else digit for at, digit in enumerate(digits))
    return "".join(map(str, digits)) + str(-total % 10)


class Log(threading.Thread):
    """A log that grows: shoppers, and now and then somebody who sends a card number in an address."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.lines, self.ended = path, 0, threading.Event()
        path.write_text("")

    def write(self, count):
        with open(self.path, "a") as log:
            for _ in range(count):
                number, self.lines = self.lines, self.lines + 1
                query = f"?cc={card()}" if number % 41 == 0 else ""
                minute, second = divmod(number // 5, 60)
                log.write(f'203.0.113.{number % 89} - - [05/Aug/2026:{10 + minute // 60:02}:{minute % 60:02}:{second:02} +0000] '
                          f'"GET /pay{query} HTTP/1.1" 200 51 "-" "curl/8"\n')

    def run(self):
        while not self.ended.wait(0.05):
            self.write(10)


class Up:
    """A magewarden with its data folder; started again and again."""

    def __init__(self, magewarden, folder, started, log, state, name="data"):
        self.magewarden, self.started, self.data, self.log, self.state = magewarden, started, folder / name, log, state
        self.port, self.process, self.err = free_port(), None, folder / f"{name}.err"

    def begin(self):
        with open(self.err, "a") as err:
            self.process = subprocess.Popen([str(self.magewarden), "up", "--data", str(self.data), "--port", str(self.port), "--log", str(self.log), *self.state],
                                            stdout=subprocess.DEVNULL, stderr=err)
        self.started.append(self.process)

    def start(self):
        self.begin()

        def is_there():
            need(self.process.poll() is None, "it runs", self.err.read_text()[-2000:])
            return "<main" in page(self.port)
        wait_for("the console", 60, is_there)

    def refused(self, *what):
        """It ends by itself, and says why."""
        self.begin()
        code, said = self.process.wait(60), self.err.read_text()
        need(code == 1 and all(one in said for one in what), f"it is refused: {what}", said[-2000:])
        need(PASSWORD not in said, "it says no password", said)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(60)
        need(how != signal.SIGTERM or self.process.returncode == 0, "it ends well", self.err.read_text()[-2000:])

    def entries(self):
        found = re.search(r"^magewarden_ledger_entries (\d+)$", page(self.port, "/metrics"), re.M)
        return int(found[1]) if found else 0

    def is_failing(self):
        """The counters say it; and who asks for a page is told, since accounts lie there, too."""
        try:
            # Who waits for a connection waits five seconds.
            fetch(self.port, "/", {"Authorization": "Bearer mgw_nobody"}, 15)
        except urllib.error.HTTPError as error:
            said = error.read().decode()
            return error.code == 503 and "goes on being sealed" in said and 'magewarden_source_works{source="state"} 0' in page(self.port, "/metrics")
        return False

    def told(self):
        """How often it said that the database is there again."""
        return self.err.read_text().count("is back: what waited is written")

    def is_back(self):
        told = page(self.port, "/metrics")
        return "magewarden_ledger_entries" in told and 'magewarden_source_works{source="state"} 0' not in told

    def incidents(self):
        """Incidents with their findings, in an order of their own."""
        def read(path):
            return json.loads(page(self.port, "/api/v1/incidents" + path))

        listed = read("?limit=200")["items"]
        return sorted(json.dumps(plain([read(f"/{one['id']}"), read(f"/{one['id']}/findings")])) for one in listed)


def plain(value):
    """A document without numbers of entries, what is made of them, and times of sealing."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items() if key not in NUMBERS}
    return [plain(one) for one in value] if isinstance(value, list) else value


def contract(postgres):
    env = {**os.environ, "MAGEWARDEN_TEST_POSTGRES": f"postgres://postgres@127.0.0.1:{postgres.port}",
           "MAGEWARDEN_TEST_POSTGRES_PASSWORD_FILE": str(postgres.password_file)}
    tested = subprocess.run(["cargo", "test", "--locked", "-p", "magewarden-stores", "--features", "postgres", "--test", "state"], env=env, cwd=ROOT,
                            capture_output=True, text=True)
    need(tested.returncode == 0, "the contract holds on PostgreSQL", tested.stdout[-4000:] + tested.stderr[-4000:])
    need(int(postgres.sql("select count(*) from pg_database where datname like 'contract_%'")) >= 8, "the contract was tried here")


def as_documented(postgres):
    """Makes the account and the database as docs/state.md says."""
    statements = re.search(r"```sql\n(.*?)```", (ROOT / "docs/state.md").read_text(), re.S)[1]
    for statement in statements.strip().splitlines():
        postgres.sql(statement.replace("THE PASSWORD", PASSWORD.replace("'", "''")))


def rows(ask):
    return {table: sorted(ask(f"SELECT {columns} FROM {table}")) for table, columns in ROWS.items()}


def rows_of_file(data):
    file = sqlite3.connect(data / "state.sqlite")
    try:
        return rows(lambda text: [tuple(map(str, row)) for row in file.execute(text)])
    finally:
        file.close()


def kills(up, log, postgres):
    """Kills of magewarden, and its server that stops and crashes, at random times while the log grows."""
    log.start()
    up.start()
    for turn in range(8):
        time.sleep(random.uniform(0.2, 3))
        if turn % 4 == 3:
            # A session that was cut in the turn before may have been told, too.
            told = up.told()
            postgres.stop(random.choice([signal.SIGINT, signal.SIGQUIT]))
            before = up.entries()
            wait_for("the console to say that the state isn't written", 20, up.is_failing)
            wait_for("sealing to go on without it", 20, lambda: up.entries() > before + 100)
            if turn == 7:
                up.stop(signal.SIGKILL)
                up.refused("can't use postgres://", "Connection refused", "docs/state.md")
                postgres.start()
                up.start()
            else:
                time.sleep(random.uniform(0, 3))
                postgres.start()
                wait_for("the rows to be written again", 30, up.is_back)
                need(up.told() == told + 1, "that it is over is told once", up.err.read_text())
        elif turn % 2:
            postgres.sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'magewarden'")
        else:
            up.stop(signal.SIGKILL)
            up.start()
    log.ended.set()
    log.join()


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("state") as (started, folder):
        postgres = Postgres(folder, started)
        contract(postgres)
        as_documented(postgres)
        ask = lambda text: [tuple(line.split("|")) for line in postgres.sql(text, "magewarden").splitlines()]
        secret = password_file(folder, PASSWORD)
        state = ["--state", f"postgres://{ACCOUNT}@127.0.0.1:{postgres.port}/magewarden", "--state-password-file", str(secret)]
        log = Log(folder / "access.log")
        up = Up(magewarden, folder, started, log.path, state)
        kills(up, log, postgres)
        size = str(log.path.stat().st_size)
        wait_for("the log's end in the rows", 60, lambda: size in str(ask("SELECT offset_bytes FROM source")))
        up.stop()
        up.start()
        found = up.incidents()
        # The same log, and a state in a file.
        plain_up = Up(magewarden, folder, started, log.path, [], "plain")
        plain_up.start()
        wait_for("the log's end", 60, lambda: metric(plain_up.port, "records_total", f"file:{log.path}") == log.lines)
        plain_up.stop()
        plain_up.start()
        expected = plain_up.incidents()
        need(len(expected) > 20, "there are incidents", str(len(expected)))
        need(found == expected, "incidents as on SQLite",
             f"{len(found)} and {len(expected)}; {[one for one in found if one not in expected][:2]} {[one for one in expected if one not in found][:2]}")
        plain_up.stop()
        up.stop()
        verified(magewarden, up.data)
        # The same ledger, its rows made anew in a file: what the kills left is whole, to the letter.
        shutil.copytree(up.data, folder / "copy")
        copy = Up(magewarden, folder, started, log.path, [], "copy")
        copy.start()
        copy.stop()
        written, made = rows(ask), rows_of_file(copy.data)
        for table in ROWS:
            need(len(made[table]) > 0 or table == "list", f"there are rows of {table}")
            need(written[table] == made[table], f"rows of {table} as the ledger makes them",
                 f"{[one for one in written[table] if one not in made[table]][:2]} {[one for one in made[table] if one not in written[table]][:2]}")

        # Who may write.
        up.start()
        other = Up(magewarden, folder, started, log.path, state, "other")
        other.refused("another magewarden writes")
        up.stop()
        other.refused("holds the state of another installation", '"shop"')
        secret.chmod(0o640)
        up.refused("may be read or changed by others", "chmod 600")
        secret.chmod(0o600)

        # A ledger that was changed takes no table of people's with it.
        account = f"SET ROLE {ACCOUNT}; "
        postgres.sql(account + "CREATE TABLE person (name TEXT); INSERT INTO person VALUES ('ann')", "magewarden")
        leaves = up.data / "ledger" / "segments" / "00000000.leaf"
        whole = bytearray(leaves.read_bytes())
        whole[-20] ^= 1
        leaves.write_bytes(whole)
        up.start()
        wait_for("the incident of the ledger", 30, lambda: "ledger was changed" in page(up.port))
        wait_for("its row", 30, lambda: "magewarden-ledger-broken" in str(ask("SELECT body FROM finding")))
        need(len(ask("SELECT id FROM finding")) == 1 and ask("SELECT name FROM person") == [("ann",)], "the projections went, the person stayed")
        log.write(200)
        wait_for("new findings", 30, lambda: len(ask("SELECT id FROM finding")) > 3)
        up.stop()

        # What a redaction destroys isn't quoted by rows.
        done = subprocess.run([str(magewarden), "redact", str(up.data / "ledger"), "2", "--by", "A", "--and-by", "B", "--reason", "a test", "--yes", *state],
                              capture_output=True, text=True)
        need(done.returncode == 0, "redacted", done.stdout + done.stderr)
        need(not ask("SELECT id FROM finding") and ask("SELECT name FROM person") == [("ann",)], "the rows are emptied")
        up.start()
        wait_for("the rows made again", 30, lambda: len(ask("SELECT id FROM finding")) > 3)
        up.stop()

        schemas(magewarden, folder, started, postgres, log, secret)
        tls(up, folder, postgres, ask)
    print("1 passed, 0 failed")


def schemas(magewarden, folder, started, postgres, log, secret):
    """Two installations of one name in one database, each in the schema that its account finds by itself."""
    postgres.sql("CREATE DATABASE shops ENCODING 'UTF8' TEMPLATE template0")
    word = PASSWORD.replace("'", "''")
    ups = []
    for name in ("shop1", "shop2"):
        postgres.sql(f"CREATE ROLE {name} LOGIN PASSWORD '{word}'")
        postgres.sql(f"GRANT CONNECT ON DATABASE shops TO {name}")
        postgres.sql(f"CREATE SCHEMA {name} AUTHORIZATION {name}", "shops")
        ups.append(Up(magewarden, folder, started, log.path,
                      ["--state", f"postgres://{name}@127.0.0.1:{postgres.port}/shops", "--state-password-file", str(secret)], name))
        ups[-1].start()
    for name in ("shop1", "shop2"):
        wait_for(f"rows of {name}", 30, lambda: postgres.sql(f"SELECT count(*) > 3 FROM {name}.finding", "shops").strip() == "t")
    for one in ups:
        one.stop()


def tls(up, folder, postgres, ask):
    """A certificate is checked against who signed it, and against the name in the address."""
    run = lambda *words: subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=folder)
    for name in ("ca", "stranger"):
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2",
            "-subj", f"/CN={name}")
    run("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=localhost")
    (folder / "names").write_text("subjectAltName=DNS:localhost\n")
    run("x509", "-req", "-in", "server.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names", "-out", "server.pem")
    for name in ("server.key", "server.pem"):
        path = postgres.folder / name
        path.write_bytes((folder / name).read_bytes())
        path.chmod(0o600)
        postgres.own(path)
    postgres.stop()
    postgres.start(["ssl=on", f"ssl_cert_file={postgres.folder}/server.pem", f"ssl_key_file={postgres.folder}/server.key"])
    at = lambda host, ca: ["--state", f"postgres://{ACCOUNT}@{host}:{postgres.port}/magewarden", *up.state[2:4], "--state-ca-file", str(folder / ca)]
    right, up.state = up.state, at("localhost", "stranger.pem")
    up.refused("UnknownIssuer")
    up.state = at("127.0.0.1", "ca.pem")
    up.refused("certificate not valid for name")
    for up.state in (at("localhost", "ca.pem"), right):
        up.start()
        sessions = ask("SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'magewarden'")
        need(sessions and set(sessions) == {("t",)}, "every session is encrypted", str(sessions))
        up.stop()


if __name__ == "__main__":
    main()

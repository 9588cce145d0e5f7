"""What the scripts of real services share: free ports, waiting, a MariaDB, and an end for all they started."""
import contextlib
import hashlib
import json
import os
import pathlib
import random
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

from console import page

# Two websites, three views, as `--stores` takes them.
STORES = """
default_website = "base"
back_end = "office_x1"
[views.de]
website = "base"
store = "main"
default = true
[views.fr]
website = "base"
store = "main"
[views.us]
website = "second"
store = "us_store"
default = true
[hosts]
"shop.example.com" = { run = "website", code = "base" }
"us.example.com" = { run = "website", code = "second" }
"""
# Ports that this process was given: two servers of one script don't get the same.
GIVEN_OUT = set()


def ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextlib.contextmanager
def spaces(letter, net):
    """Three network namespaces of this process, removed at its end: the first has a line to each of the others, `10.NET.1.0/24` and `10.NET.2.0/24`, and the same in IPv6."""
    names, made = [f"mw{os.getpid()}{letter}{one}" for one in "abc"], []
    try:
        for name in names:
            ip("netns", "add", name)
            made.append(name)
            ip("-n", name, "link", "set", "lo", "up")
        for number, name in enumerate(names[1:], 1):
            ip("link", "add", f"{name}0", "netns", names[0], "type", "veth", "peer", "name", f"{name}1", "netns", name)
            for space, end in ((names[0], 0), (name, 1)):
                ip("-n", space, "address", "add", f"10.{net}.{number}.{end + 1}/24", "dev", f"{name}{end}")
                ip("-n", space, "address", "add", f"fd00:{net}:{number}::{end + 1}/64", "dev", f"{name}{end}", "nodad")
                ip("-n", space, "link", "set", f"{name}{end}", "up")
            ip("-n", name, "route", "add", "default", "via", f"10.{net}.{number}.1")
            ip("-n", name, "route", "add", "default", "via", f"fd00:{net}:{number}::1")
        yield names
    finally:
        for name in made:
            ip("netns", "del", name)


def free_port():
    """A port of 127.0.0.1 that nobody listens at, below those that the kernel gives to connections: none of them takes it before it is listened at."""
    first = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    for _ in range(1000):
        port = random.randrange(10_000, max(first, 20_000))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in GIVEN_OUT:
            GIVEN_OUT.add(port)
            return port
    raise RuntimeError("no port is free")


def wait_for(what, seconds, check):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(0.2)
    raise SystemExit(f"FAILED: waited {seconds} s for {what}")


def database(folder, port, audit=True, options=()):
    """Starts MariaDB, with its audit plugin when asked; gives the process and the audit log's path."""
    data, log = folder / "mysql", folder / "server_audit.log"
    account = "mysql" if os.geteuid() == 0 else os.environ.get("USER", "nobody")
    if os.geteuid() == 0:
        shutil.chown(folder, "mysql")
        folder.chmod(0o755)
    subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={account}",
                    "--auth-root-authentication-method=normal", "--skip-test-db"], check=True, capture_output=True)
    # One of its own: a server that starts removes all temporary tables of the folder, another server's that runs included.
    temporary = folder / "mysql_tmp"
    temporary.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        shutil.chown(temporary, "mysql")
    process = subprocess.Popen(
        ["mariadbd", "--no-defaults", f"--datadir={data}", f"--tmpdir={temporary}", f"--user={account}", f"--port={port}", "--bind-address=127.0.0.1",
         f"--socket={folder}/sock", f"--pid-file={folder}/pid", f"--log-error={folder}/error.log", "--skip-name-resolve"]
        + (["--plugin-load-add=server_audit", "--server-audit-logging=ON", "--server-audit-events=CONNECT,QUERY,TABLE",
            f"--server-audit-file-path={log}"] if audit else []) + list(options))
    wait_for("MariaDB", 60, lambda: subprocess.run(client(folder) + ["-e", "select 1"], capture_output=True).returncode == 0)
    return process, log


def client(folder):
    return ["mariadb", "--no-defaults", f"--socket={folder}/sock", "-uroot"]


class Postgres:
    """A PostgreSQL with its own data folder on a free port; accounts log in with passwords, `postgres` with `superuser`."""

    def __init__(self, folder, started):
        self.folder, self.started, self.port, self.process = folder / "postgres", started, free_port(), None
        self.bin = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
        # The server refuses to run as root.
        self.account = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.geteuid() == 0 else []
        self.folder.mkdir(parents=True)
        self.password_file = password_file(self.folder, "superuser")
        folder.chmod(0o755)
        self.own(self.folder)
        self.own(self.password_file)
        subprocess.run(self.account + [self.bin / "initdb", "-D", self.folder / "data", "-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8",
                                       "--locale=C.UTF-8", f"--pwfile={self.password_file}"], check=True, capture_output=True, cwd="/")
        self.start()

    def own(self, path):
        """Makes a file the server's."""
        if self.account:
            shutil.chown(path, "postgres")

    def start(self, options=()):
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", f"unix_socket_directories={self.folder}", *options]
        with open(self.folder / "log", "a") as log:
            self.process = subprocess.Popen(self.account + [self.bin / "postgres", "-D", self.folder / "data"] + [word for one in settings for word in ("-c", one)],
                                            stdout=log, stderr=log, cwd="/")
        self.started.append(self.process)
        wait_for("PostgreSQL", 60, lambda: self.run("select 1").returncode == 0)

    def run(self, statement, database="postgres"):
        return subprocess.run(["psql", "-X", "-At", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database, "-c", statement],
                              capture_output=True, text=True, env={**os.environ, "PGPASSWORD": "superuser"})

    def sql(self, statement, database="postgres"):
        done = self.run(statement, database)
        need(done.returncode == 0, statement, done.stderr)
        return done.stdout

    def stop(self, how=signal.SIGINT):
        """Ends it: SIGINT sends everybody away at once, SIGQUIT is as a crash."""
        self.process.send_signal(how)
        self.process.wait(60)


def schema_of(data):
    """The schema of a data folder's state under on_postgres.py."""
    return "s" + hashlib.sha1((os.path.realpath(data) + "\n").encode()).hexdigest()[:16]


def change_state(data, statement):
    """A hand in the state database: the file's, or PostgreSQL's under on_postgres.py."""
    place = os.environ.get("MAGEWARDEN_TEST_STATES")
    if place is None:
        state = sqlite3.connect(data / "state.sqlite")
        with state:
            state.execute(statement)
        state.close()
        return
    subprocess.run(["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", place, "-c", f"SET search_path TO {schema_of(data)}", "-c", statement], check=True)


def grant(sql, printed, password):
    """Runs the printed statements that make magewarden's account, as far as the shop has the tables and columns."""
    have = set(sql("select concat(table_name, '.', column_name) from information_schema.columns where table_schema = 'shop'").split())
    for line in printed.splitlines():
        found = re.match(r"GRANT SELECT \((.*)\) ON `shop`\.`(\w+)` TO (.*);", line)
        if found:
            columns = [one for one in found[1].split(", ") if f"{found[2]}.{one.strip('`')}" in have]
            if columns:
                sql(f"GRANT SELECT ({', '.join(columns)}) ON `shop`.`{found[2]}` TO {found[3]};")
        elif line.startswith("GRANT SELECT ON `performance_schema`"):
            sql(line)
        elif line.startswith("CREATE USER"):
            sql(re.sub(r"THE PASSWORD IN [^']*", password, line))


def magento(folder, password, user="shop"):
    """A Magento's root with the settings by which it reaches the database in `folder`; gives its path."""
    root = folder / "shop"
    (root / "app" / "etc").mkdir(parents=True)
    (root / "app" / "etc" / "env.php").write_text(
        "<?php return ['db' => ['table_prefix' => 'mg_', 'connection' => ['default' => ["
        f"'host' => '{folder}/sock', 'dbname' => 'shop', 'username' => '{user}', 'password' => '{password}']]]];")
    return root


def password_file(folder, password):
    word = folder / "password"
    word.write_text(f"{password}\n")
    word.chmod(0o600)
    return word


def need(holds, what, shown=""):
    if not holds:
        raise SystemExit(f"FAILED: {what}\n{shown}")


def metric(port, name, source):
    """A number of one source; none when it isn't told."""
    found = re.search(rf'^magewarden_source_{name}{{source="{re.escape(source)}"}} (\d+)$', page(port, "/metrics"), re.M)
    return int(found[1]) if found else None


def observations(magewarden, data, source):
    """The records of a source that observes, as they were sealed."""
    out = subprocess.run([str(magewarden), "entries", str(data / "ledger"), "--source", source, "--limit", "100000", "--format", "ndjson"], capture_output=True, text=True)
    need(out.returncode == 0, "entries", out.stderr)
    return [json.loads(json.loads(line)["text"]) for line in out.stdout.splitlines()]


def end(processes, folder):
    """Ends processes, the last started first, and takes the folder away."""
    for process in reversed(processes):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def stage(name):
    """A list for the processes that a test starts, and a folder; both are ended with it. What fails shows what magewarden said."""
    started, folder = [], pathlib.Path(tempfile.mkdtemp(prefix=f"magewarden-{name}-"))
    try:
        yield started, folder
    except SystemExit:
        for said in sorted(folder.glob("*err")):
            sys.stderr.write(said.read_text()[-4000:])
        raise
    finally:
        end(started, folder)


def verified(magewarden, data):
    verify = subprocess.run([str(magewarden), "verify", str(data / "ledger")], capture_output=True, text=True)
    need(verify.returncode == 0, "the ledger verifies", verify.stdout + verify.stderr)


def host_of(magewarden, data, folder, port, started):
    """Lets a host in that the server at a port listens for, and runs its agent: by its own policy it closes nothing."""
    words = lambda what, *more: [str(magewarden), "agent", what, *more, "--data", str(data if what == "invite" else folder / "host")]
    said = lambda *of: subprocess.run(words(*of), capture_output=True, text=True, check=True).stdout.strip()
    said("enrol", "--server", f"https://127.0.0.1:{port}", "--invitation", said("invite", "shop1"))
    (folder / "host.toml").write_text("")
    started.append(subprocess.Popen(words("run", "--host", str(folder / "host.toml")), stderr=open(folder / "host.err", "w")))

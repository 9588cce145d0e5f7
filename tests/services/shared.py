"""What the scripts of real services share: free ports, waiting, a MariaDB, and an end for all they started."""
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request


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


def database(folder, port, audit=True, options=()):
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
            f"--server-audit-file-path={log}"] if audit else []) + list(options))
    wait_for("MariaDB", 60, lambda: subprocess.run(client(folder) + ["-e", "select 1"], capture_output=True).returncode == 0)
    return process, log


def client(folder):
    return ["mariadb", "--no-defaults", f"--socket={folder}/sock", "-uroot"]


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


def page(port, path="/"):
    """A page of the console; nothing while it isn't there."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.read().decode()
    except OSError:
        return ""


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

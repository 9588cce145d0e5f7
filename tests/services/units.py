#!/usr/bin/env python3
"""The packaged units under a systemd of their own: the server, who wrote a file, a payment page by a browser, the journal, an agent that moves a file away and has nginx and packets changed by root's helper.

usage: units.py MAGEWARDEN     as root, with systemd-nspawn (Debian's systemd-container), dbus, nginx and nftables; where it can't be tried it says why, and passes

Boots this machine's own files, below an overlay that is thrown away, with processes and a network of its own. The program and the units are
laid out as ./package does. The server runs as its unit has it, is killed and comes back; with the drop-in who-wrote.conf it names who wrote a
web shell, as docs/payment-page.md loosens it a browser looks at a payment page; and the agent's unit is let in, carries a plan out, and back, and hands over the journal. An address
that the plan blocks is refused by Debian's own nginx, which the helper's unit is asked to change; packets are dropped by it, too.
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
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from console import Person
from console_runs import Somebody, propose, say, to_its_end, told
from shared import STORES, need, stage, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[2]
PORT, AGENTS, PAGE = 8780, 8800, 8801
SHELL = "<?php @eval($_POST['x']);"
# Services of this machine that a boot would start.
MASKED = ("mariadb", "nginx", "redis-server", "postgresql", "rsyslog", "cron", "ssh", "fail2ban", "exim4")
LOOSENED = "[Service]\nMemoryDenyWriteExecute=no\nRestrictNamespaces=user pid net\nSystemCallFilter=chroot capset\nSystemCallErrorNumber=EPERM\n"
SETTINGS = f"""logs = ["/var/log/shop/web.log"]
agents = "127.0.0.1:{AGENTS}"
[[source]]
kind = "files"
root = "/srv/shop"
[[source]]
kind = "journald"
identifiers = ["shop-test"]
"""
SERVED = '[nginx]\nfolder = "/etc/nginx/magewarden"\nask = "127.0.0.1:8081"\n[root]\n'
# CAP_DAC_OVERRIDE, CAP_NET_BIND_SERVICE, CAP_NET_ADMIN (capability.h).
CAPABILITIES = 1 << 1 | 1 << 10 | 1 << 12
LOOK = f'[[source]]\nkind = "payment_page"\nview = "de"\nurl = "http://shop.test:{PAGE}/checkout"\nby = "browser"\nevery_seconds = 10\n'


def lacking():
    """Why it can't be tried here; none when it can."""
    if os.geteuid() != 0:
        return "it needs to be root"
    missing = [word for word in ("systemd-nspawn", "dbus-daemon", "nsenter", "ip", "nft", "nginx", "curl") if not shutil.which(word)]
    if missing:
        return f"there is no {', '.join(missing)}"
    # Within a container neither may be had.
    tried = ["unshare", "--mount", "--net", "sh", "-ec",
             'mount -t tmpfs tmpfs "$1"; mkdir "$1/a" "$1/b" "$1/c"; mount -t overlay overlay -o lowerdir=/,upperdir="$1/a",workdir="$1/b" "$1/c"', "sh"]
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run([*tried, folder], capture_output=True, text=True)
    return f"no overlay can be mounted in a namespace: {done.stderr.strip()}" if done.returncode else None


def inside_of(magewarden):
    """Runs the rest in a network of its own, where a mount made is seen by nobody else either."""
    name = f"mw{os.getpid()}u"
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        subprocess.run(["ip", "-n", name, "link", "set", "lo", "up"], check=True)
        # `ip netns exec` would take the control groups away, which a boot needs.
        enter = ["nsenter", f"--net=/run/netns/{name}", "unshare", "--mount", "--propagation", "private"]
        return subprocess.run([*enter, sys.executable, __file__, str(magewarden), name]).returncode
    finally:
        subprocess.run(["ip", "netns", "del", name], check=True)


class Machine:
    """A machine that is booted."""

    def __init__(self, magewarden, folder, network):
        self.program, self.network, self.folder, self.root = magewarden, network, folder, folder / "root"
        self.leader = None

    def __enter__(self):
        upper = self.folder / "upper"
        for path in (self.root, upper):
            path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2g", "tmpfs", upper], check=True)
        for name in ("files", "work"):
            (upper / name).mkdir()
        subprocess.run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={upper}/files,workdir={upper}/work", self.root], check=True)
        # One file system for the shop and what is moved aside, as a move wants it: an overlay's files say they are of several.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", self.root / "srv"], check=True)
        self.lay_out()
        boot = ["systemd-nspawn", "--quiet", "--directory", self.root, "--machine", self.network, "--register=no", "--keep-unit",
                "--system-call-filter=fanotify_init fanotify_mark", "--capability=CAP_NET_ADMIN", f"--network-namespace-path=/run/netns/{self.network}", "--boot"]
        # What goes wrong at a boot `stage` shows.
        self.process = subprocess.Popen(boot, stdin=subprocess.DEVNULL, stdout=open(self.folder / "boot.err", "w"), stderr=subprocess.STDOUT)
        try:
            self.leader = wait_for("the first process", 30, self.children)[0]
            wait_for("the boot", 90, lambda: self.asked("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"))
        except SystemExit:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            if self.leader:
                sys.stderr.write(self.asked("journalctl", "--unit", "magewarden", "--unit", "magewarden-agent", "--unit", "magewarden-agent-root", "--lines", "60", "--output", "cat").stdout)
                # With the first process all end; without nspawn alone they would go on.
                os.kill(int(self.leader), signal.SIGKILL)
            else:
                self.process.terminate()
            self.process.wait(30)
        for place in (self.root / "srv", self.root, self.folder / "upper"):
            subprocess.run(["umount", "--lazy", place])

    def children(self):
        return pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()

    def lay_out(self):
        """As the package does."""
        shutil.copy2(self.program, self.root / "usr/bin/magewarden")
        (self.root / "usr/bin/magewarden").chmod(0o755)
        for unit in ("magewarden.service", "magewarden-agent.service", "magewarden-agent-root.service", "magewarden-agent-root.socket"):
            shutil.copy(ROOT / "packaging" / unit, self.root / "lib/systemd/system")
        for name in MASKED:
            link = self.root / "etc/systemd/system" / f"{name}.service"
            link.unlink(missing_ok=True)
            link.symlink_to("/dev/null")
        (self.root / "etc/machine-id").unlink(missing_ok=True)
        (self.root / "etc/machine-id").touch()
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost shop.test\n")
        for path in ("etc/magewarden", "var/log/shop", "srv/shop/pub/media", "srv/shop/app/etc", "srv/aside", "srv/hold"):
            (self.root / path).mkdir(parents=True, exist_ok=True)
        (self.root / "var/log/shop/web.log").write_text("")
        (self.root / "etc/magewarden/up.toml").write_text(SETTINGS)

    def asked(self, *words):
        enter = ["nsenter", "--target", self.leader, "--mount", "--uts", "--ipc", "--net", "--pid", "--"]
        return subprocess.run([*enter, *map(str, words)], capture_output=True, text=True, timeout=90)

    def run(self, *words):
        done = self.asked(*words)
        need(done.returncode == 0, " ".join(map(str, words)), done.stdout + done.stderr)
        return done.stdout

    def magewarden(self, *words):
        """As the service's account."""
        return self.run("runuser", "-u", "magewarden", "--", "/usr/bin/magewarden", *words)

    def show(self, unit, name):
        return self.run("systemctl", "show", unit, "--property", name, "--value").strip()

    def is_up(self, unit):
        return self.show(unit, "ActiveState") == "active"

    def drop_in(self, unit, name, text):
        folder = self.root / f"etc/systemd/system/{unit}.service.d"
        folder.mkdir(exist_ok=True)
        (folder / f"{name}.conf").write_text(text)
        self.run("systemctl", "daemon-reload")
        self.run("systemctl", "restart", unit)

    def records(self, source):
        words = ("entries", "/var/lib/magewarden/ledger", "--source", source, "--limit", "100000", "--format", "ndjson")
        return [json.loads(line)["text"] for line in self.magewarden(*words).splitlines()]

    def end(self):
        need(self.asked("systemctl", "poweroff").returncode == 0, "it ends")
        self.process.wait(60)


def answers(machine):
    return "magewarden" in machine.asked("curl", "--silent", "--location", f"http://127.0.0.1:{PORT}/").stdout


def server(machine):
    """The unit as it is packaged."""
    machine.run("sh", "-c", "getent passwd magewarden || adduser --system --group --home /var/lib/magewarden --no-create-home --gecos magewarden magewarden")
    # As the unit says, to read the journal.
    machine.run("usermod", "-aG", "systemd-journal", "magewarden")
    machine.run("systemctl", "start", "magewarden")
    wait_for("the console", 60, lambda: answers(machine))
    process = machine.show("magewarden", "MainPID")
    status = pathlib.Path(machine.root / "proc").exists() and machine.run("cat", f"/proc/{process}/status")
    need("NoNewPrivs:\t1" in status and "Seccomp:\t2" in status and "CapEff:\t0000000000000000" in status, "it has no right that it doesn't need", status)
    machine.run("logger", "-t", "shop-test", "hello from the journal")
    wait_for("the journal's record", 30, lambda: any("hello from the journal" in one for one in machine.records("journald:system")))
    machine.run("kill", "-KILL", process)
    wait_for("it comes back", 60, lambda: machine.show("magewarden", "MainPID") not in (process, "0") and answers(machine))


def who_wrote(machine):
    """With the drop-in that is packaged for it."""
    write = lambda name: machine.run("setpriv", "--reuid", "www-data", "--regid", "www-data", "--clear-groups", "php", "-r", f"file_put_contents('/srv/shop/pub/media/{name}', \"{SHELL}\".chr(10)); usleep(500000);".replace("$", "\\$"))
    machine.run("chown", "-R", "www-data", "/srv/shop")
    found = lambda name: [json.loads(one) for one in machine.records("tree:/srv/shop") if f"pub/media/{name}" in one and '"created"' in one]
    wait_for("the baseline", 60, lambda: any('"baseline"' in one for one in machine.records("tree:/srv/shop")))
    write("one.php")
    one = wait_for("a file that came", 60, lambda: found("one.php"))[0]
    need("process.pid" not in one, "as it is packaged nobody is named", one)
    machine.drop_in("magewarden", "who-wrote", (ROOT / "packaging/who-wrote.conf").read_text())
    wait_for("the console", 60, lambda: answers(machine))
    time.sleep(3)
    write("two.php")
    two = wait_for("another one", 60, lambda: found("two.php"))[0]
    need(two.get("user.name") == "www-data" and "php" in two.get("process.executable", ""), "who wrote it is named", two)
    (machine.root / "etc/systemd/system/magewarden.service.d/who-wrote.conf").unlink()


class Shop(BaseHTTPRequestHandler):
    """A page with a script that makes another one, which a fetch doesn't see."""

    def do_GET(self):
        text = "<html><body><form><input name=card></form><script>var s=document.createElement('script');s.src='/made.js';document.body.append(s)</script></body></html>"
        body, kind = (b"window.made=1", "text/javascript") if self.path.endswith(".js") else (text.encode(), "text/html")
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def browser(machine):
    """Refused as it is packaged, and said; loosened as the documentation has it, it looks."""
    shop = ThreadingHTTPServer(("127.0.0.1", PAGE), Shop)
    threading.Thread(target=shop.serve_forever, daemon=True).start()
    settings = machine.root / "etc/magewarden/up.toml"
    settings.write_text(SETTINGS + LOOK)
    machine.drop_in("magewarden", "browser", LOOSENED)
    wait_for("the console", 60, lambda: answers(machine))
    seen = lambda: [one for one in machine.records("payment_page:de:browser") if "/made.js" in one]
    wait_for("what a script made, seen by a browser", 90, seen)
    shop.shutdown()
    (machine.root / "etc/systemd/system/magewarden.service.d/browser.conf").unlink()
    settings.write_text(SETTINGS)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "magewarden")
    wait_for("the console", 60, lambda: answers(machine))


def root_helper(machine):
    """Debian's own nginx, with our lines in it: the helper's unit has what it takes to test it, change it and tell it, and to drop packets; no more."""
    etc, ours = machine.root / "etc/magewarden", machine.root / "etc/nginx/magewarden"
    (etc / "stores.toml").write_text(STORES)
    (etc / "host.toml").write_text(SERVED)
    (etc / "root.toml").write_text('user = "magewarden"\nstores = "/etc/magewarden/stores.toml"\n[nginx]\nfolder = "/etc/nginx/magewarden"\n[nftables]\n')
    on = ("--host", "/etc/magewarden/host.toml", "--stores", "/etc/magewarden/stores.toml")
    machine.run("/usr/bin/magewarden", "respond", "--prepare", *on)
    (machine.root / "etc/nginx/conf.d/shop.conf").write_text("include /etc/nginx/magewarden/http.conf;\nvariables_hash_bucket_size 128;\n"
        'server { listen 80; listen 127.0.0.1:8081; server_name shop.example.com; include /etc/nginx/magewarden/server.conf; location / { return 200 "sold"; } }\n')
    machine.run("systemctl", "unmask", "nginx")
    machine.run("systemctl", "start", "nginx")
    machine.run("install", "-d", "-o", "magewarden", "-g", "magewarden", "-m", "0700", "/srv/vault")
    machine.run("systemctl", "start", "magewarden-agent-root.socket")
    respond = lambda *words: machine.magewarden("respond", *words, *on, "--vault", "/srv/vault")
    status = lambda: machine.run("curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--header", "Host: shop.example.com", "http://127.0.0.1:8081/")
    rules = lambda: machine.run("nft", "list", "ruleset")
    before, was = rules(), (ours / "http.conf").read_bytes()
    respond("drop_packets", "--set", "network=203.0.113.9", "--act")
    need("203.0.113.9" in rules() and "table inet magewarden" in rules(), "packets are dropped", rules())
    process = machine.show("magewarden-agent-root", "MainPID")
    told = machine.run("cat", f"/proc/{process}/status")
    need("NoNewPrivs:\t1" in told and "Seccomp:\t2" in told and f"CapEff:\t{CAPABILITIES:016x}" in told, "it has no right that it doesn't need", told)
    respond("block_network", "--set", "network=127.0.0.1", "--act")
    need(status() == "403" and (ours / "http.conf").stat().st_uid == 0, "an address is refused by an nginx of root's", status())
    denied = machine.asked("runuser", "-u", "www-data", "--", "/usr/bin/magewarden", "respond", "drop_packets", "--set", "network=203.0.113.8", *on, "--survey")
    need(denied.returncode == 1 and "Permission denied" in denied.stderr, "another account doesn't get as far", denied.stderr)
    machine.run("kill", "-KILL", process)
    respond("block_network", "--set", "network=127.0.0.1", "--undo")
    respond("drop_packets", "--set", "network=203.0.113.9", "--undo")
    need(rules() == before and (ours / "http.conf").read_bytes() == was and status() == "200", "all is as before", rules())
    said = machine.run("journalctl", "--unit", "magewarden-agent-root", "--output", "cat")
    need("add_network 203.0.113.9: done" in said and "reload_nginx: done" in said, "the journal has what it did", said)


def agent(machine):
    """The agent's unit, let in; a plan goes from the console to it and back, and what the host's journal and logs say to the server."""
    etc = machine.root / "etc/magewarden"
    (etc / "host.toml").write_text(SERVED + '[magento]\nroot = "/srv/shop"\nquarantine = "/srv/aside"\n[hold]\nfolder = "/srv/hold"\nlogs = ["/var/log/shop"]\n')
    (etc / "policy.toml").write_text('actions = ["keep_evidence", "hold_retention", "block_network", "deny_php", "quarantine_file"]\n')
    machine.run("chown", "-R", "magewarden:magewarden", "/srv/shop", "/srv/aside", "/srv/hold")
    machine.run("chmod", "700", "/srv/aside", "/srv/hold")
    machine.run("install", "-d", "-o", "magewarden", "-g", "magewarden", "-m", "0700", "/var/lib/magewarden-agent")
    word = machine.magewarden("agent", "invite", "shop1", "--data", "/var/lib/magewarden").strip()
    machine.magewarden("agent", "enrol", "--server", f"https://127.0.0.1:{AGENTS}", "--invitation", word, "--data", "/var/lib/magewarden-agent")
    machine.drop_in("magewarden-agent", "paths", "[Service]\nReadWritePaths=/srv/shop /srv/aside /srv/hold\n")
    link = machine.magewarden("accounts", "invite", "lee", "--role", "incident_lead", "--data", "/var/lib/magewarden").strip()
    lee = Somebody.__new__(Somebody)
    Person.__init__(lee, PORT, "lee", link)
    wait_for("the host", 60, lambda: lee.api("/api/v1/hosts")["items"])
    incident = wait_for("an incident", 30, lambda: lee.api("/api/v1/incidents")["items"])[0]["id"]
    file = machine.root / "srv/shop/pub/media/one.php"
    before = (file.read_bytes(), file.stat().st_mtime_ns)
    attempt = lambda: to_its_end(lee, propose(lee, incident, file="pub/media/one.php", network="203.0.113.9"))["id"]
    journal = lambda run: (machine.root / f"var/lib/magewarden-agent/runs/{run}.ndjson").read_text()
    # Each writable path is a mount, and nothing is moved from one to another.
    run = attempt()
    need(file.exists() and "below one of the unit's ReadWritePaths" in journal(run), "two writable paths: it says what to do", journal(run))
    say(lee, run, "undo", "another setting")
    to_its_end(lee, run, "undone")
    machine.drop_in("magewarden-agent", "paths", "[Service]\nReadWritePaths=/srv\n")
    run = attempt()
    refused = [line for line in (machine.root / "etc/nginx/magewarden/http.conf").read_text().splitlines() if line == "# rule: network 203.0.113.9"]
    need(refused, "the address is refused by the web server, as the helper wrote it", journal(run))
    need(not file.exists(), "the file is moved away", "\n".join(line[:600] for line in journal(run).splitlines() if '"failed"' in line))
    say(lee, run, "undo", "a rehearsal")
    to_its_end(lee, run, "undone")
    need((file.read_bytes(), file.stat().st_mtime_ns) == before, "and back", told(lee, run))
    # It hands over the journal and a log, by groups that the unit names, as its head says how.
    (etc / "agent.toml").write_text('logs = ["/var/log/shop/host.log"]\n[[source]]\nkind = "journald"\nidentifiers = ["shop-host"]\n')
    log = machine.root / "var/log/shop/host.log"
    log.write_text('203.0.113.7 - - [05/Aug/2026:10:15:30 +0000] "GET /of-the-host HTTP/1.1" 200 1 "-" "x"\n')
    machine.run("chown", "root:adm", "/var/log/shop/host.log")
    machine.run("chmod", "640", "/var/log/shop/host.log")
    command = re.search(r"^#   (ExecStart=/usr/bin/magewarden agent run .*--config .*)$", (ROOT / "packaging/magewarden-agent.service").read_text(), re.M)[1]
    machine.drop_in("magewarden-agent", "collects", f"[Service]\nSupplementaryGroups=adm systemd-journal\nExecStart=\n{command}\n")
    machine.run("logger", "-t", "shop-host", "hello from the host's journal")
    wait_for("the host's journal", 60, lambda: any("hello from the host's journal" in one for one in machine.records("shop1/journald:system")))
    wait_for("the host's log", 60, lambda: any("/of-the-host" in one for one in machine.records("shop1/file:/var/log/shop/host.log")))
    machine.run("systemctl", "stop", "magewarden-agent", "magewarden")
    for unit in ("magewarden-agent", "magewarden"):
        ended = (machine.show(unit, "Result"), machine.show(unit, "ExecMainStatus"))
        need(ended == ("success", "0"), f"{unit} ends by itself when it is asked to", ended)
    machine.magewarden("verify", "/var/lib/magewarden/ledger")


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    why = lacking()
    if why:
        print(f"NOT TRIED HERE: the packaged units under a systemd of their own: {why}")
        return
    if len(sys.argv) == 2:
        raise SystemExit(inside_of(magewarden))
    with stage("units") as (_, folder), Machine(magewarden, folder, sys.argv[2]) as machine:
        for part in (server, who_wrote, browser, root_helper, agent):
            part(machine)
        machine.end()
    print("5 passed, 0 failed (server, who wrote, browser, root helper, agent)")


if __name__ == "__main__":
    main()

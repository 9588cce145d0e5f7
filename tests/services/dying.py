#!/usr/bin/env python3
"""Every source through kills, a full disk and a lost connection, while its sender goes on; counted at both ends.

usage: dying.py MAGEWARDEN

One `up` has them all. A sender numbers what it gives; afterwards the numbers in the ledger must be those that the law of
its source (docs/sources.md) asks for: each once, each at least once, each that was answered, or all but those that a hole
of the source covers. The data folder is a small file system of its own, in mounts that nobody else sees; where that
isn't allowed the full disk is skipped, and said so. Everything started here is ended by its process id.
"""
import collections
import datetime
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import random
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from shared import end, free_port, metric, need, page, wait_for

TOKEN, STRIPE, DISK_BYTES = "a-token-of-this-test", "whsec_of_this_test", 96 << 20
NUMBER = re.compile(r"\bn(\d+)\b")


def post(url, body, headers):
    """The answer's status; none where there was no answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers, method="POST"), timeout=40) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


class Sender(threading.Thread):
    """One source's sender. Gives numbers while it may go, again and again the same one where its source answers."""
    name, law, pace, source = "", "", 0.05, ""
    is_answered = False

    def __init__(self, folder):
        super().__init__(daemon=True)
        self.folder, self.port = folder, free_port()
        self.going, self.idle = threading.Event(), threading.Event()
        self.sent, self.acknowledged, self.answers = {}, set(), collections.Counter()

    def settings(self):
        """Its `[[source]]`."""

    def prepare(self):
        """What must be there before magewarden starts."""

    def give(self, number):
        """Gives a number; whether it is acknowledged, where its source does that."""

    def run(self):
        number = 0
        while True:
            if not self.going.is_set():
                self.idle.set()
                self.going.wait()
                self.idle.clear()
            self.sent.setdefault(number, time.time())
            if self.give(number):
                self.acknowledged.add(number)
            elif self.is_answered:
                time.sleep(0.2)
                continue
            number += 1
            time.sleep(self.pace)

    def told(self, status):
        self.answers[status] += 1
        return status in (200, 204)


class Logs(Sender):
    name, law, pace = "logs", "once", 0.01

    def prepare(self):
        self.path = self.folder / "access.log"
        self.path.write_text("")
        self.source = f"file:{self.path}"

    def give(self, number):
        with open(self.path, "a") as log:
            log.write(f'192.0.2.7 - - [05/Aug/2026:10:15:30 +0000] "GET /n{number} HTTP/1.1" 200 51 "-" "curl/8"\n')


class Files(Sender):
    name, law, pace = "files", "least", 0.3

    def prepare(self):
        self.root = self.folder / "shop"
        (self.root / "pub" / "media").mkdir(parents=True)
        self.source = f"tree:{self.root}"

    def settings(self):
        return f'kind = "files"\nroot = "{self.root}"\n'

    def give(self, number):
        (self.root / "pub" / "media" / f"n{number}.php").write_text("<?php\n")


class Inventory(Sender):
    name, law, pace = "inventory", "least", 0.3

    def prepare(self):
        self.root = self.folder / "installed"
        self.root.mkdir()
        self.source = f"inventory:{self.root}"
        self.give(-1)

    def settings(self):
        return f'kind = "inventory"\nroot = "{self.root}"\n'

    def give(self, number):
        packages = [{"name": f"acme/n{one}", "version": "1.0.0", "type": "magento2-module"} for one in range(number + 1)]
        (self.root / "new").write_text(json.dumps({"packages": packages}))
        (self.root / "new").rename(self.root / "composer.lock")


class Udp(Sender):
    name, law, pace = "syslog udp", "hole", 0.01
    source = "syslog:udp:127.0.0.1#syslog_5424"

    def prepare(self):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.listener = f"syslog:udp:127.0.0.1:{self.port}"

    def settings(self):
        return f'kind = "syslog"\nlisten = "udp://127.0.0.1:{self.port}"\n'

    def give(self, number, more=""):
        self.socket.sendto(f"<14>1 2026-08-05T10:15:30Z web1 app - - - n{number} {more}".encode(), ("127.0.0.1", self.port))


class Tcp(Sender):
    name, law, pace = "syslog tcp", "hole", 0.01
    source = "syslog:tcp:127.0.0.1#syslog_5424"

    def prepare(self):
        self.stream, self.listener = None, f"syslog:tcp:127.0.0.1:{self.port}"

    def settings(self):
        return f'kind = "syslog"\nlisten = "tcp://127.0.0.1:{self.port}"\n'

    def give(self, number):
        try:
            # What is written into a connection whose other end died is gone without an error.
            if self.stream and select.select([self.stream], [], [], 0)[0]:
                self.stream = None
            self.stream = self.stream or socket.create_connection(("127.0.0.1", self.port), timeout=30)
            message = f"<14>1 2026-08-05T10:15:30Z web1 app - - - n{number}"
            self.stream.sendall(f"{len(message)} {message}".encode())
        except OSError:
            self.stream = None
            time.sleep(0.05)


class Http(Sender):
    name, law, pace, is_answered = "http", "answered", 0.05, True
    source = "http:plain#plain"

    def prepare(self):
        (self.folder / f"tokens-{self.port}").write_text(TOKEN + "\n")
        (self.folder / f"tokens-{self.port}").chmod(0o600)

    def settings(self):
        return f'kind = "http"\nlisten = "127.0.0.1:{self.port}"\ntokens = "{self.folder}/tokens-{self.port}"\n'

    def post(self, query, body):
        return self.told(post(f"http://127.0.0.1:{self.port}/v1/records?{query}", body, {"Authorization": f"Bearer {TOKEN}"}))

    def give(self, number):
        return self.post("source=plain", f"a line n{number}\n".encode())


class Numbered(Http):
    name, law, source, at = "http numbered", "once", "http+offset:counted", 0

    def give(self, number):
        line = f"a line n{number}\n".encode()
        if self.post(f"source=counted&format=plain&generation=1&offset={self.at}", line):
            self.at += len(line)
            return True


class Gateway(Sender):
    name, law, pace, is_answered = "gateway", "answered", 0.1, True
    source = "gateway:stripe"

    def prepare(self):
        (self.folder / "stripe").write_text(STRIPE + "\n")
        (self.folder / "stripe").chmod(0o600)

    def settings(self):
        return f'kind = "gateway"\nlisten = "127.0.0.1:{self.port}"\nstripe = "{self.folder}/stripe"\n'

    def give(self, number):
        body = json.dumps({"id": f"evt n{number}", "type": "charge.succeeded", "created": int(time.time()), "livemode": True,
                           "data": {"object": {"id": "ch", "amount": 1999, "currency": "eur"}}}).encode()
        now = int(time.time())
        code = hmac.new(STRIPE.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
        return self.told(post(f"http://127.0.0.1:{self.port}/stripe", body, {"Stripe-Signature": f"t={now},v1={code}"}))


class Reports(Sender):
    """A browser reports once, whatever it hears; each thing is seen by browsers in two networks."""
    name, law, pace = "csp_reports", "answered", 0.2

    def prepare(self):
        self.source = self.listener = f"csp_reports:127.0.0.1:{self.port}"

    def settings(self):
        return f'kind = "csp_reports"\nlisten = "127.0.0.1:{self.port}"\n'

    def give(self, number):
        body = json.dumps({"csp-report": {"document-uri": "https://shop.example/checkout", "effective-directive": "img-src", "disposition": "report",
                                          "blocked-uri": f"https://n{number}.example/"}}).encode()
        heard = [self.told(post(f"http://127.0.0.1:{self.port}/", body, {"X-Forwarded-For": address})) for address in ("192.0.2.1", "198.51.100.1")]
        return all(heard)


class Redis(Sender):
    name, law, pace = "redis", "least", 0.2
    server = None

    def prepare(self):
        self.source = f"redis:127.0.0.1:{self.port}"
        self.begin()

    def begin(self):
        self.server = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder, "--save", "", "--appendonly", "yes",
                                        "--appendfsync", "always", "--logfile", self.folder / "redis.log"])
        self.cli = ["redis-cli", "-p", str(self.port)]
        wait_for("Redis", 20, lambda: subprocess.run(self.cli + ["ping"], capture_output=True, text=True).stdout.strip() == "PONG")

    def settings(self):
        return f'kind = "redis"\nserver = "127.0.0.1:{self.port}"\ndatabases = [0]\nkeys_per_second = 5000\npause_minutes = 0\n'

    def give(self, number):
        # A number that nobody was given, with its check digit.
        digits = [4] + [random.randrange(10) for _ in range(14)]
        total = sum(sum(divmod(2 * digit, 10)) if at % 2 == 0 else digit for at, digit in enumerate(digits))
        card = "".join(map(str, digits)) + str(-total % 10)
        if subprocess.run(self.cli + ["hset", f"zc:k:n{number}", "d", f"cc {card}"], capture_output=True).returncode:
            self.sent.pop(number)


class Page(Sender):
    """A page to which frames come, one after the other."""
    name, law, pace = "payment_page", "least", 0.5
    server, count = None, 0

    def prepare(self):
        self.source = "payment_page:de:fetch"
        self.begin()

    def begin(self):
        sender = self

        class Shop(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                frames = "".join(f'<iframe src="https://frames.example/n{number}"></iframe>' for number in range(sender.count))
                body = f"<html><body><form action='/pay'><input name='cc_number'></form>{frames}</body></html>".encode()
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", self.port), Shop)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True).start()

    def down(self):
        self.server.shutdown()
        self.server.server_close()

    def settings(self):
        return f'kind = "payment_page"\nview = "de"\nurl = "http://127.0.0.1:{self.port}/checkout"\nby = "fetch"\nevery_seconds = 10\n'

    def give(self, number):
        self.count = number + 1


SOURCES = (Logs, Files, Inventory, Udp, Tcp, Http, Numbered, Gateway, Reports, Redis, Page)


class Watching:
    """A magewarden with all sources, and what its ledger holds."""

    def __init__(self, program, folder, senders):
        self.program, self.folder, self.data, self.senders = program, folder, folder / "data", senders
        self.console, self.process = free_port(), None
        settings = [f"[[source]]\n{one}" for one in (sender.settings() for sender in senders) if one]
        (folder / "settings.toml").write_text(f'logs = ["{folder}/access.log"]\n' + "".join(settings))
        self.err = open(folder / "err", "a")

    def run(self):
        self.process = subprocess.Popen([self.program, "up", "--config", self.folder / "settings.toml", "--data", self.data, "--port", str(self.console)], stderr=self.err)

    def start(self):
        self.run()
        wait_for("the console", 30, lambda: "<main" in self.page("/"))

    def end(self, how):
        self.process.send_signal(how)
        return self.process.wait(40)

    def page(self, path):
        return page(self.console, path)

    def said(self):
        return (self.folder / "err").read_text()

    def metric(self, name, source):
        return metric(self.console, name, source)

    def texts(self):
        """The texts of all that is sealed, by source."""
        out = subprocess.run([self.program, "entries", self.data / "ledger", "--limit", "1000000", "--format", "ndjson"], capture_output=True, text=True)
        need(out.returncode == 0, "entries", out.stderr)
        texts = collections.defaultdict(list)
        for row in map(json.loads, out.stdout.splitlines()):
            texts[row["source"]].append(row["text"])
        return texts


def numbers(texts):
    return [int(found[1]) for found in map(NUMBER.search, texts) if found]


def holes(texts, listener):
    """The times a source was off or lost something, as they are sealed."""
    told = [json.loads(text) for text in texts["magewarden:health"]]
    at = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    found = []
    for one in told:
        times = re.match(r"from (\S+) to (\S+)", one.get("log.context", ""))
        if one["health.source"] == listener and times:
            found.append((at(times[1]), at(times[2])))
    return found


def fault(sender, texts):
    """What is wrong with what is sealed of a source; nothing when its law holds."""
    sealed = collections.Counter(numbers(texts[sender.source]))
    missing = sorted(set(sender.sent) - set(sealed))
    if set(sealed) - set(sender.sent):
        return f"sealed and never sent: {sorted(set(sealed) - set(sender.sent))[:5]}"
    if sender.law == "once":
        twice = [number for number, count in sealed.items() if count > 1]
        return (missing or twice) and f"missing {missing[:5]} of {len(missing)}, twice {twice[:5]} of {len(twice)}"
    if sender.law == "least":
        return missing and f"missing {missing[:5]} of {len(missing)}"
    if sender.law == "answered":
        missing = sorted(sender.acknowledged - set(sealed))
        return missing and f"acknowledged and not sealed {missing[:5]} of {len(missing)}"
    covered = holes(texts, sender.listener)
    bare = [number for number in missing if not any(since <= sender.sent[number] <= until for since, until in covered)]
    return bare and f"missing without a hole {bare[:5]} of {len(bare)} of {len(missing)}; holes {covered}, sent at {sender.sent[bare[0]]}"


def settle(watching, what, seconds=40):
    """Waits until each source's law holds, and says the counts."""
    until, faults = time.monotonic() + seconds, None
    while faults is None or faults and time.monotonic() < until:
        time.sleep(0.5)
        texts = watching.texts()
        faults = {sender.name: found for sender in watching.senders if (found := fault(sender, texts))}
    for sender in watching.senders:
        sealed = collections.Counter(numbers(texts[sender.source]))
        answered = f", {len(sender.acknowledged)} acknowledged" if sender.acknowledged else ""
        print(f"{what}: {sender.name}: {len(sender.sent)} sent{answered}, {len(sealed)} sealed, {sum(sealed.values()) - len(sealed)} of them again, "
              f"{len(set(sender.sent) - set(sealed))} lost{' in holes' if sender.law == 'hole' else ''}", flush=True)
    need(not faults, f"{what}: {faults}")
    return texts


def go(senders):
    for sender in senders:
        sender.going.set()


def halt(senders):
    for sender in senders:
        sender.going.clear()
    for sender in senders:
        need(sender.idle.wait(60), f"the sender of {sender.name} is answered")


def kills(watching):
    go(watching.senders)
    for pause in (3, 1, 2, 0.3):
        time.sleep(pause)
        watching.end(signal.SIGKILL)
        time.sleep(0.5)
        watching.start()
    time.sleep(1)
    halt(watching.senders)
    # What looks at its start looks once more.
    watching.end(signal.SIGKILL)
    watching.start()
    settle(watching, "kill")


def full_disk(watching):
    go(watching.senders)
    time.sleep(1)
    by_name = {sender.name: sender for sender in watching.senders}
    before = {name: sender.answers.copy() for name, sender in by_name.items()}
    fill(watching.data)
    wait_for("the word that the disk is full", 20, lambda: "the disk is full" in watching.said())
    wait_for("it on the page", 10, lambda: "the disk is full" in watching.page("/") and "waiting" in watching.page("/sources"))
    for name in ("http", "http numbered", "gateway"):
        wait_for(f"{name}: 503", 25, lambda: by_name[name].answers[503] > before[name][503])
    need(watching.metric("works", by_name["logs"].source) == 0, "the metrics say so")
    (watching.data / "ballast").unlink()
    wait_for("the word that it goes on", 20, lambda: watching.said().rstrip().endswith("going on: what waited is sealed"))
    time.sleep(1)
    halt(watching.senders)
    watching.end(signal.SIGTERM)
    watching.start()
    settle(watching, "full disk")
    # Killed while it is full: what was acknowledged is there all the same; what starts on a full disk says why it can't.
    go(watching.senders)
    fill(watching.data)
    time.sleep(3)
    watching.end(signal.SIGKILL)
    watching.run()
    need(watching.process.wait(30) == 1 and "No space left" in watching.said(), "a start without room says so", watching.said()[-300:])
    (watching.data / "ballast").unlink()
    watching.start()
    time.sleep(1)
    halt(watching.senders)
    watching.end(signal.SIGTERM)
    watching.start()
    settle(watching, "full disk and kill")


def fill(folder):
    """Takes all the room there is."""
    with open(folder / "ballast", "wb", buffering=0) as ballast:
        size = 1 << 20
        while size:
            try:
                ballast.write(b"\0" * size)
            except OSError:
                size //= 2


def lost_connections(watching):
    by_name = {sender.name: sender for sender in watching.senders}
    # A server that goes, and one that doesn't answer: said, a hole, nothing taken away, and by itself well again.
    redis, shop = by_name["redis"], by_name["payment_page"]
    go([redis, shop])
    time.sleep(1)
    redis.server.kill()
    redis.server.wait(10)
    shop.down()
    for sender in (redis, shop):
        wait_for(f"{sender.name}: the trouble", 30, lambda: watching.metric("works", sender.source) == 0)
    # Meanwhile: a stream cut in the middle of a message is two records, and the next connection is read from its start.
    tcp, plain = by_name["syslog tcp"], by_name["http"]
    message = b"<14>1 2026-08-05T10:15:30Z web1 app - - - torn message"
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", tcp.port), timeout=10) as stream:
            stream.sendall(b"%d %s%d %s" % (len(message), message, len(message), message[:-8]))
    # A body cut in the middle is none.
    for port in (plain.port, by_name["gateway"].port, by_name["csp_reports"].port):
        with socket.create_connection(("127.0.0.1", port), timeout=10) as stream:
            stream.sendall(f"POST /v1/records?source=cut HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\nhalf a body\n".encode())
    go([tcp, plain])
    redis.begin()
    shop.begin()
    for sender in (redis, shop):
        wait_for(f"{sender.name}: the trouble's end", 60, lambda: watching.metric("works", sender.source) == 1)
    halt([redis, shop, tcp, plain])
    texts = settle(watching, "lost connection")
    torn = texts[tcp.source]
    need((sum(text.endswith("torn message") for text in torn), sum(text.endswith("- torn") for text in torn)) == (20, 20), "what was cut is a record, too")
    need(not texts["http:cut#plain"], "half a body is sealed")
    need(not [one for one in texts[shop.source] if '"change":"removed"' in one], "a page that is down takes nothing away")
    told = lambda: {(one["health.source"], one["health.kind"]) for one in map(json.loads, watching.texts()["magewarden:health"])}
    wanted = {(sender.source, kind) for sender in (redis, shop) for kind in ("failing", "failing over")}
    wait_for("the trouble and its end, sealed", 20, lambda: wanted <= told())


def overrun(watching):
    """Datagrams that the kernel has no room for: each is sealed or counted."""
    udp = next(sender for sender in watching.senders if sender.name == "syslog udp")
    before, lost = len(numbers(watching.texts()[udp.source])), watching.metric("lost_total", udp.listener) or 0
    watching.process.send_signal(signal.SIGSTOP)
    first, count = len(udp.sent), 12_000
    for number in range(first, first + count):
        udp.sent[number] = time.time()
        udp.give(number, "x" * 2000)
    watching.process.send_signal(signal.SIGCONT)
    counted = lambda: (watching.metric("lost_total", udp.listener) or 0) - lost
    wait_for("the loss in the metrics", 20, lambda: counted() > 0)
    sealed = lambda: len(numbers(watching.texts()[udp.source])) - before
    wait_for("each datagram, sealed or counted", 20, lambda: sealed() + counted() == count)
    row = re.search(rf"<tr><td><code>{udp.listener}</code>.*?</tr>", watching.page("/sources"), re.S)[0]
    need(f'<td class="number">{counted() + lost}</td>' in row, "the loss on the page", row)
    need("lost from" in row, "the loss as a hole on the page", row)
    print(f"overrun: {count} sent at once, {sealed()} sealed, {counted()} counted as lost")
    settle(watching, "overrun")


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    alone = os.environ.get("MAGEWARDEN_OWN_MOUNTS")
    unshare = ["unshare", "--mount", "--propagation", "private"] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--mount"]
    if alone is None:
        may = subprocess.run(unshare + ["mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
        os.environ["MAGEWARDEN_OWN_MOUNTS"] = "yes" if may else "no"
        if may:
            os.execvp(unshare[0], unshare + [sys.executable, *sys.argv])
    began, folder = time.monotonic(), pathlib.Path(tempfile.mkdtemp(prefix="magewarden-dying-"))
    (folder / "data").mkdir()
    own = os.environ["MAGEWARDEN_OWN_MOUNTS"] == "yes"
    if own:
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", folder / "data"], check=True)
    senders = [kind(folder) for kind in SOURCES]
    try:
        for sender in senders:
            sender.prepare()
            sender.start()
        watching = Watching(program, folder, senders)
        watching.start()
        kills(watching)
        if own:
            full_disk(watching)
        else:
            print("full disk: skipped, no file system may be mounted here")
        lost_connections(watching)
        overrun(watching)
        need(watching.end(signal.SIGTERM) == 0, "it ends")
        need(subprocess.run([program, "verify", watching.data / "ledger"], capture_output=True).returncode == 0, "the ledger verifies")
        print(f"1 passed, 0 failed ({len(senders)} sources, {time.monotonic() - began:.0f} s)")
    except SystemExit:
        sys.stderr.write((folder / "err").read_text()[-3000:] if (folder / "err").exists() else "")
        raise
    finally:
        for sender in senders:
            sender.going.clear()
        if own:
            subprocess.run(["umount", "--lazy", folder / "data"])
        servers = [sender.server for sender in senders if isinstance(sender, Redis) and sender.server]
        end(servers + [watching.process] if "watching" in locals() and watching.process else servers, folder)


if __name__ == "__main__":
    main()

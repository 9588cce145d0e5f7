#!/usr/bin/env python3
"""Real senders: rsyslog over UDP and TCP, TLS, a client that numbers its lines and is cut off, webhooks.

usage: senders.py MAGEWARDEN

Starts `up` with every kind of source that is sent to, on free ports of 127.0.0.1, and counts at both ends, also over a
kill. Everything started here is ended by its process id.
"""
import base64
import datetime
import hashlib
import hmac
import json
import pathlib
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import zlib

from shared import free_port, metric, need, page, wait_for

TOKEN, STRIPE = "a-token-of-this-test", "whsec_of_this_test"


def post(url, body, headers=None):
    request = urllib.request.Request(url, data=body, headers=headers or {}, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def certificate(folder):
    """A key and a certificate for 127.0.0.1, made for this run."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-keyout", folder / "key.pem", "-out", folder / "cert.pem",
                    "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)


class Watching:
    def __init__(self, program, folder):
        self.program, self.folder, self.data = program, folder, folder / "data"
        self.ports = {name: free_port() for name in ("udp", "tcp", "tls", "http", "gateway", "console")}
        (folder / "tokens").write_text(TOKEN + "\n")
        (folder / "stripe").write_text("whsec_old\n" + STRIPE + "\n")
        (folder / "paypal").write_text("webhook_id=WH1\n" + (folder / "cert.pem").read_text())
        for name in ("tokens", "stripe", "paypal"):
            (folder / name).chmod(0o600)
        ports = self.ports
        (folder / "settings.toml").write_text(f"""
[[source]]
kind = "syslog"
listen = "udp://127.0.0.1:{ports['udp']}"
[[source]]
kind = "syslog"
listen = "tcp://127.0.0.1:{ports['tcp']}"
[[source]]
kind = "syslog"
listen = "tls://127.0.0.1:{ports['tls']}"
certificate = "{folder}/cert.pem"
key = "{folder}/key.pem"
[[source]]
kind = "http"
listen = "127.0.0.1:{ports['http']}"
tokens = "{folder}/tokens"
[[source]]
kind = "gateway"
listen = "127.0.0.1:{ports['gateway']}"
stripe = "{folder}/stripe"
paypal = "{folder}/paypal"
""")
        self.process = None

    def start(self):
        self.process = subprocess.Popen([self.program, "up", "--config", self.folder / "settings.toml", "--data", self.data, "--port", str(self.ports["console"])],
                                        stderr=open(self.folder / "err", "a"))
        wait_for("the console", 30, lambda: "<main" in self.page("/"))

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait(30)

    def page(self, path):
        return page(self.ports["console"], path)

    def texts(self, source):
        out = subprocess.run([self.program, "entries", self.data / "ledger", "--source", source, "--limit", "100000", "--format", "ndjson"], capture_output=True, text=True)
        need(out.returncode == 0, "entries", out.stderr)
        return [json.loads(line)["text"] for line in out.stdout.splitlines()]


def rsyslog(watching, folder, started):
    """Two thousand messages by rsyslog, over UDP and TCP."""
    (folder / "rsyslog.conf").write_text(f"""
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="{folder}/log.sock" CreatePath="on" RateLimit.Interval="0" UseSysTimeStamp="off")
global(workDirectory="{folder}")
action(type="omfwd" target="127.0.0.1" port="{watching.ports['tcp']}" protocol="tcp" TCP_Framing="octet-counted" template="RSYSLOG_SyslogProtocol23Format")
action(type="omfwd" target="127.0.0.1" port="{watching.ports['udp']}" protocol="udp" template="RSYSLOG_TraditionalForwardFormat")
""")
    sender = subprocess.Popen(["rsyslogd", "-n", "-f", folder / "rsyslog.conf", "-i", folder / "rsyslog.pid"], stdout=subprocess.DEVNULL, stderr=open(folder / "rsyslog.err", "w"))
    started.append(sender)
    wait_for("rsyslog", 20, lambda: (folder / "log.sock").exists())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as into:
        into.connect(str(folder / "log.sock"))
        for number in range(1000):
            into.send(f"<14>Aug  5 10:15:30 shop: message {number} of rsyslog".encode())
            if number % 100 == 0:
                time.sleep(0.05)
    tcp, udp = "syslog:tcp:127.0.0.1#syslog_5424", "syslog:udp:127.0.0.1#syslog_3164"
    wait_for("a thousand messages over TCP", 30, lambda: len(watching.texts(tcp)) >= 1000)
    wait_for("a thousand messages over UDP", 30, lambda: len(watching.texts(udp)) >= 1000)
    for source in (tcp, udp):
        numbers = [int(text.split("message ")[1].split()[0]) for text in watching.texts(source) if "message " in text]
        need(sorted(numbers) == list(range(1000)), f"{source}: every message once", numbers[:5])
    sender.terminate()
    sender.wait(20)


def gap(watching):
    """Numbered messages of which two never come."""
    sender = "syslog:udp:127.0.0.1"
    lost = lambda: metric(watching.ports["console"], "lost_total", sender) or 0
    before = lost()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as into:
        for number in (1, 2, 4, 3, 7, 8):
            text = f'<14>1 2026-08-05T10:15:30Z web9 shop - - [meta sequenceId="{number}"] numbered {number}'
            into.sendto(text.encode(), ("127.0.0.1", watching.ports["udp"]))
    wait_for("the two that never came", 8, lambda: lost() == before + 2)
    wait_for("a hole of their sender", 20, lambda: metric(watching.ports["console"], "holes_total", sender))


def tls(watching, folder):
    context = ssl.create_default_context(cafile=folder / "cert.pem")
    with socket.create_connection(("127.0.0.1", watching.ports["tls"]), timeout=10) as plain:
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as into:
            for number in range(200):
                message = f"<14>1 2026-08-05T10:15:30Z web1 app - - - secret way {number}".encode()
                into.sendall(f"{len(message)} ".encode() + message)
            into.unwrap()
    wait_for("two hundred messages over TLS", 20, lambda: len(watching.texts("syslog:tls:127.0.0.1#syslog_5424")) == 200)
    # Who doesn't speak TLS is refused, and the others go on.
    with socket.create_connection(("127.0.0.1", watching.ports["tls"]), timeout=10) as plain:
        plain.sendall(b"<14>no TLS at all\n")
        plain.settimeout(5)
        try:
            while plain.recv(1000):
                pass
        except OSError:
            pass
    wait_for("the refusal on the page", 30, lambda: "broke" in watching.page("/sources"))


def numbered(watching):
    """A client that numbers its bytes goes on over kills; each line is sealed once."""
    lines = [f"line {number} of a client that counts\n".encode() for number in range(3000)]
    url = f"http://127.0.0.1:{watching.ports['http']}/v1/records?source=counted&format=plain&generation=1&offset="
    headers = {"Authorization": f"Bearer {TOKEN}"}
    at, sent, kills = 0, 0, 0
    while sent < len(lines):
        batch = lines[sent:sent + 100]
        if sent in (700, 1500, 2200) and kills < 3:
            # Sealed or not when it dies: the client knows nothing of the answer.
            kills += 1
            try:
                post(url + str(at), b"".join(batch), headers)
            except OSError:
                pass
            watching.end(signal.SIGKILL)
            watching.start()
        try:
            status, answer = post(url + str(at), b"".join(batch), headers)
        except OSError:
            continue
        need(status == 200, "an answer", answer)
        at, sent = at + sum(map(len, batch)), sent + len(batch)
    found = watching.texts("http+offset:counted")
    need(found == [line.decode().strip() for line in lines], f"each line once and in order: {len(found)} of {len(lines)} after {kills} kills")


def webhooks(watching, folder):
    url = f"http://127.0.0.1:{watching.ports['gateway']}"

    def stripe(identity, secret=STRIPE, when=None):
        body = json.dumps({"id": identity, "type": "radar.early_fraud_warning.created", "created": int(time.time()), "livemode": True,
                           "data": {"object": {"id": "issfr", "payment_intent": "pi_" + identity, "amount": 1999, "currency": "eur"}}}).encode()
        when = when or int(time.time())
        code = hmac.new(secret.encode(), f"{when}.".encode() + body, hashlib.sha256).hexdigest()
        return post(f"{url}/stripe", body, {"Stripe-Signature": f"t={when},v1={code}", "Content-Type": "application/json"})[0]

    need([stripe(one) for one in ("evt_1", "evt_2", "evt_2", "evt_3")] == [200] * 4, "Stripe's are taken, a copy too")
    need(stripe("evt_1", "whsec_old") == 200, "the old secret still holds")
    need(stripe("evt_4", "forged") == 400, "a forged one is refused")
    need(stripe("evt_5", when=int(time.time()) - 1000) == 400, "an old one is refused")
    told = [json.loads(text) for text in watching.texts("gateway:stripe")]
    signed = [one["gateway.id"] for one in told if one["signed"] == "yes"]
    need(signed == ["evt_1", "evt_2", "evt_3"], "each once", signed)
    need(sum(one["signed"] == "no" for one in told) == 2, "what was refused is evidence, too")
    # A forger is seen, and fills no disk.
    need(all(stripe(f"evt_x{number}", "forged") == 400 for number in range(150)), "all forged ones are refused")
    forged = sum(json.loads(text)["signed"] == "no" for text in watching.texts("gateway:stripe"))
    need(60 <= forged <= 130, f"of a flood a minute's share is sealed: {forged}")
    wait_for("the warnings as an incident", 20, lambda: "Warnings of fraud" in watching.page("/"))

    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding
    key = serialization.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    body = json.dumps({"id": "WH-9", "event_type": "CUSTOMER.DISPUTE.CREATED", "create_time": datetime.datetime.now(datetime.timezone.utc).isoformat(), "resource": {"id": "PP-1"}}).encode()
    def paypal(text):
        code = key.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return post(f"{url}/paypal", body, {"PAYPAL-TRANSMISSION-ID": "t1", "PAYPAL-TRANSMISSION-TIME": "2026-08-05T10:15:30Z", "PAYPAL-AUTH-ALGO": "SHA256withRSA",
                                            "PAYPAL-TRANSMISSION-SIG": base64.b64encode(code).decode()})[0]
    need(paypal(f"t1|2026-08-05T10:15:30Z|WH1|{zlib.crc32(body)}") == 200, "PayPal's is taken")
    need(paypal(f"t1|2026-08-05T10:15:30Z|WH2|{zlib.crc32(body)}") == 400, "another webhook's is refused")
    need(post(f"{url}/adyen", b"{}")[0] == 404, "a gateway that isn't set up has no door")


def main():
    program = pathlib.Path(sys.argv[1]).resolve()
    started, folder = [], pathlib.Path(tempfile.mkdtemp(prefix="magewarden-senders-"))
    certificate(folder)
    watching = Watching(program, folder)
    try:
        watching.start()
        rsyslog(watching, folder, started)
        gap(watching)
        tls(watching, folder)
        numbered(watching)
        webhooks(watching, folder)
        watching.end(signal.SIGTERM)
        need(subprocess.run([program, "verify", watching.data / "ledger"], capture_output=True).returncode == 0, "the ledger verifies")
        print("5 passed, 0 failed")
    except SystemExit:
        sys.stderr.write((folder / "err").read_text()[-2000:])
        raise
    finally:
        for process in [*started, watching.process]:
            if process and process.poll() is None:
                process.kill()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()

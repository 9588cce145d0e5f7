#!/usr/bin/python3
"""People are told by mail, at a real SMTP server with STARTTLS and AUTH: what, whom, when it was away, how much at most, and never in the clear.

Usage: mail.py MAGEWARDEN        (needs Debian's python3-aiosmtpd, so Debian's own python3)
"""
import email
import email.policy
import json
import logging
import pathlib
import signal
import ssl
import subprocess
import sqlite3
import sys
import time
import unicodedata
import warnings
import urllib.error
import urllib.request

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from attacks import attacks
from console import page
from shared import STORES, change_state, free_port, need, stage, wait_for

# What clients do wrong on purpose is no news.
logging.getLogger("mail.log").setLevel(logging.CRITICAL)
warnings.simplefilter("ignore")
USER, PASSWORD = "magewarden", "correct horse"
CARD = "4111 1111 1111 1111"
FIELDS = {"from", "to", "subject", "message-id", "auto-submitted", "content-type", "references", "content-transfer-encoding", "date", "mime-version"}


def certificates(folder, name):
    """An authority, and a certificate of 127.0.0.1 that it signed; gives the authority's file and the server's context."""
    here = folder / name
    here.mkdir()

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=here)

    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}", "-keyout", "ca.key", "-out", "ca.pem",
            "-addext", "basicConstraints=critical,CA:TRUE")
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=mail", "-keyout", "key.pem", "-out", "request.pem")
    (here / "more").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", "request.pem", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "more", "-out", "cert.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(here / "cert.pem", here / "key.pem")
    return here / "ca.pem", context


class Mailbox:
    """A server of mail on one port that keeps what it takes."""

    def __init__(self, port, context):
        self.port, self.context, self.letters, self.clear, self.controller = port, context, [], 0, None

    async def handle_DATA(self, server, session, envelope):
        if session.ssl is None:
            self.clear += 1
        self.letters.append((envelope.rcpt_tos, envelope.content))
        return "250 taken"

    def start(self):
        known = lambda server, session, envelope, mechanism, data: AuthResult(
            success=isinstance(data, LoginPassword) and (data.login, data.password) == (USER.encode(), PASSWORD.encode()), handled=False)
        self.controller = Controller(self, hostname="127.0.0.1", port=self.port, tls_context=self.context, require_starttls=self.context is not None,
                                     auth_required=self.context is not None, authenticator=known)
        self.controller.start()
        return self

    def stop(self):
        if self.controller:
            self.controller.stop()
        self.controller = None

    def to(self, address):
        """The letters to one address, in their order, read as a mail program does."""
        return [email.message_from_bytes(content, policy=email.policy.default) for to, content in self.letters if to == [address]]


def text(letter):
    """Its text; lines end as the text's do, not as the wire's."""
    return letter.get_content().replace("\r\n", "\n")


def settings(folder, mailbox, authority, **more):
    """Writes a settings file with [mail]; gives its path."""
    password = folder / "mail.password"
    password.write_text(more.pop("password", PASSWORD) + "\n")
    password.chmod(0o600)
    values = {"server": f"127.0.0.1:{mailbox.port}", "user": USER, "password_file": str(password), "ca_file": str(authority), "from": "magewarden <magewarden@shop.example>",
              "to": ["oncall@shop.example"], "quiet_minutes": 0, "per_hour": 2000, "url": "https://console.shop.example"} | more
    lines = "[mail]\n" + "".join(f"{name} = {json.dumps(value)}\n" for name, value in values.items())
    path = folder / "up.toml"
    path.write_text(lines)
    return path


class Shop:
    """A magewarden that watches one log, and whoever tells it of findings."""

    def __init__(self, magewarden, folder, started, config):
        self.magewarden, self.folder, self.started, self.config = magewarden, folder, started, config
        self.data, self.port, self.log = folder / "data", free_port(), folder / "access.log"
        self.log.touch()
        (folder / "stores.toml").write_text(STORES)
        self.process, self.number = None, 0

    def start(self):
        words = [self.magewarden, "up", "--config", str(self.config), "--log", str(self.log), "--stores", str(self.folder / "stores.toml"), "--data", str(self.data), "--port", str(self.port)]
        self.process = subprocess.Popen(words, stderr=open(self.folder / "up.err", "a"))
        self.started.append(self.process)
        wait_for("the console", 60, lambda: self.answers())

    def answers(self):
        try:
            return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/login", timeout=5).status == 200
        except OSError:
            return False

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)

    def run(self, *words):
        out = subprocess.run([self.magewarden, *words, "--data", str(self.data)], capture_output=True, text=True)
        need(out.returncode == 0, " ".join(words), out.stderr)
        return out.stdout

    def ask(self, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=json.dumps(body).encode() if body is not None else None,
                                         headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise SystemExit(f"FAILED: {path} {body}\n{error.code} {error.read().decode()}")

    def find(self, titles, view="de", **more):
        """Findings of another system, each of an actor of its own, so that each is an incident."""
        claims = []
        for title in titles:
            self.number += 1
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            claims.append({"system": "siem", "external_id": str(self.number), "title": title, "level": "high", "first": now, "scope": {"kind": "view", "code": view},
                           "actors": [{"kind": "address", "value": f"198.51.{self.number // 250}.{self.number % 250 + 1}"}]} | more)
        for at in range(0, len(claims), 50):
            told = self.ask("/api/v1/findings", claims[at:at + 50])
            need(all("refused" not in one for one in told["items"]), "findings are taken", told)

    def incident(self, title):
        """The incident of a title, once it is there."""
        found = lambda: [one for one in self.ask("/api/v1/incidents?limit=100")["items"] if one["title"].startswith(title)]
        return wait_for(f"the incident {title!r}", 30, found)[0]

    def decide(self, incident, **act):
        seen = self.ask(f"/api/v1/incidents/{incident}")["handling"]["taken"]
        return self.ask(f"/api/v1/incidents/{incident}/decisions", {"seen": len(seen)} | act)

    def person(self, name, role, address, scope=()):
        """Somebody who joined, and is told at an address; gives them as decisions name them."""
        self.run("accounts", "invite", name, "--role", role, *scope)
        self.run("accounts", "mail", name, address)
        # Joining is what people.py tries.
        change_state(self.data, f"UPDATE account SET id = 'id-{name}' WHERE name = '{name}' AND NOT EXISTS (SELECT 1 FROM identity WHERE account = account.id)")
        change_state(self.data, f"UPDATE account SET state = 'active' WHERE name = '{name}'")
        state = sqlite3.connect(self.data / "state.sqlite")
        account = state.execute("SELECT id FROM account WHERE name = ?", [name]).fetchone()[0]
        state.close()
        return {"account": account, "name": name}

    def count(self, name):
        for line in page(self.port, "/metrics").splitlines():
            if line.startswith(f"magewarden_mail_{name} "):
                return int(line.split()[1])
        return 0


def line(path, address):
    """A request to the shop of the view de."""
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    return json.dumps({"time": now, "remote_addr": address, "host": "shop.example.com", "method": "GET", "request_uri": path, "status": 200, "body_bytes_sent": 51,
                       "request_time": 0.1, "http_user_agent": "Mozilla/5.0", "http_referer": "", "cookie_store": "de", "http_store": ""}) + "\n"


def tries(magewarden, folder, mailbox, authority, other):
    """The letter to try, and every way in which it doesn't go."""
    def check(path, expected, address="oncall@shop.example"):
        before = len(mailbox.letters)
        out = subprocess.run([magewarden, "mail", "--config", str(path), "--test", address], capture_output=True, text=True, timeout=60)
        went = len(mailbox.letters) - before
        said = out.stdout + out.stderr
        fails = expected != "sent:"
        need(out.returncode == int(fails) and went == int(not fails) and expected in said, f"a letter to try: {expected}", f"{out.returncode} {went} {said}")
        need(PASSWORD not in said, "no password is shown", said)

    check(settings(folder, mailbox, authority), "sent:")
    letter = mailbox.to("oncall@shop.example")[-1]
    need(letter["From"].addresses[0].addr_spec == "magewarden@shop.example" and letter["Subject"].startswith("test:"), "the letter to try", letter)
    check(settings(folder, mailbox, authority, password="wrong"), "the account isn't let in")
    check(settings(folder, mailbox, other), "certificate isn't vouched for")
    plain = settings(folder, mailbox, authority)
    plain.write_text(plain.read_text().replace(f'ca_file = "{authority}"\n', ""))
    check(plain, "certificate isn't vouched for")
    check(settings(folder, mailbox, authority, tls="tls"), "TLS isn't spoken")
    check(settings(folder, mailbox, authority, tls="none", server=f"192.0.2.1:{mailbox.port}"), "on loopback alone")
    check(settings(folder, mailbox, authority), "no address", "a@shop.example\nBcc: b@shop.example")
    silent = Mailbox(free_port(), None).start()
    check(settings(folder, silent, authority), "no STARTTLS")
    need(not silent.letters, "nothing goes without TLS")
    silent.stop()
    check(settings(folder, silent, authority), "whether this machine may reach it")
    print("a letter to try goes by TLS with the account; a wrong certificate, password or place is said, and nothing went")


def main(magewarden):
    with stage("mail") as (started, folder):
        authority, context = certificates(folder, "company")
        other, _ = certificates(folder, "stranger")
        mailbox = Mailbox(free_port(), context).start()
        try:
            tries(magewarden, folder, mailbox, authority, other)
            mailbox.letters.clear()
            (folder / "one").mkdir()
            shop = Shop(magewarden, folder / "one", started, settings(folder, mailbox, authority))
            told(shop, mailbox)
            away(shop, mailbox)
            hostile(shop, mailbox)
            shop.kill()
            mailbox.letters.clear()
            (folder / "two").mkdir()
            flood(Shop(magewarden, folder / "two", started, settings(folder, mailbox, authority, per_hour=5)), mailbox)
            need(mailbox.clear == 0, "no letter went in the clear", mailbox.clear)
        finally:
            mailbox.stop()


def told(shop, mailbox):
    """A thief's request, and what people do about it."""
    shop.start()
    shop.token = shop.run("accounts", "token", "siem", "--role", "incident_lead").split()[-1]
    bob = shop.person("bob", "analyst", "bob@shop.example")
    uma = shop.person("uma", "analyst", "uma@shop.example", ["--scope", "website:second"])
    with open(shop.log, "a") as out:
        out.write(line(f"/checkout?cvv=737&cc={CARD.replace(' ', '')}", "203.0.113.9"))
    letter = wait_for("the letter of a thief", 60, lambda: mailbox.to("oncall@shop.example"))[0]
    incident = shop.ask("/api/v1/incidents")["items"][0]
    body = text(letter)
    need(letter["Subject"].startswith(incident["severity"] + ": ") and letter["Subject"].endswith("· view de") and len(letter["Subject"]) < 78, "what its subject says", letter["Subject"])
    for part in [f"https://console.shop.example/incidents/{incident['id']}\n", "A new incident.", "view de", "203.0.113.9", "Records:", "Seen:", " UTC", "Next:        look at it", "First lever:", "Clock"]:
        need(part in body, f"its body has {part}", body)
    said = body.replace(incident["id"], "")
    need("4111" not in said and "737" not in said and "compliant" not in body.lower(), "and no card data", body)
    # Somebody gives it to bob, with a task; then goes on. What people write doesn't leave.
    shop.decide(incident["id"], act="lead", to=bob)
    shop.decide(incident["id"], act="add_task", title="ring the secret acquirer", owner=bob)
    leads = lambda: any("You lead it now." in text(one) for one in mailbox.to("bob@shop.example"))
    wait_for("bob hears that he leads", 60, leads)
    wait_for("bob hears of his task", 60, lambda: any("Task 1 is yours" in text(one) for one in mailbox.to("bob@shop.example")))
    shop.decide(incident["id"], act="comment", text="a secret remark", kind="fact")
    wait_for("bob hears of a remark", 60, lambda: any("comment by" in text(one) for one in mailbox.to("bob@shop.example")))
    # Who works for another store hears of hers alone, whatever she is given.
    shop.decide(incident["id"], act="add_task", title="for uma", owner=uma)
    shop.find(["Something in us"], "us")
    us = shop.incident("Something in us")
    shop.decide(us["id"], act="lead", to=uma)
    wait_for("uma hears of her own", 60, lambda: mailbox.to("uma@shop.example"))
    time.sleep(8)
    hers = [text(one) for one in mailbox.to("uma@shop.example")]
    need(len(hers) == 1 and us["id"] in hers[0] and incident["id"] not in hers[0], "uma is told of her store alone", hers)
    everything = "".join(content.decode() for _, content in mailbox.letters)
    need("secret" not in everything, "what people write stays", everything)
    print(f"{len(mailbox.letters)} letters: a thief's incident, who leads it, a task, a remark; for another store nothing of it")


def away(shop, mailbox):
    """The server of mail is away, and then the program killed: nothing is lost, the order is kept."""
    mailbox.letters.clear()
    mailbox.stop()
    titles = ["First while away", "Second while away", "Third while away"]
    for title in titles:
        shop.find([title])
        shop.incident(title)
        waiting = shop.count("waiting")
        wait_for("it to wait", 60, lambda: shop.count("waiting") > waiting or shop.count("waiting") >= len(titles))
    wait_for("an attempt that fails", 60, lambda: shop.count("failed_total") > 0)
    wait_for("the sink to be shown as failing", 60, lambda: 'magewarden_source_works{source="sink:mail"} 0' in page(shop.port, "/metrics"))
    shop.kill()
    shop.start()
    time.sleep(5)
    mailbox.start()
    arrived = lambda: [title for one in mailbox.to("oncall@shop.example") for title in titles if title in one["Subject"]]
    wait_for("what waited", 400, lambda: len(arrived()) >= 3)
    time.sleep(8)
    need(arrived() == titles, "each once, in their order", arrived())
    wait_for("the sink to be well", 60, lambda: "sink:mail" not in page(shop.port, "/metrics"))
    print("a server away and a kill: three letters later, each once, in their order")


def hostile(shop, mailbox):
    """Every attack on whoever reads, as titles, actors and reasons of findings."""
    mailbox.letters.clear()
    words = [one.decode("utf-8", "replace") for one in attacks("127.0.0.1:9")]
    words = [one[:150].replace("\0", "") for one in words if one.strip()]
    words += [f"x\r\nBcc: thief@evil.example\r\n\r\nClock: none {CARD}", "x\nSubject: low: nothing\n.\nRSET\n"]
    taken = 0
    for word in words:
        try:
            shop.find([f"T{taken} {word}"], reason=word)
            taken += 1
        except SystemExit as refused:
            need(" 422" in str(refused) or "\n422" in str(refused), "it is taken or refused as unfit", refused)
    need(taken > 20, "most are taken", taken)
    wait_for("their letters", 120, lambda: len(mailbox.to("oncall@shop.example")) >= taken)
    for letter in mailbox.to("oncall@shop.example"):
        names = {name.lower() for name in letter.keys()}
        need(names <= FIELDS and len(names) == len(letter.keys()), "a head has its own fields, each once", letter.as_string())
        need(not letter.is_multipart() and letter.get_content_type() == "text/plain", "plain text", letter.as_string())
        subject, body = str(letter["Subject"]), text(letter)
        need(len(subject) < 78 and subject.startswith("high: "), "a subject", subject)
        for shown in (subject, body):
            odd = [one for one in shown if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp") and one != "\n"]
            need(not odd and CARD not in shown and CARD.replace(" ", "") not in shown, "nothing that isn't shown", repr(shown))
        forged = [one for one in body.splitlines() if one.lower().startswith(("bcc:", "subject:", "clock: none"))]
        need(not forged, "no line is forged", body)
    need({tuple(to) for to, _ in mailbox.letters} == {("oncall@shop.example",)}, "nobody else got a letter", [to for to, _ in mailbox.letters])
    print(f"{taken} attacks in titles and reasons: each one letter, to whom it is for, inert")


def flood(shop, mailbox):
    """A hundred incidents: a few letters, of which the last says how many."""
    shop.start()
    shop.token = shop.run("accounts", "token", "siem", "--role", "incident_lead").split()[-1]
    for at in range(20):
        shop.find([f"Flood {at}-{number}" for number in range(5)])
        time.sleep(1)
    wait_for("letters", 60, lambda: mailbox.letters)
    wait_for("a letter of many", 60, lambda: any("letters are held back" in one["Subject"] for one in mailbox.to("oncall@shop.example")))
    time.sleep(20)
    letters = mailbox.to("oncall@shop.example")
    need(len(letters) <= 5, "at most five in an hour", [one["Subject"] for one in letters])
    many = [one for one in letters if "letters are held back" in one["Subject"]][-1]
    need("at most 5 letters" in text(many), "it says why", text(many))
    need(shop.count("joined_total") > 0, "it is counted", shop.count("joined_total"))
    print(f"a hundred incidents: {len(letters)} letters, {shop.count('joined_total')} joined, {shop.count('waiting')} held back")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(str(pathlib.Path(sys.argv[1]).resolve()))

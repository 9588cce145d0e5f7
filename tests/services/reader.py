#!/usr/bin/env python3
"""Attacks on whoever reads a log, in every field that a stranger or a colleague fills: inert on pages, in reports and on a terminal.

usage: reader.py MAGEWARDEN

First harmless words of the same length fill the fields, and every page is looked at: what elements and attributes it has, and where. Then
the attacks of `corpus/reader` do, and no page may have anything else. A page that lets them work shows before that they would be seen.
"""
import collections
import http.client
import json
import pathlib
import re
import subprocess
import sys
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

from attacks import Canary, attacks, harmless, packed
from browser import Browser
from console import Person
from shared import free_port, need, stage, verified, wait_for

# What must never reach who reads: control characters but line ends and tabs, and what turns or hides text.
LOUD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
# In every page, before anything else: what shows that a script ran, or that the policy had to stop something.
TRAPS = """
window.stung = [];
for (const name of ['alert', 'confirm', 'prompt', 'open', 'print']) window[name] = () => { window.stung.push(name); };
document.addEventListener('securitypolicyviolation', (event) => window.stung.push(`${event.violatedDirective} ${event.blockedURI}`));
"""
LOOK = """
const shapes = new Set(), classes = new Set(), away = new Set(), seen = new Map();
const own = (url) => { try { return new URL(url, location.origin).origin === location.origin && !/^(\\w+:|\\/\\/)/.test(url.trim()); } catch { return false; } };
let count = 0;
for (const one of document.querySelectorAll('*')) {
  count += 1;
  const parent = seen.get(one.parentElement) || '', path = `${parent}>${one.localName}`;
  seen.set(one, path);
  shapes.add(`${path} ${[...one.attributes].map((attribute) => attribute.name).filter((name) => !['open', 'selected', 'checked', 'class', 'id'].includes(name)).sort().join(' ')}`);
  for (const name of one.classList) classes.add(name);
  for (const name of ['href', 'src', 'action', 'formaction']) if (one.hasAttribute(name) && !own(one.getAttribute(name))) away.add(one.getAttribute(name).slice(0, 100));
}
for (const entry of performance.getEntriesByType('resource')) if (new URL(entry.name).origin !== location.origin) away.add(entry.name);
return {stung: window.stung, title: document.title, text: document.documentElement.textContent.slice(0, 4000000), dir: getComputedStyle(document.body).direction + document.documentElement.dir,
  lang: document.documentElement.lang, here: location.origin, shapes: [...shapes], classes: [...classes], away: [...away], count};
"""
ROLES = {"ada": ("admin", "analyst"), "cora": ("counsel",)}


def quoted(text):
    """As nginx writes a variable with `escape=json`: other bytes stay as they came."""
    return re.sub(rb'[\x00-\x1f"\\]', lambda found: b"\\u%04x" % found[0][0], text)


def text_of(text):
    return text.decode(errors="replace")


class Lines:
    """Records of a log with one string in every field of its format."""

    @staticmethod
    def web(number, text):
        path = b"/media/" + text + b".php?q=1' UNION ALL SELECT password FROM admin_user-- " + text
        return (b'{"time":"2026-08-05T10:15:30+00:00","remote_addr":"%b","host":"%b","method":"GET","request_uri":"%b","status":%d,"body_bytes_sent":51,'
                b'"request_time":0.1,"http_user_agent":"%b","http_referer":"%b","http_x_forwarded_for":"%b","cookie_store":"%b","upstream_addr":"%b"}\n'
                % (b"203.0.113.%d" % (number % 250) if number % 9 else quoted(text), quoted(text), quoted(path), 200 if number % 12 == 0 else 404, *[quoted(text)] * 5))

    @staticmethod
    def audit(number, text):
        # Fields of the audit log end with commas; statements are quoted.
        field = re.sub(rb"[,\r\n]", b";", text)
        statement = re.sub(rb"[\\']", lambda found: b"\\" + found[0], text).replace(b"\n", b"\\n")
        account = field if number % 10 == 0 else b"shop"
        return (b"20260805 10:15:30,%b,%b,%b,41,%d,QUERY,%b,'SELECT cc_number_enc FROM sales_order_payment WHERE x = \\'%b\\'',0\n"
                % (field, account, field, number, field, statement))

    @staticmethod
    def app(number, text):
        return b"[2026-08-05T10:15:30.123456+00:00] main.CRITICAL: %b 4111111111111111 {\"exception\":\"%b\"} []\n" % (text.replace(b"\n", b" "), quoted(text))


class Shop:
    """A running magewarden, and every way by which strings come in."""

    def __init__(self, magewarden, started, folder):
        self.magewarden, self.folder, self.data = magewarden, folder, folder / "data"
        self.port, self.door, self.csp = free_port(), free_port(), free_port()
        self.console = f"http://127.0.0.1:{self.port}"
        tokens = folder / "tokens"
        tokens.write_text("a-token-of-a-sender\n")
        tokens.chmod(0o600)
        self.root = folder / "shop"
        for place in ("app/etc", "pub/media", "vendor"):
            (self.root / place).mkdir(parents=True)
        (self.root / "app/etc/env.php").write_text("<?php return [];")
        self.packages([])
        # Made before it runs, and looked at after it ended: here as root it hears of closed files by fanotify, and is handed its own database then.
        run = lambda *words: subprocess.run([str(magewarden), "accounts", *words, "--data", str(self.data)], capture_output=True, text=True, check=True).stdout.strip()
        self.links = {name: run("invite", name, *(word for role in roles for word in ("--role", role))) for name, roles in ROLES.items()}
        self.tokens = {role: run("token", f"for-{role}", "--role", role) for role in ("incident_lead", "analyst", "counsel")}
        process = subprocess.Popen(
            [str(magewarden), "up", "--magento", str(self.root), "--data", str(self.data), "--port", str(self.port), "--ocsf", str(folder / "ocsf.ndjson"),
             "--source", f"http,listen=127.0.0.1:{self.door},tokens={tokens}", "--source", "files", "--source", "inventory",
             "--source", f"csp_reports,listen=127.0.0.1:{self.csp}"], stderr=open(folder / "err", "w"), stdout=subprocess.DEVNULL)
        started.append(process)
        wait_for("the console", 40, lambda: self.ask("GET", "/login")[0] == 200)

    def ask(self, method, path, body=None, role=None, port=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=30)
        if role:
            headers["Authorization"] = f"Bearer {self.tokens[role]}"
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except OSError:
            return 0, b""
        finally:
            connection.close()

    def api(self, path, role="incident_lead"):
        status, body = self.ask("GET", f"/api/v1{path}", role=role)
        need(status == 200, f"{path}: {status}", body)
        return json.loads(body)

    def packages(self, texts):
        """What composer says is installed: a name, a version and a kind each."""
        listed = [{"name": text_of(text), "version": text_of(text), "type": "magento2-module", "source": {"url": text_of(text)}} for text in texts]
        (self.root / "composer.lock").write_text(json.dumps({"packages": listed}))
        (self.root / "app/etc/config.php").write_text("<?php return ['modules' => ['Magento_Store' => 1]];")

    def read(self, texts):
        """Logs, names of their sources, files and reports with these strings."""
        for name, line in (("web", Lines.web), ("audit", Lines.audit), ("app", Lines.app)):
            kind = {"web": "nginx_json", "audit": "mariadb_server_audit", "app": "monolog"}[name]
            # Names are short; texts have room for many.
            parts = texts if name == "audit" else packed(texts, 600)
            body = b"".join(line(number, text) for number, text in enumerate(parts))
            status, told = self.send(name, kind, body)
            need(status == 200, f"{name} is taken", told)
        for text in packed(texts, 150):
            status, told = self.send(text, "plain", b"a line\n")
            need(status in (200, 400, 422), "a source of any name is taken, or refused", (text, status, told))
        media = self.root / "pub" / "media"
        for text in texts:
            name = re.sub(rb"[/\0]", b"|", text)[:200] + b".php"
            (pathlib.Path(bytes(media).decode()) / name.decode(errors="surrogateescape")).write_bytes(b"<?php eval($_POST['x']);" + text)
        self.packages(texts)
        for text in packed(texts, 400):
            report = {"csp-report": {"document-uri": f"https://shop.example/checkout?{text_of(text)}", "blocked-uri": text_of(text), "violated-directive": text_of(text),
                                     "effective-directive": "script-src-elem", "script-sample": text_of(text), "source-file": text_of(text), "disposition": "report"}}
            status, told = self.ask("POST", "/", json.dumps(report), port=self.csp, **{"Content-Type": "application/csp-report", "X-Forwarded-For": "198.51.100.7"})
            need(status in (204, 400, 413), "a report is taken or refused", (text, status, told))

    def send(self, source, kind, body):
        query = urllib.parse.urlencode({"source": source, "format": kind})
        return self.ask("POST", f"/v1/records?{query}", body, port=self.door, Authorization="Bearer a-token-of-a-sender")

    def handle(self, incident, texts):
        """Remarks, tasks, stages, files and notes with these strings, on one incident."""
        decide = f"/api/v1/incidents/{incident}/decisions"
        refused = collections.Counter()

        def post(path, body, role="incident_lead", kind="application/json"):
            status, told = self.ask("POST", path, body, role=role, **{"Content-Type": kind})
            need(status < 500 or status == 503, f"{path}: {status}", told)
            refused[status] += status not in (200, 202)

        def act(**body):
            post(decide, json.dumps({"seen": 0, "reason": "", **body}))

        def remark(text):
            act(act="comment", text=text_of(text), kind="fact")
            post(f"/api/v1/incidents/{incident}/counsel-notes", json.dumps({"text": text_of(text)}), role="counsel")

        def task(text):
            words = text_of(text)
            act(act="add_task", title=words, owner={"account": words, "name": words}, reason=words)

        def attach(text):
            query = urllib.parse.urlencode({"name": text_of(text), "about": text_of(text)})
            post(f"/api/v1/incidents/{incident}/attachments?{query}", text, kind="application/octet-stream")

        with ThreadPoolExecutor(8) as pool:
            for do, limit in ((remark, 1200), (task, 300), (attach, 150)):
                list(pool.map(do, packed(texts, limit)))
        for stage_of in ("cause", "impact", "scope"):
            joined = "\n".join(text_of(text) for text in texts)[:15000]
            act(act="stage", flow="response", stage=stage_of, fields={"summary": joined, "root_cause": joined})
        return refused


class Reader:
    """A person at a browser, who notices."""

    def __init__(self, browser, shop, canary):
        self.browser, self.shop, self.canary = browser, shop, canary
        self.shapes, self.classes, self.pages = set(), set(), 0
        self.counts, self.wrong = {}, []

    def be(self, person):
        """Comes as somebody who is logged in."""
        self.browser.open(f"{self.shop.console}/icon.svg")
        name, value = person.cookie.split("=", 1)
        self.browser.call("DELETE", "/cookie")
        self.browser.call("POST", "/cookie", {"cookie": {"name": name, "value": value, "path": "/", "httpOnly": True}})

    def look(self, path, learn=False, shape_of=None):
        """Opens a page and says what is wrong with it; or learns what it has when all is well."""
        self.browser.open(self.shop.console + path)
        seen = self.browser.run(LOOK)
        self.pages += 1
        wrong = []
        if seen["stung"]:
            wrong.append(f"ran or was stopped: {seen['stung'][:3]}")
        if seen["here"] != self.shop.console:
            wrong.append(f"led to {seen['here']}")
        if seen["away"]:
            wrong.append(f"leads away: {seen['away'][:3]}")
        if seen["dir"] != "ltr" or seen["lang"] != "en":
            wrong.append(f"turned: {seen['dir']} {seen['lang']}")
        if LOUD.search(seen["text"]) or LOUD.search(seen["title"]):
            wrong.append(f"loud: {LOUD.findall(seen['text'])[:5]}")
        if not re.search("magewarden$|^(informational|low|medium|high|critical): ", seen["title"]):
            wrong.append(f"title: {seen['title'][:80]}")
        if learn:
            self.shapes.update(seen["shapes"])
            self.classes.update(seen["classes"])
        else:
            wrong += [f"new element: {one}" for one in seen["shapes"] if one not in self.shapes][:4]
            wrong += [f"new class: {one}" for one in seen["classes"] if one not in self.classes][:4]
        if shape_of:
            if self.counts.setdefault(shape_of, seen["count"]) != seen["count"]:
                wrong.append(f"{seen['count']} elements, not {self.counts[shape_of]}")
        self.wrong += [f"{path[:200]}: {one}" for one in wrong]
        need(len(self.wrong) < 40, "pages are inert", "\n".join(self.wrong))
        return seen


def linked(shop, person, path, pattern):
    """What a page links to."""
    return list(dict.fromkeys(re.findall(pattern, person.get(path)[1])))


def pages_of(shop, person, entries, learn):
    """Every page that shows something of what was read or written."""
    most = 3 if learn else 12
    out = ["/", "/incidents", "/incidents?state=all", "/incidents?state=all&from=50", "/entries", "/sources", "/modules", "/payment-pages", "/rules", "/account",
           "/administration/people", "/nothing-there"]
    incidents = shop.api("/incidents?limit=200")["items"]
    # The severest and those with the most findings have all that pages can show.
    incidents.sort(key=lambda one: -one.get("findings", 0))
    out += [f"/incidents/{one['id']}" for one in incidents[:2 * most]]
    names = set()
    for line in entries:
        for one in line["names"]:
            names.add((one["kind"], one["name"]))
    by_kind = collections.defaultdict(list)
    for kind, name in sorted(names):
        by_kind[kind].append(name)
    for kind, all_of in by_kind.items():
        out += [f"/entities/{kind}/{urllib.parse.quote(name, safe='')}" for name in all_of[-2 * most:]]
    rules = sorted({one for path in out if path.startswith("/incidents/") for one in linked(shop, person, path, r'href="(/rules/[^"]+)"')})
    return out + rules[:most]


def all_entries(shop):
    out, cursor = [], ""
    while True:
        part = shop.api(f"/entries?limit=200&cursor={cursor}")
        out += part["items"]
        cursor = part.get("next")
        if not cursor:
            return out


def quiet(shop):
    """Waits until nothing more is sealed."""
    last, since, end = -1, time.monotonic(), time.monotonic() + 40
    while time.monotonic() < end and time.monotonic() - since < 2:
        newest = shop.api("/entries?limit=1")["items"]
        if newest and newest[0]["sequence"] != last:
            last, since = newest[0]["sequence"], time.monotonic()
        time.sleep(0.3)


def asked(texts):
    """Addresses that give a string back: filters, searches, names of what isn't there."""
    for text in packed(texts, 250):
        word = urllib.parse.quote(text)
        yield "entries", "/entries?" + "&".join(f"{name}=z{word}" for name in ("from", "address", "account", "administrator", "module", "source", "least"))
        yield "queue", f"/incidents?q={word}zq&store={word}zq"


def looked_at(reader, shop, people, texts, learn):
    """Every page, first harmless, then not."""
    quiet(shop)
    entries = all_entries(shop)
    paths = pages_of(shop, people["ada"], entries, learn)
    reader.be(people["ada"])
    for path in paths:
        reader.look(path, learn)
    # Lists show who did what; an entry's own page its text: of each source as many as hold every string.
    before = [line["sequence"] for line in entries][39::40]
    for sequence in before[::1 if learn else 2][:BUDGET // 4]:
        reader.look(f"/entries?before={sequence}", learn)
    by_source, chosen = collections.Counter(), []
    for line in entries:
        by_source[line["source"]] += 1
        if by_source[line["source"]] <= (2 if learn else 45) and len(chosen) < (30 if learn else BUDGET):
            chosen.append(line["sequence"])
    for sequence in chosen:
        reader.look(f"/entries/{sequence}", learn)
    print(f"        {len(paths)} pages, {len(chosen)} of {len(entries)} entries", flush=True)
    # What is offered to choose from grew: counts hold from here on, beginning with a harmless word.
    reader.counts.clear()
    for shape, path in asked(texts[:3] if learn else [b"harmless" + b"o" * 235, *texts]):
        reader.look(path, learn, shape_of=shape)


def terminal(shop, least):
    """What commands print: one line an entry, and nothing that a terminal obeys."""
    ledger = str(shop.data / "ledger")
    printed = lambda kind: subprocess.run([str(shop.magewarden), "entries", ledger, "--limit", "100000", "--format", kind], capture_output=True).stdout
    json.loads(printed("json"))
    # It may have noted something before it ended.
    entries_told = len([json.loads(line) for line in printed("ndjson").splitlines()])
    need(least <= entries_told <= least + 5, f"{entries_told} entries, {least} before the end")
    for words in (["entries", ledger, "--limit", "100000"], ["accounts", "list", "--data", str(shop.data)], ["doctor", "--data", str(shop.data)]):
        done = subprocess.run([str(shop.magewarden), *words], capture_output=True)
        told = (done.stdout + done.stderr).decode()
        found = LOUD.search(told)
        need(not found and "\t" not in told, f"{words[0]} prints {found and repr(told[max(0, found.start() - 60):found.end() + 20])}")
        if words[0] == "entries":
            need(len(done.stdout.splitlines()) == told.count("\n") == entries_told, f"one line an entry: {told.count(chr(10))} lines of {entries_told}")
    for line in (shop.folder / "ocsf.ndjson").read_bytes().split(b"\n"):
        need(not line or json.loads(line), "OCSF is JSON")


def analyzed(reader, magewarden, folder, texts):
    """The same logs, read once by `analyze`: its words, and its report in a browser, from a file."""
    logs = folder / "logs"
    logs.mkdir()
    for name, line in (("access.json", Lines.web), ("server_audit.log", Lines.audit), ("system.log", Lines.app)):
        (logs / name).write_bytes(b"".join(line(number, text) for number, text in enumerate(texts)))
    for text in texts[::4]:
        name = re.sub(rb"[/\0]", b"|", text)[:200] or b"x"
        (pathlib.Path(logs) / (name + b".log").decode(errors="surrogateescape")).write_bytes(Lines.web(0, text))
    done = subprocess.run([str(magewarden), "analyze", "--out", str(folder / "out"), str(logs)], capture_output=True)
    told = (done.stdout + done.stderr).decode()
    need(done.returncode == 10, "there are findings", told[-2000:])
    found = LOUD.search(told)
    need(not found and "\t" not in told, f"analyze prints {found and repr(told[max(0, found.start() - 60):found.end() + 20])}")
    run = folder / "out" / "latest"
    run = (folder / "out" / run.read_text().strip()) if run.is_file() else run
    json.loads((run / "report.json").read_bytes())
    for line in (run / "findings.ocsf.ndjson").read_bytes().splitlines():
        json.loads(line)
    reader.browser.open(f"file://{run}/report.html")
    seen = reader.browser.run(LOOK)
    need(not seen["stung"] and seen["dir"] == "ltr" and seen["lang"] == "en", "the report is quiet", {key: seen[key] for key in ("stung", "dir", "lang", "title")})
    need(not LOUD.search(seen["text"]), "and has no loud character")
    odd = {shape.rsplit(">", 1)[1].split(" ")[0] for shape in seen["shapes"]} & {"script", "img", "iframe", "object", "embed", "form", "input", "base", "a:x", "math", "marquee", "frameset", "link"}
    need(not odd, "the report has no element of an attack", odd)
    handlers = [shape for shape in seen["shapes"] if re.search(r" on\w+", shape)]
    need(not handlers, "nor a handler", handlers)


# Most pages of entries that are opened.
BUDGET = 160


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    begun = time.monotonic()
    canary = Canary()
    texts = attacks(canary.place)
    need(len(texts) >= 200 and len(set(texts)) == len(texts), "at least 200 different attacks")
    plain = [harmless(number, text) for number, text in enumerate(texts)]
    with stage("reader") as (started, folder):
        browser = Browser()
        try:
            browser.call("POST", "/goog/cdp/execute", {"cmd": "Page.addScriptToEvaluateOnNewDocument", "params": {"source": TRAPS}})
            # Let loose, one after the other: the traps and the listener notice.
            stung = 0
            for text in [one for one in texts if b"onerror=alert(1)>" in one or one.startswith(b"<script>") or b"evil" in one or canary.place.encode() in one][:60]:
                canary.control = b"<!doctype html><p>" + text
                browser.open(f"http://{canary.place}/control")
                stung += bool(browser.run("return window.stung && window.stung.length"))
            need(stung > 15 and len(canary.asked) > 15, "attacks that work would be seen", (stung, len(canary.asked)))
            control = (stung, len(canary.asked))
            canary.asked.clear()
            browser.open("about:blank")
            browser.complaints()

            shop = Shop(magewarden, started, folder)
            people = {name: Person(shop.port, name, link) for name, link in shop.links.items()}
            reader = Reader(browser, shop, canary)
            said = lambda what: print(f"{time.monotonic() - begun:5.1f} s  {what}", flush=True)
            shop.read(plain)
            said("harmless words are in")
            quiet(shop)
            first = wait_for("incidents", 30, lambda: shop.api("/incidents?limit=200")["items"])
            one = max(first, key=lambda one: one.get("findings", 0))["id"]
            shop.handle(one, [*plain[:20], b"a harmless 4111111111111111"])
            keep = lambda text: people["ada"].post("/incidents/views", name=text_of(text), state="all", q=text_of(text), store=text_of(text))[0]
            need(keep(b"a harmless view") == 303, "a view is kept")
            looked_at(reader, shop, people, plain, learn=True)
            reader.be(people["cora"])
            reader.look(f"/incidents/{one}", learn=True)
            said(f"{reader.pages} pages with harmless words")

            shop.read(texts)
            refused = shop.handle(one, texts)
            # There may be 30 views of 60 characters: one string in each.
            short = [text for text in texts if 10 < len(text) <= 55]
            refused.update(status for text in short[::len(short) // 28 + 1] if (status := keep(text)) != 303)
            said(f"attacks are in; refused: {dict(+refused)}")
            reader.pages = 0
            looked_at(reader, shop, people, texts, learn=False)
            reader.be(people["cora"])
            seen = reader.look(f"/incidents/{one}")
            need(not reader.wrong, "pages are inert", "\n".join(reader.wrong))
            need(all(words in seen["text"] for words in ("<script>alert(1)</script>", "=cmd|'/c calc'!A1", "${jndi:")), "counsel reads what was written, as it was written")
            need(not canary.asked, "nobody asked the listener", canary.asked)
            complaints = [one for one in browser.complaints() if "the server responded with a status of 4" not in one]
            need(not complaints, "the browser has nothing to complain of", complaints[:5])
            said(f"{reader.pages} pages with attacks: no script, no request elsewhere, no element, no handler, no turned text")
            quiet(shop)
            sealed = len(all_entries(shop))
            started[-1].terminate()
            started[-1].wait(30)
            terminal(shop, sealed)
            analyzed(reader, magewarden, folder, texts)
            need(not canary.asked, "nobody asked the listener", canary.asked)
            verified(magewarden, shop.data)
            said("the terminal, JSON, OCSF and the report are inert, too")
            print(f"1 passed, 0 failed ({len(texts)} attacks; let loose, {control[0]} of 60 ran and {control[1]} requests were made)")
        finally:
            browser.close()


if __name__ == "__main__":
    main()

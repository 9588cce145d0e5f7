#!/usr/bin/env python3
"""Five people work an incident from its first finding to its closing, in a real Chromium; one for another store sees nothing of it.

Usage: handling.py MAGEWARDEN [FOLDER FOR PICTURES]
"""
import base64
import hashlib
import hmac
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

from browser import Browser
from shared import STORES, change_state, end, free_port, need, observations, wait_for

PASSWORD = "correct horse 9 battery"
# Who works here: name, role, where.
PEOPLE = [("ana", "analyst", None), ("lea", "incident_lead", None), ("tom", "auditor", None), ("cora", "counsel", None),
          ("uma", "analyst", "website:second")]


def line(host, store, path, address):
    now = time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime())
    return json.dumps({"time": now, "remote_addr": address, "host": host, "method": "GET", "request_uri": path, "status": 200, "body_bytes_sent": 51,
                       "request_time": 0.1, "http_user_agent": "Mozilla/5.0", "http_referer": "", "cookie_store": store, "http_store": ""}) + "\n"


def code(secret, step):
    key = base64.b32decode(secret.replace(" ", "") + "=" * (-len(secret.replace(" ", "")) % 8))
    mac = hmac.new(key, struct.pack(">Q", step), hashlib.sha1).digest()
    at = mac[-1] & 15
    return f"{(struct.unpack('>I', mac[at:at + 4])[0] & 0x7FFFFFFF) % 1000000:06d}"


class Person:
    """One of them, with a factor whose codes are used once each."""

    def __init__(self, name):
        self.name, self.secret, self.step = name, "", 0

    def next_code(self):
        # One step ahead is allowed; beyond, the clock is waited for.
        step = max(self.step + 1, int(time.time()) // 30)
        wait_for(f"the next code of {self.name}", 65, lambda: int(time.time()) // 30 + 1 >= step)
        self.step = step
        return code(self.secret, step)

    def join(self, browser, link):
        browser.open(link)
        browser.type("input[name=password]", PASSWORD)
        browser.button("Next: the second factor")
        self.secret = browser.text("code.secret")
        browser.type("input[name=code]", self.next_code())
        browser.button("Done")

    def log_in(self, browser, console):
        browser.open(f"{console}/login")
        browser.forget()
        browser.open(f"{console}/login")
        browser.type("input[name=name]", self.name)
        browser.type("input[name=present]", PASSWORD)
        browser.button("Next: the code")
        browser.type("input[name=code]", self.next_code())
        browser.button("Log in")
        need("/login" not in browser.url(), f"{self.name} is logged in", browser.text())


def ask(console, token, path, body=None, key=None):
    """The API: status and answer."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    if key:
        headers["Idempotency-Key"] = key
    request = urllib.request.Request(console + path, data=json.dumps(body).encode() if body is not None else None, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}")


def attach(browser, path, about):
    """Attaches a file by the page's form; a file's field takes its path."""
    one = browser.one("#attachments input[type=file]")
    browser.call("POST", f"/element/{one}/value", {"text": str(path)})
    browser.type("#attachments input[name=about]", about)
    browser.button("Attach")


class Listener(threading.Thread):
    """What a token hears of changes."""

    def __init__(self, console, token):
        super().__init__(daemon=True)
        self.heard = []
        request = urllib.request.Request(f"{console}/api/v1/events", headers={"Authorization": f"Bearer {token}"})
        self.stream = urllib.request.urlopen(request, timeout=300)
        self.start()

    def run(self):
        try:
            for text in self.stream:
                if text.startswith(b"data:"):
                    self.heard.extend(json.loads(text[5:]))
        except (OSError, ValueError):
            pass


def main(magewarden, shots):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="magewarden-console-"))
    data, log, port = folder / "data", folder / "access.log", free_port()
    (folder / "stores.toml").write_text(STORES)
    console, processes, browsers = f"http://127.0.0.1:{port}", [], []

    def run(*arguments):
        out = subprocess.run([magewarden, *arguments, "--data", str(data)], capture_output=True, text=True)
        need(out.returncode == 0, " ".join(arguments), out.stderr)
        return out.stdout

    def start():
        processes.append(subprocess.Popen([magewarden, "up", "--log", str(log), "--stores", str(folder / "stores.toml"), "--data", str(data), "--port", str(port)],
                                          stderr=open(folder / "up.log", "a")))
        wait_for("the console", 30, lambda: "Log in" in plain("/login"))

    def plain(path):
        try:
            with urllib.request.urlopen(console + path, timeout=5) as answer:
                return answer.read().decode()
        except OSError:
            return ""

    def picture(browser, name):
        if shots:
            browser.picture(f"{shots}/{name}.png")

    try:
        log.write_text(line("shop.example.com", "fr", "/checkout?cvv=737&step=1", "198.51.100.7"))
        start()
        links = {}
        for name, role, scope in PEOPLE:
            where = ["--scope", scope] if scope else []
            links[name] = run("accounts", "invite", name, "--role", role, *where, "--address", console).split()[-1]
        all_token = run("accounts", "token", "siem", "--role", "incident_lead").split()[-1]
        us_token = run("accounts", "token", "us-siem", "--role", "analyst", "--scope", "website:second").split()[-1]
        found = lambda: ask(console, all_token, "/api/v1/incidents")[1].get("items", [])
        fr = wait_for("the incident of fr", 30, found)[0]
        hears_us, hears_all = Listener(console, us_token), Listener(console, all_token)

        browser = Browser()
        browsers.append(browser)
        people = {name: Person(name) for name, _, _ in PEOPLE}
        for name, person in people.items():
            person.join(browser, links[name])
        print("five people joined, each with a second factor")

        # Who works for another store: nothing on pages, by address, by API, by events.
        people["uma"].log_in(browser, console)
        need("Nothing to work on" in browser.text(), "nothing burns for uma", browser.text())
        secrets = [fr["id"], fr["title"], "198.51.100.7", "view fr"]
        for path in ["/", "/incidents", "/incidents?state=all", "/incidents?store=fr", "/incidents?q=198", f"/incidents/{fr['id']}", "/entries/0", "/sources", "/modules", "/payment-pages", "/account"]:
            browser.open(console + path)
            shown = browser.html().replace(path, "")
            need(not any(secret in shown for secret in secrets[1:]), f"uma sees nothing of fr at {path}", browser.text())
        for path in ["/api/v1/incidents", "/api/v1/incidents?store=fr", f"/api/v1/incidents/{fr['id']}", f"/api/v1/incidents/{fr['id']}/findings"]:
            told = json.dumps(ask(console, us_token, path)[1])
            need(not any(secret in told for secret in secrets), f"a token for us is told nothing at {path}", told)
        status, told = ask(console, us_token, f"/api/v1/incidents/{fr['id']}/decisions", {"act": "acknowledge", "seen": 0})
        need(status == 404, "a token for us decides nothing in fr", told)
        with open(log, "a") as out:
            out.write(line("us.example.com", "", "/checkout?cvv=123&step=1", "203.0.113.9"))
        seen = lambda: ask(console, us_token, "/api/v1/incidents")[1]["items"]
        us = wait_for("the incident of us", 30, seen)
        need(len(us) == 1 and us[0]["scopes"] == [{"kind": "view", "code": "us"}], "us sees its own", us)
        browser.open(console)
        need(us[0]["title"] in browser.text() and "1 of 1 open incident nobody looks at yet" in browser.text(), "uma sees her own", browser.text())
        picture(browser, "overview-one-store")
        print("who works for one store sees that one alone: pages, API, events")

        # The analyst: looks, suspects, keeps a task, writes; may not declare.
        people["ana"].log_in(browser, console)
        need("2 of 2 open incidents nobody looks at yet" in browser.text(), "ana sees what burns", browser.text())
        picture(browser, "overview")
        page = f"{console}/incidents/{fr['id']}"
        browser.open(page)
        need("view fr" in browser.text() and "for an incident lead" in browser.text(), "who leaks, and what she may not", browser.text())
        picture(browser, "incident-new")
        browser.button("I am looking at it")
        browser.button("Suspect a leak")
        need("suspected" in browser.text("#next"), "it is suspected", browser.text("#next"))
        browser.type("input[name=title]", "Ring the acquirer")
        browser.button("Add", "#tasks")
        browser.type("#remark", "the form of the gateway is sent by GET; seen 4111 1111 1111 1111 in it")
        browser.button("Write")
        remarks = browser.text("#remarks")
        need("**** **** **** 1111" in remarks and "4111" not in remarks, "a pasted number is masked", remarks)
        picture(browser, "incident-suspected")

        # She attaches a list that somebody exported, and watches; a binary with a number in it is refused.
        (folder / "list.csv").write_text("name;card\nAna;5555 5555 5555 4444\n")
        (folder / "export.bin").write_bytes(b"\0\x01 5555555555554444")
        attach(browser, folder / "export.bin", "an export")
        need("where it can't be masked" in browser.text("#next"), "a number that can't be masked is refused", browser.text("#next"))
        attach(browser, folder / "list.csv", "what the gateway was sent")
        files = browser.text("#attachments")
        need("list.csv" in files and "1 place masked" in files and "what the gateway was sent" in files, "the file is listed", files)
        status, told = ask(console, all_token, f"/api/v1/incidents/{fr['id']}/attachments")
        need(status == 200 and told["items"][0]["hash_kind"] == "hmac-sha256", "listed for programs", told)
        kept = f"/api/v1/incidents/{fr['id']}/attachments/{told['items'][0]['entry']}"
        request = urllib.request.Request(console + kept, headers={"Authorization": f"Bearer {all_token}"})
        with urllib.request.urlopen(request, timeout=15) as answer:
            need(answer.read() == b"name;card\nAna;**** **** **** 4444\n", "it is kept masked")
            need(answer.headers["Content-Disposition"].startswith("attachment;"), "to be saved, not shown", answer.headers)
        need(ask(console, us_token, kept)[0] == 404, "for us it isn't there")
        picture(browser, "incident-attached")
        browser.button("Watch")

        # Counsel writes what nobody else sees.
        secret = "privileged: we may have been told on the 3rd"
        people["cora"].log_in(browser, console)
        browser.open(page)
        browser.type("#note", secret)
        browser.button("Write for counsel")
        need(secret in browser.text("#counsel"), "counsel reads it", browser.text("#counsel"))
        picture(browser, "incident-counsel")
        address = f"/api/v1/incidents/{fr['id']}/counsel-notes"
        need(ask(console, all_token, address)[0] == 403, "a lead's token reads no note")
        for path in [f"/api/v1/incidents/{fr['id']}", f"/api/v1/incidents/{fr['id']}/findings", "/api/v1/incidents"]:
            told = json.dumps(ask(console, all_token, path)[1])
            need("privileged" not in told and "counsel" not in told, f"nothing of it at {path}", told)

        # The auditor reads, and has nothing to press.
        people["tom"].log_in(browser, console)
        browser.open(page)
        need(not browser.all("main form button"), "an auditor has no buttons", browser.text())
        need("suspected" in browser.text("#record"), "an auditor reads who decided what", browser.text("#record"))
        need("list.csv" in browser.text("#attachments"), "and what was attached", browser.text("#attachments"))
        need("privileged" not in browser.html() and not browser.all("#counsel"), "and nothing of counsel's", browser.text())

        # The lead: declares, contains … and can't close while anything is open.
        people["lea"].log_in(browser, console)
        browser.open(page)
        for words in ["Declare", "Contained", "Eradicated", "Recovered"]:
            browser.button(words)
        browser.type("#why", "done, as far as I know")
        browser.button("Close")
        refused = browser.text("#next")
        need("is empty: fill it before closing" in refused, "it isn't closed with empty stages", refused)
        need(browser.run("return document.querySelector('#why').value;") == "done, as far as I know", "what was typed is still there")
        picture(browser, "incident-refused")
        stages = browser.run("return [...document.querySelectorAll('.stages details')].map((one) => one.id);")
        for stage in stages:
            # At once: a page that renews itself leaves alone what somebody began to fill.
            fill = ("document.getElementById(arguments[0]).open = true;"
                    "for (const field of document.querySelectorAll('#' + arguments[0] + ' form [name^=field-]'))"
                    " field.tagName === 'SELECT' ? field.selectedIndex = 1 : field.value = field.type === 'date' ? '2026-11-01' : 'as the runbook has it';")
            browser.run(fill, stage)
            browser.button("Fill this stage", f"#{stage}")
            need("Not done" not in browser.text("#next"), f"{stage} is filled", browser.text("#next"))
        browser.type("#why", "done")
        browser.button("Close")
        need("task(s) are open" in browser.text("#next"), "nor with an open task", browser.text("#next"))
        browser.button("Done", "#tasks")
        browser.type("#why", "the form is sent by POST now")
        browser.button("Close")
        need("closed" in browser.text("#next"), "it is closed", browser.text("#next"))
        picture(browser, "incident-closed")
        print("walked from the first finding to closing, which was refused while stages and a task were open")

        # Who watches is told of it, until she looks.
        people["ana"].log_in(browser, console)
        news = browser.text("#news")
        need("lea: moved it to closed" in news and "privileged" not in news, "ana is told what lea did", news)
        picture(browser, "overview-news")
        browser.open(page)
        browser.open(console)
        need(not browser.all("#news"), "what she looked at isn't new", browser.text())

        # By API: a decision told twice counts once, and somebody else's change isn't overwritten.
        ask_us = lambda body, key=None: ask(console, all_token, f"/api/v1/incidents/{us[0]['id']}/decisions", body, key)
        first, again = (ask_us({"act": "move", "to": "suspected", "seen": 0}, "one") for _ in range(2))
        need(first[0] == 200 and first == again, "told twice, it counts once", (first, again))
        late = ask_us({"act": "move", "to": "false_positive", "reason": "scanner", "seen": 0})
        need(late[0] == 409 and "meanwhile" in late[1]["detail"], "what somebody changed isn't overwritten", late)
        wait_for("the news of us", 15, lambda: any(one["state"] == "suspected" for one in hears_us.heard))
        need({one["id"] for one in hears_us.heard} == {us[0]["id"]}, "events for us tell of us alone", hears_us.heard)
        need(fr["id"] in {one["id"] for one in hears_all.heard}, "events for all tell of fr", hears_all.heard)

        # Answers that refuse are the test's own doing; scripts that fail and what the policy stops would not be.
        complaints = [one for one in browser.complaints() if "the server responded with a status of 4" not in one]
        need(not complaints, "the browser has nothing to complain of", complaints)
        browser.open(f"{console}/logout")

        # All of it is in the ledger, and a kill loses none.
        processes[-1].send_signal(signal.SIGKILL)
        processes[-1].wait()
        start()
        status, told = ask(console, all_token, f"/api/v1/incidents/{fr['id']}")
        need(status == 200 and told["state"] == "closed" and told["measures_seconds"]["time_to_contain"] is not None, "closed after a kill", told)
        sealed = observations(magewarden, data, "magewarden:people")
        acts = [one["decision"]["act"] for one in sealed if one["what"] == "decision"]
        need(len(acts) == told["version"] + 1, "each decision is an entry", (acts, told["version"]))
        readers = {one["read"]["by"]["name"] for one in sealed if one["what"] == "read"}
        need({"ana", "lea", "tom"} <= readers and "uma" not in {one["read"]["by"]["name"] for one in sealed if one["what"] == "read" and 0 in one["read"]["entries"]}, "who read evidence is sealed", readers)
        logged = {one["event"]["account"] for one in sealed if one["what"] == "access" and one["event"]["access"] == "logged_in"}
        need({"ana", "lea", "tom", "uma"} <= logged, "who logged in is sealed", logged)
        notes = observations(magewarden, data, "magewarden:counsel")
        need([one["what"] for one in notes] == ["counsel_note"] and secret not in json.dumps(notes), "a note's entry tells that there is one", notes)
        holds = [path for path in data.rglob("*") if path.is_file() and any(word in path.read_bytes() for word in (secret.encode(), b"5555 5555 5555 4444"))]
        need(not holds, "neither the note nor the number lies on the disk", holds)
        need((data / "keys" / "counsel.key").stat().st_mode & 0o777 == 0o600, "its key is the service's alone")
        verified = subprocess.run([magewarden, "verify", str(data / "ledger")], capture_output=True, text=True)
        need(verified.returncode == 0, "the ledger verifies", verified.stdout + verified.stderr)
        # Somebody's hand in the database: named, and made again from the ledger.
        doctor = lambda *more: subprocess.run([magewarden, "doctor", "--data", str(data), *more], capture_output=True, text=True)
        wait_for("rows that fit, beside a running magewarden", 20, lambda: doctor().returncode == 0)
        processes[-1].terminate()
        processes[-1].wait()
        change_state(data, f"UPDATE handling SET body = replace(body, 'closed', 'signal') WHERE incident = '{fr['id']}'")
        found = doctor()
        need(found.returncode == 10 and f"handling {fr['id']} differs" in found.stdout, "a changed row is named", found.stdout + found.stderr)
        need(doctor("--rebuild").returncode == 0, "it is emptied")
        start()
        status, told = ask(console, all_token, f"/api/v1/incidents/{fr['id']}")
        need(status == 200 and told["state"] == "closed", "made again from the ledger, and people's tokens stay", told)
        wait_for("rows that fit again", 20, lambda: doctor().returncode == 0)
        print(f"sealed: {len(acts)} decisions, readings of {', '.join(sorted(readers))}; found again after a kill")
    finally:
        for browser in browsers:
            browser.close()
        if "KEEP" in os.environ:
            print(folder)
        end(processes, folder)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
    print("handling: passed")

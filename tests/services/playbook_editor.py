#!/usr/bin/env python3
"""Own playbooks on the console, by a real browser: copied, edited, broken and mended, brought in, taken along, planned with.

usage: playbook_editor.py MAGEWARDEN [FOLDER]

A lead makes a copy of a shipped playbook, moves a step before what keeps its evidence, is told why that isn't saved, moves it back, puts
a step in and saves. What is exported and imported again is the same, byte by byte. Somebody who edits an older version is told who was
first; an analyst can't save; a program does all of it by the API. A plan of an own playbook is asked for; who saved the playbook doesn't
let it be carried out alone. Killed and started again all is there, and the ledger verifies. With FOLDER, pictures of the pages are kept.
"""
import http.client
import json
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.parse

from access import log_in
from browser import Browser
from console import Person
from handling import STORES, line
from shared import free_port, host_of, need, stage, verified, wait_for

SHOWN = ["/playbooks", "/playbooks/database-account-stolen", "/playbooks/stray-card-data", "/playbooks/our-shell/edit"]


class Console:
    """magewarden on a folder, and who works there."""

    def __init__(self, magewarden, folder, started):
        self.magewarden, self.folder, self.started = magewarden, folder, started
        self.data, self.port, self.agents = folder / "data", free_port(), free_port()
        (folder / "stores.toml").write_text(STORES)
        (folder / "access.log").write_text(line("shop.example.com", "fr", "/checkout?cvv=737&step=1", "198.51.100.7"))
        self.up()

    def up(self):
        words = ["--log", str(self.folder / "access.log"), "--stores", str(self.folder / "stores.toml"), "--data", str(self.data), "--port", str(self.port), "--agents", f"127.0.0.1:{self.agents}"]
        self.running = subprocess.Popen([str(self.magewarden), "up", *words], stderr=open(self.folder / "up.err", "a"))
        self.started.append(self.running)

    def killed(self):
        self.running.send_signal(signal.SIGKILL)
        self.running.wait(20)
        self.up()

    def invited(self, name, role):
        def there():
            try:
                return Person(self.port, name, roles=(role,))
            except OSError:
                return None

        return wait_for(name, 60, there)

    def ask(self, method, path, token, body=None, **query):
        """As a program."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        if query:
            path += "?" + urllib.parse.urlencode(query)
        link.request(method, path, body, {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        answer = link.getresponse()
        text = answer.read().decode()
        return answer.status, text

    def token(self, role):
        words = ["accounts", "token", f"of-{role}", "--role", role, "--expires", "1d", "--data", str(self.data)]
        return subprocess.run([str(self.magewarden), *words], capture_output=True, text=True, check=True).stdout.strip()


def step_button(browser, step, words):
    """Presses a button at a step of the editor, and waits for the page it leads to."""
    find = ("const step = [...document.querySelectorAll('.editor details')].find((one) => one.querySelector('strong').innerText === arguments[0]);"
            "if (!step) return false; step.open = true; window.before = true;"
            "[...step.querySelectorAll('button')].find((one) => one.innerText === arguments[1]).click(); return true;")
    need(browser.run(find, step, words), f"there is a step “{step}”", browser.text()[:3000])
    wait_for(f"the page behind “{words}”", 20, lambda: browser.run("return window.before === undefined && document.readyState === 'complete';"))


def edits(console, browser, lea):
    """Copied, broken, mended, saved."""
    browser.open(f"http://127.0.0.1:{console.port}/playbooks/web-shell")
    browser.type("#as", "our-shell")
    browser.button("Make a copy")
    need("This is a draft" in browser.text(), "a copy is a draft", browser.text()[:500])
    moves = 0
    while "can't be kept after it" not in browser.text("#faults"):
        step_button(browser, "Move the file away", "Move up")
        moves += 1
        need(moves < 8, "a law is broken by moving it up", browser.text()[:3000])
    need("“Move the file away”" in browser.text("#steps") or "Move the file away" in browser.text("#faults"), "it says which step", browser.text("#faults"))
    browser.button("Save it")
    need("nothing was saved" in browser.text(".fault"), "what breaks a law isn't saved", browser.text()[:800])
    need(lea.get("/playbooks/our-shell")[0] == 404, "it isn't there")
    for _ in range(moves):
        step_button(browser, "Move the file away", "Move down")
    need("Nothing keeps it" in browser.text("#faults"), "moved back it is sound", browser.text("#faults"))
    step_button(browser, "Look for more", "Add a step after it")
    need("New step" in browser.text("#steps"), "a step is put in", browser.text("#steps")[:2000])
    field = browser.run("const step = [...document.querySelectorAll('.editor details')].find((one) => one.querySelector('strong').innerText === 'New step'); step.open = true; return '#' + step.querySelector('input').id;")
    browser.type(field, "Ring the <b>host</b>er")
    browser.run("for (const one of document.querySelectorAll('[name=note]')) one.value = 'as we do it';")
    browser.button("Save it")
    need(browser.url().endswith("/playbooks/our-shell"), "saved, its page is shown", browser.url())
    text = browser.text()
    need("Ring the <b>host</b>er" in text and "Saved by Lea" in text and "as we do it" in text, "it says who saved what", text[:1500])


def page_of(console, browser, path):
    browser.open(f"http://127.0.0.1:{console.port}{path}")
    return browser.text()


def brings(console, browser, lea):
    """What is taken along and brought in again is the same."""
    status, text = lea.get("/playbooks/our-shell.json")
    need(status == 200, "it is exported", status)
    document = json.loads(text)
    document["id"] = "playbook--7d1f0b1c-43f7-4f0e-8a64-2f9b6a1d3c55"
    status, shown = lea.get("/playbooks/web-shell.json")
    command = subprocess.run([str(console.magewarden), "playbooks", "show", "web-shell", "--json"], capture_output=True, text=True, check=True).stdout
    need(status == 200 and shown == command, "it is exported as the command gives it")
    # As another tool writes it: keys in another order, without lines.
    (console.folder / "theirs.json").write_text(json.dumps(dict(reversed(document.items()))))
    browser.open(f"http://127.0.0.1:{console.port}/playbooks")
    browser.type("#import-name", "from-elsewhere")
    one = browser.one("#import-file")
    browser.call("POST", f"/element/{one}/value", {"text": str(console.folder / "theirs.json")})
    browser.button("Look it through")
    need("Nothing keeps it" in browser.text("#faults"), "it is looked through", browser.text("#faults"))
    browser.button("Save the text")
    first = lea.get("/playbooks/from-elsewhere.json")[1]
    need(json.loads(first) == document, "nothing of it is lost")
    browser.open(f"http://127.0.0.1:{console.port}/playbooks/from-elsewhere/edit")
    browser.button("Save it")
    need(lea.get("/playbooks/from-elsewhere.json")[1] == first, "saved again unchanged it is the same, byte by byte")
    browser.open(f"http://127.0.0.1:{console.port}/playbooks")
    browser.type("#import-name", "broken")
    browser.type("#import-text", '{"type": "playbook", "type": "x"}')
    browser.button("Look it through")
    need("line 1" in browser.text(".fault"), "what is no document says where", browser.text()[:500])


def by_program(console):
    """The same by the API."""
    token, viewer = console.token("incident_lead"), console.token("analyst")
    status, text = console.ask("GET", "/api/v1/playbooks/our-shell", token)
    told = json.loads(text)
    need(status == 200 and told["version"] > 0 and told["own"]["by"] == "Lea", "it is told by API", text[:300])
    document = told["document"]
    document["name"] = "By a program"
    body = json.dumps(document)
    need(console.ask("PUT", "/api/v1/playbooks/our-shell", viewer, body, seen=told["version"])[0] == 403, "an analyst's token doesn't save")
    status, text = console.ask("PUT", "/api/v1/playbooks/our-shell", token, body, seen=0)
    need(status == 409 and "Lea saved it" in text, "an older version is refused, with who was first", (status, text))
    status, text = console.ask("PUT", "/api/v1/playbooks/our-shell", token, body, seen=told["version"], note="by hand")
    need(status == 200, "it is saved", (status, text))
    broken = json.loads(body)
    del broken["workflow"][next(id for id in broken["workflow"] if id.startswith("end"))]
    status, text = console.ask("PUT", "/api/v1/playbooks/our-shell", token, json.dumps(broken), seen=json.loads(text)["entry"])
    need(status == 422 and all(one["path"] and one["hint"] for one in json.loads(text)["problems"]), "what is wrong is told with its place", (status, text[:300]))
    for body in ("", "[]", "{", "[" * 5000, '{"a":1,"a":2}'):
        need(console.ask("PUT", "/api/v1/playbooks/x", token, body, seen=0)[0] in (400, 422), "hostile bodies are refused", body[:20])
    # A body larger than is read: the answer may come before all of it was sent.
    try:
        status = console.ask("PUT", "/api/v1/playbooks/x", token, " " * (3 << 20), seen=0)[0]
        need(status == 413, "a body has a limit", status)
    except OSError:
        pass


def plans(console, lea, pat, incident):
    """Who saved a playbook doesn't let it be carried out alone."""
    path = f"{incident}/plans/our-shell?v.__file__=pub/media/x.php&v.__network__=203.0.113.9"
    # As Lea saved it.
    text = lea.get(path)[1]
    need("Ring the &#60;b&#62;host" in text, "the plan has the step that was put in", text[-3000:])
    need("You saved this playbook" in text and "Carry it out" not in text, "she doesn't decide it alone", text[-2500:])
    hidden = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', text))
    status, headers, shown = lea.post(path.split("?")[0], host="shop1", note="the shell is there", **{name: value for name, value in hidden.items() if name != "csrf"})
    need(status == 303, "a plan is asked for", (status, shown[-1500:]))
    run = headers["Location"]
    need("one more person has to approve" in lea.get(run)[1], "it waits for somebody else", lea.get(run)[1][:3000])
    need("Approve it" in pat.get(run)[1], "an approver may")
    return run


def pictures(console, lea, folder, more):
    for dark, width in ((False, 1280), (True, 1280), (False, 390), (True, 390)):
        browser = Browser(width=max(width, 500), dark=dark)
        try:
            if width < 500:
                metrics = {"width": width, "height": 844, "deviceScaleFactor": 2, "mobile": True}
                browser.call("POST", "/goog/cdp/execute", {"cmd": "Emulation.setDeviceMetricsOverride", "params": metrics})
            log_in(browser, console.port, lea)
            for path in [*SHOWN, *more]:
                browser.open(f"http://127.0.0.1:{console.port}{path}")
                name = re.sub(r"[^a-z0-9]+", "-", path.split("?")[0].strip("/"))
                browser.picture(folder / f"{name}-{'dark' if dark else 'light'}-{width}.png")
        finally:
            browser.close()


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("playbook-editor") as (started, folder):
        console = Console(magewarden, folder, started)
        lea, pat, ana = (console.invited(name, role) for name, role in (("lea", "incident_lead"), ("pat", "approver"), ("ana", "analyst")))
        found = lambda: re.findall(r'href="(/incidents/[0-9a-f]+)"', lea.get("/incidents")[1])
        incident = wait_for("an incident", 60, found)[0]
        host_of(magewarden, console.data, folder, console.agents, started)
        wait_for("the host", 60, lambda: "shop1" in lea.get("/runs")[1])
        browser = Browser()
        try:
            log_in(browser, console.port, lea)
            edits(console, browser, lea)
            brings(console, browser, lea)
            need("don't let you write" in ana.get("/playbooks")[1] and "Save it" not in ana.get("/playbooks/web-shell/edit")[1], "an analyst reads, and doesn't save")
            run = plans(console, lea, pat, incident)
            if len(sys.argv) > 2:
                pictures(console, lea, pathlib.Path(sys.argv[2]), [f"{incident}/plans/our-shell?v.__file__=pub/media/x.php&v.__network__=203.0.113.9", run])
            by_program(console)
            need("“by hand”" in page_of(console, browser, "/playbooks/our-shell"), "a program's note is shown")
            # The form of the page that was open meanwhile.
            before = lea.get("/playbooks/our-shell.json")[1]
            console.killed()
            wait_for("the console again", 60, lambda: started[-1].poll() is None and answers(console, lea))
            need(lea.get("/playbooks/our-shell.json")[1] == before, "killed and started again it is as it was saved")
            need("By a program" in lea.get(f"{incident}/plans/our-shell")[1], "and planned with")
            page_of(console, browser, "/playbooks/our-shell")
            browser.button("Give it up")
            need("no such playbook" in page_of(console, browser, "/playbooks/our-shell"), "given up it is gone")
            need("New step" not in lea.get(run)[1] and "Ring the" in lea.get(run)[1], "what was asked for stays as it was asked for")
            # That something isn't there, or isn't saved, is no page's fault.
            complaints = [one for one in browser.complaints() if "Failed to load resource" not in one]
            need(not complaints, "the browser has nothing to complain of", complaints)
        finally:
            browser.close()
        time.sleep(1)
        console.running.terminate()
        console.running.wait(30)
        verified(magewarden, console.data)
        print("1 passed, 0 failed (copied, broken, mended, saved, brought in, taken along, planned with, given up)")


def answers(console, person):
    try:
        return person.get("/playbooks")[0] == 200
    except OSError:
        return False


if __name__ == "__main__":
    main()

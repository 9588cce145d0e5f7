#!/usr/bin/env python3
"""A plan from the console to the host of a real shop and back: asked for, approved, carried out by the host's agent, undone.

usage: console_runs.py MAGEWARDEN

Starts the stand-in shop (nginx, php-fpm, MariaDB, Redis), a server that reads its log, and the shop's agent. A web shell is dropped and used; an analyst asks for
the plan on the incident's page, the same person can't approve it, an approver does, and the agent carries it out: the attack fails,
every line that the host wrote down is sealed once. Then the server is killed in the middle of a run and comes back, the host's
administrator undoes a run with the server gone, a plan beyond the host's policy is refused with the reason on the page, a frozen host
does nothing, a forged order is refused, a step that nobody answers counts as failed in time, and what is set to be done without a person is done within the time of a finding.
"""
import hashlib
import html
import http.client
import json
import pathlib
import re
import signal
import subprocess
import sys
import time
import urllib.parse

from console import Accounts, Person
from contain import HOSTS_OF, Checkouts
from contain_runs import Runs, drop, is_open, shop_as_it_is
from contain_time import asks_first
from guard import MARK, guarding
from shared import free_port, need, page, stage, verified, wait_for
from shop import Shop

ATTACKER = "127.0.0.99"
POLICY = """
actions = ["keep_evidence", "hold_retention", "block_network", "block_route", "quarantine_file", "deny_php", "deactivate_administrator"]
automatic = true
[never]
networks = ["127.0.0.8"]
"""


class Somebody(Person):
    """With the API by their session."""

    def __init__(self, port, name, role):
        super().__init__(port, name, roles=(role,))

    def api(self, path):
        status, text = self.get(path)
        need(status == 200, f"{path}: {status}", text[-2000:])
        return json.loads(text)

    def download(self, path):
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        link.request("GET", path, headers={"Cookie": self.cookie})
        answer = link.getresponse()
        return answer.status, answer.read()


def status_from(shop, address):
    """What the shop answers an address of this machine."""
    link = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=20, source_address=(address, 0))
    link.request("GET", "/", headers={"Host": f"de.shop.test:{shop.port}"})
    return link.getresponse().status


class Scene(Runs):
    """A shop with its agent, and the server it reports to."""

    def __init__(self, magewarden, shop, started):
        super().__init__(magewarden, shop)
        self.started, self.port, self.agents = started, free_port(), free_port()
        self.data, self.log = self.folder / "data", self.folder / "web.log"
        self.log.write_text("")
        (self.folder / "policy.toml").write_text(POLICY)
        (self.folder / "settings.toml").write_text(f'agents = "127.0.0.1:{self.agents}"\n')
        self.up()
        word = self.agent("invite", "shop1", "--data", self.data).strip()
        self.agent("enrol", "--server", f"https://127.0.0.1:{self.agents}", "--invitation", word, "--data", self.folder / "ours")

    def up(self):
        with open(self.folder / "up.err", "a") as err:
            self.server_process = subprocess.Popen(
                [str(self.magewarden), "up", "--data", str(self.data), "--log", str(self.log), "--stores", str(self.folder / "stores.toml"), "--config", str(self.folder / "settings.toml"),
                 "--port", str(self.port)], stdout=subprocess.DEVNULL, stderr=err)
        self.started.append(self.server_process)
        wait_for("the console", 60, lambda: "<main" in page(self.port))

    def kill(self):
        self.server_process.send_signal(signal.SIGKILL)
        self.server_process.wait(20)

    def agent(self, *words, code=0):
        done = subprocess.run([str(self.magewarden), "agent", *map(str, words)], capture_output=True, text=True, timeout=60)
        need(done.returncode == code, f"agent {' '.join(map(str, words))}: {done.returncode}", done.stdout + done.stderr)
        return done.stdout + done.stderr

    def run_agent(self):
        err = open(self.folder / "agent.err", "a")
        on = ["--host", str(self.folder / "host.toml"), "--stores", str(self.folder / "stores.toml"), "--policy", str(self.folder / "policy.toml"), "--data", str(self.folder / "ours")]
        process = subprocess.Popen([str(self.magewarden), "agent", "run", *on], stdout=subprocess.DEVNULL, stderr=err)
        self.started.append(process)
        return process

    def alone(self, run):
        """With the server gone: what the run waits for is said on the host, as `runs` has it."""
        for _ in range(30):
            time.sleep(1)
            waits = self.show(run)["waits"]
            if waits is None and all("not begun" not in step["state"] for step in self.show(run)["steps"]):
                return
            if waits:
                done = subprocess.run(self.words("say", run, "yes" if waits.startswith("asks") else "done", "--note", "by hand"), capture_output=True, text=True, timeout=60)
                need(done.returncode in (0, 1, 10), "said", done.stderr)

    def attack(self, address=ATTACKER, file="x.php"):
        """A web shell is asked, as the web server's log has it."""
        now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        with open(self.log, "a") as log:
            for word in ("id", "ls", "cat"):
                log.write(f'{address} - - [{now}] "POST /media/{file}?cmd={word} HTTP/1.1" 200 512 "-" "curl/8.5"\n')

    def incident(self, person):
        """The incident that names the address, once there is one."""
        found = []

        def look():
            found[:] = [one["id"] for one in person.api("/api/v1/incidents")["items"] if one["state"] not in ("closed", "merged")]
            return found

        wait_for("an incident", 30, look)
        return found[-1]


def fields_of(text):
    """Hidden fields of the first form that posts."""
    form = re.search(r'<form method="post" action="/(?:incidents/[^"]*/plans|runs)/.*?</form>', text, re.S)
    need(form, "a form to post", text[-3000:])
    hidden = re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form.group(0))
    return {name: html.unescape(value) for name, value in hidden if name != "csrf"}


def propose(person, incident, note="the shell is there", host="shop1", playbook="web-shell", **values):
    """As the page of the plan has it."""
    asked = urllib.parse.urlencode({f"v.__{name}__": value for name, value in values.items()})
    status, text = person.get(f"/incidents/{incident}/plans/{playbook}?{asked}")
    need(status == 200 and "What would be done, in this order" in text, "the plan is shown", text[-3000:])
    status, headers, text = person.post(f"/incidents/{incident}/plans/{playbook}", **fields_of(text), host=host, note=note)
    need(status == 303, f"asked for: {status}", text[-3000:])
    return headers["Location"].removeprefix("/runs/")


def say(person, run, ask, note="", code=303):
    _, text = person.get(f"/runs/{run}")
    known = fields_of(text) if 'name="hash"' in text else {"seen": "0", "hash": "", "key": ask}
    status, _, text = person.post(f"/runs/{run}", **known, ask=ask, note=note)
    need(status == code or isinstance(code, tuple) and status in code, f"{ask}: {status}", text[-3000:])
    return text


def told(person, run):
    return person.api(f"/api/v1/runs/{run}")


def to_its_end(person, run, stage="in effect"):
    """Says what a person would, until the run is where it should be."""
    until = time.monotonic() + 90
    while (now := told(person, run))["stage"] != stage and time.monotonic() < until:
        if now["stage"] == "waits":
            say(person, run, "yes" if "yes" in now["takes"] else "done", "by hand")
            wait_for("the host to hear of it", 30, lambda: told(person, run)["version"] != now["version"])
        time.sleep(0.3)
    need(now["stage"] == stage, f"the run's end: {now['stage']}", json.dumps(now["steps"], indent=1)[-4000:])
    return now


def by_two_people(scene, shop, people):
    """Asked for by one, approved by another, carried out, undone."""
    analyst, approver, lead = people
    drop(shop)
    before = shop_as_it_is(scene, shop)
    need(is_open(shop), "the attack works before")
    scene.attack()
    incident = scene.incident(analyst)
    status, text = analyst.get(f"/incidents/{incident}")
    need("/plans/web-shell" in text, "the incident names the playbook", text[-3000:])
    run = propose(analyst, incident, file="pub/media/x.php", network=ATTACKER)
    say(analyst, run, "approve", code=403)
    time.sleep(2)
    need(is_open(shop) and told(analyst, run)["stage"] == "asked for", "nothing is done before it is approved")
    with Checkouts(shop, [(host, view) for view, host in HOSTS_OF.items()]) as buyers:
        begun = time.monotonic()
        say(approver, run, "approve")
        wait_for("the host's first word", 30, lambda: told(analyst, run)["version"] > 1)
        took = time.monotonic() - begun
        to_its_end(lead, run)
        need(not is_open(shop), "the attack fails")
    need(buyers.bought and not buyers.lost, f"checkouts of every view pass ({buyers.bought} did)", buyers.lost[:5])
    lines = (scene.folder / "ours" / "runs" / f"{run}.ndjson").read_text().splitlines()
    now = told(lead, run)
    need(now["version"] == len(lines) == len(now["told"]) == len(set(now["told"])), "every line of the host is sealed once", (now["version"], len(lines), now["told"]))
    status, text = analyst.get(f"/entries/{now['told'][0]}")
    need(status == 200 and "web" in text.lower(), "and can be read")
    handed_over(scene, lead, run)
    say(lead, run, "undo", "a rehearsal")
    to_its_end(lead, run, "undone")
    need(shop_as_it_is(scene, shop) == before and is_open(shop), "undone, all is as before to the byte")
    return incident, took


def handed_over(scene, person, run):
    """Every piece of evidence that the host kept is at the console, byte for byte, and no step that changes evidence was begun before that it was kept was sealed."""
    pieces = lambda: [(step, piece) for step in told(person, run)["steps"] for piece in step["evidence"] or [] if piece["bytes"]]
    wait_for("the evidence", 60, lambda: pieces() and all(piece["entry"] for _, piece in pieces()))
    folder = scene.folder / "ours" / "evidence" / run
    files = {hashlib.sha256(file.read_bytes()).hexdigest(): file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.stat().st_size}
    need({piece["hash"] for _, piece in pieces()} == set(files), "all that the host has", (sorted(files), pieces()))
    for step, piece in pieces():
        status, content = person.download(f"/runs/{run}/evidence/{piece['hash']}")
        need(status == 200 and content == files[piece["hash"]], f"{piece['name']} of step {step['step']} byte for byte", status)
    steps = told(person, run)["steps"]
    need(not any(step["unsealed"] for step in steps), "what was kept was sealed before anything changed it", steps)
    _, text = person.get(f"/runs/{run}")
    need(f"/runs/{run}/evidence/" in text and "on the host alone" not in text, "and the page leads to it", text[-3000:])


def through_ends(scene, shop, lead, incident):
    """The server killed in the middle, the agent killed in the middle, the administrator with the server gone."""
    before = shop_as_it_is(scene, shop)
    # Others may look into the folder of holds: the run stops at its first step.
    scene.hold.chmod(0o755)
    run = propose(lead, incident, file="pub/media/x.php", network=ATTACKER)
    wait_for("it waits", 30, lambda: told(lead, run)["stage"] == "waits")
    need("for it alone (0700)" in json.dumps(told(lead, run)) and is_open(shop), "it says why, and nothing else is done", told(lead, run))
    scene.hold.chmod(0o700)
    say(lead, run, "done", "by hand")
    scene.kill()
    journal = scene.folder / "ours" / "runs" / f"{run}.ndjson"
    on = ["--host", scene.folder / "host.toml", "--stores", scene.folder / "stores.toml", "--data", scene.folder / "ours"]
    scene.alone(run)
    need(not is_open(shop), "with the server gone, the host's administrator lets it go on")
    # With the server gone, the administrator undoes it on the host.
    process = scene.agents_process
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    scene.agent("undo", run, "--why", "the server is gone", "--by", "ann", *on)
    need(shop_as_it_is(scene, shop) == before, "undone on the host, all is as before")
    scene.agents_process = scene.run_agent()
    time.sleep(1)
    scene.up()
    wait_for("what was done meanwhile is told", 60, lambda: told(lead, run)["stage"] == "undone")
    lines = journal.read_text().splitlines()
    now = told(lead, run)
    need(now["version"] == len(lines) == len(set(now["told"])), "each line once", (now["version"], len(lines), now["told"]))
    _, text = lead.get(f"/runs/{run}")
    need("the server is gone" in json.dumps(now) or "undone" in text, "and the page says so")


def refused(scene, shop, lead, incident):
    """What the host won't: beyond its policy, what is never to be touched, an order that was forged."""
    before = shop_as_it_is(scene, shop)
    run = propose(lead, incident, file="pub/media/x.php", network="127.0.0.8")
    wait_for("the refusal", 30, lambda: told(lead, run)["stage"] == "refused")
    _, text = lead.get(f"/runs/{run}")
    need("never to be touched" in text and "127.0.0.8" in text, "the page says why", text[-3000:])
    scene.agent("freeze", "--why", "who does this?", "--by", "ann", "--data", scene.folder / "ours")
    wait_for("the page shows it", 40, lambda: "who does this?" in lead.get("/runs")[1])
    run = propose(lead, incident, file="pub/media/x.php", network=ATTACKER)
    time.sleep(4)
    need(shop_as_it_is(scene, shop) == before, "a frozen host does nothing")
    scene.agent("thaw", "--data", scene.folder / "ours")
    to_its_end(lead, run)
    say(lead, run, "undo", "over")
    to_its_end(lead, run, "undone")
    need(shop_as_it_is(scene, shop) == before, "all is as before")


def by_the_guard(scene, shop, lead, incident):
    """An address is refused that all customers come by: the file is moved away, then the guard has the refusal undone, since nothing leaks any more."""
    before = shop_as_it_is(scene, shop)
    process = scene.agents_process
    process.terminate()
    process.wait(30)
    settings = scene.folder / "host.toml"
    settings.write_text(settings.read_text() + guarding(10))
    scene.agents_process = scene.run_agent()
    log = shop.folder / "access.log"
    wait_for("a look at the last of the stores", 60, lambda: any(MARK in line and "/rest/us/" in line and "payment-methods" in line for line in log.read_text().splitlines()))
    time.sleep(1)
    run = propose(lead, incident, file="pub/media/x.php", network="127.0.0.1")
    step = lambda: next(one for one in told(lead, run)["steps"] if one["planned"]["name"] == "Refuse the address")
    until = time.monotonic() + 120
    while not (step()["unwound"] and told(lead, run)["stage"] == "waits") and time.monotonic() < until:
        now = told(lead, run)
        # What a person would, but for the guard's own question, which is the one that takes a yes and no no.
        if now["stage"] == "waits" and ("no" in now["takes"] or "yes" not in now["takes"]):
            say(lead, run, "yes" if "yes" in now["takes"] else "done", "by hand")
            wait_for("the host to hear of it", 30, lambda: told(lead, run)["version"] != now["version"])
        time.sleep(0.3)
    now = told(lead, run)
    need(step()["unwound"] and "no longer sells" in step()["unwound"], "the guard had it undone", json.dumps(now, indent=1)[-6000:])
    need(not is_open(shop) and shop.ask("de.shop.test", "/")[0] == 200, "customers are let in, and the attack still fails")
    wait_for("the page says so", 60, lambda: all(words in lead.get(f"/runs/{run}")[1] for words in ("since then de sells", "by the guard, since the view")))
    lines = [json.loads(line) for line in (scene.folder / "ours" / "runs" / f"{run}.ndjson").read_text().splitlines()]
    at = {one["what"]: one["at"] for one in lines if one.get("step") == step()["step"] - 1}
    took = (at["undone"] - at["done"]) / 1e6
    need(took <= 30, f"undone within half a minute of the step ({took:.1f} s)", at)
    say(lead, run, "undo", "over")
    to_its_end(lead, run, "undone")
    need(shop_as_it_is(scene, shop) == before and is_open(shop), "all is as before")
    return took


def saved(scene, name, document):
    """A playbook of our own; a program saves it."""
    token = Accounts(scene.port).run("token", f"of-{name}", "--role", "incident_lead", "--expires", "1d")
    link = http.client.HTTPConnection("127.0.0.1", scene.port, timeout=20)
    link.request("PUT", f"/api/v1/playbooks/{name}?seen=0", json.dumps(document), {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
    answer = link.getresponse()
    need(answer.status in (200, 201), "it is saved", answer.read())


def unanswered(scene, shop, lead, incident):
    """A step for a person that nobody does: the page says until when, and then the host goes the way that the playbook has for that."""
    saved(scene, "our-ask", asks_first(scene.magewarden, 15_000) | {"id": "playbook--9e0f0a56-3c51-4d7c-8a4e-6f5c1d2b7a33"})
    run = propose(lead, incident, playbook="our-ask", network="127.0.0.95")
    wait_for("the host waits for a person", 30, lambda: told(lead, run)["stage"] == "waits")
    need(told(lead, run)["waits_until"], "the API says until when", told(lead, run))
    _, text = lead.get(f"/runs/{run}")
    need("not answered by then, it counts as failed" in text and "begins: step 2 “Refuse the address”" in text, "so does the page, and what comes then", text[:4000])
    need(status_from(shop, "127.0.0.95") == 200, "until then nothing is done")
    wait_for("the address is refused", 40, lambda: status_from(shop, "127.0.0.95") == 403)
    wait_for("the console hears of it", 30, lambda: "timed out" in told(lead, run)["steps"][0]["state"])
    say(lead, run, "undo", "over")
    to_its_end(lead, run, "undone")
    need(status_from(shop, "127.0.0.95") == 200, "undone, it isn't")


def named_before(scene, lead):
    """A playbook of our own under the name that the settings have."""
    document = json.loads(lead.get("/playbooks/sql-injection.json")[1])
    saved(scene, "our-injection", document | {"id": "playbook--3c0d1c5e-6a1b-4f5e-9b44-2f3f5d1f7a10", "name": "As we do it"})
    [remark] = lead.api("/api/v1/playbooks")["remarks"]
    need("somebody here wrote it: it is asked for" in remark, "it is there, and never begins by itself", remark)


def by_itself(scene, shop, lead):
    """What is set to be done without a person: an address that guesses administrators' passwords is refused, and no more than the budget."""
    scene.kill()
    settings = scene.folder / "settings.toml"
    settings.write_text(settings.read_text() + '[[containment]]\nplaybook = "sql-injection"\nmode = "automatic"\nhost = "shop1"\nseverity = "low"\nper_hour = 1\nshoppers = true\n'
                        '[[containment]]\nplaybook = "our-injection"\nmode = "automatic"\nhost = "shop1"\nseverity = "low"\n')
    scene.up()
    # Named before it is there.
    missing = "names `our-injection`, and there is no such playbook now"
    need(missing in (scene.folder / "up.err").read_text(), "the start says that a playbook isn't there")
    need(missing in str(lead.api("/api/v1/playbooks")["remarks"]), "so does the API")
    need("our-injection" in lead.get("/playbooks")[1], "and the page")
    named_before(scene, lead)
    # The host has to be heard of once more before it can be told anything.
    wait_for("the host", 60, lambda: any(one["name"] == "shop1" and not one["is_silent"] for one in lead.api("/api/v1/hosts")["items"]))
    known = {one["id"] for one in lead.api("/api/v1/runs")["items"]}
    now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    for number in (41, 42):
        with open(scene.log, "a") as log:
            for column in range(30):
                log.write(f'127.0.0.{number} - - [{now}] "GET /rest/V1/search?q=1%27+UNION+SELECT+{column},password+FROM+admin_user--+ HTTP/1.1" 200 512 "-" "sqlmap/1.8"\n')
    new = lambda: [one for one in lead.api("/api/v1/runs?limit=200")["items"] if one["id"] not in known]
    wait_for("a run that nobody asked for", 60, lambda: any(one["stage"] not in ("asked for", "approved") for one in new()))
    wait_for("the address is refused", 60, lambda: 403 in (status_from(shop, "127.0.0.41"), status_from(shop, "127.0.0.42")))
    begun = [one for one in new() if one["stage"] != "asked for"]
    need(len(begun) == 1, "no more than the budget", new())
    _, text = lead.get(f"/runs/{begun[0]['id']}")
    need("set to be carried out at once" in text, "the page says that nobody asked", text[-2000:])
    own = [one for one in new() if one["playbook"]["name"] == "As we do it"]
    need(own and all(one["stage"] == "asked for" for one in own), "what somebody here wrote is asked for, and waits for a person", new())
    say(lead, begun[0]["id"], "undo", "over")
    wait_for("it is undone", 60, lambda: told(lead, begun[0]["id"])["stage"] == "undone")


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("console_runs") as (started, folder):
        shop = Shop(folder, started)
        (folder / "aside").mkdir(mode=0o700)
        scene = Scene(magewarden, shop, started)
        scene.agents_process = scene.run_agent()
        people = [Somebody(scene.port, name, role) for name, role in (("ana", "analyst"), ("app", "approver"), ("lee", "incident_lead"))]
        wait_for("the host", 30, lambda: people[0].api("/api/v1/hosts")["items"])
        incident, took = by_two_people(scene, shop, people)
        through_ends(scene, shop, people[2], incident)
        refused(scene, shop, people[2], incident)
        undone = by_the_guard(scene, shop, people[2], incident)
        unanswered(scene, shop, people[2], incident)
        by_itself(scene, shop, people[2])
        verified(magewarden, scene.data)
    print(f"6 passed, 0 failed (from approval until the host's first lines are sealed: {took:.1f} s; from a step that breaks every store until the guard has undone it: {undone:.1f} s)")


if __name__ == "__main__":
    main()

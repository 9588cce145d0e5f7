#!/usr/bin/env python3
"""From a line of an attack to the attacker's address refused, beside fail2ban on the same lines in the same run; and until a store is closed.

usage: benches/contain.py MAGEWARDEN [TIMES]

Starts the stand-in shop of tests/shop, a server that reads its web log, the shop's agent with a policy that lets addresses be refused without
a person, and fail2ban 1.0 (Debian's, by pyinotify) on the same log with the same threshold: eight different paths of one address. TIMES addresses
[30, which is as many as one playbook is asked for in an hour] then attack one after the other, with pauses of 0.5 to 1.5 s, so that neither side's rhythm decides. From just before the eighth
line is written, by one clock:

  begun      the step's intent is on the host's disk (the run was sealed, signed, looked at by the policy before)
  in effect  nginx was told, answers for the new rules, and that is read back
  fail2ban   its action has begun: a shell that writes down the time, and refuses nobody

Then one of three stores is closed and opened again, as often: from sending the form by which an incident lead asks for the plan and approves it, until
evidence of the store is on disk, the plan's step is done – nginx's configuration tested, nginx told, every way into the store asked for and
closed – and until the server has sealed that.

Then nobody is asked: browsers of three networks report that the payment page of that store sends elsewhere, and the playbook for it is set to be carried out at
once. From sending the third report, as often, until evidence of the store is on disk, until it is sealed and the closing is begun, until the store is closed on every
way, and until that is sealed. The store is opened again and the incident ended as a false alarm each time.

Prints three lines of JSON: times in milliseconds, raw, with median and 99th percentile, and the ratio of the medians.
"""
import html
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "shop"), str(ROOT / "tests" / "services")]

from console_runs import Scene, Somebody, fields_of, say, told as told_of_run
from shared import free_port, need, stage, wait_for
from shop import Shop

LINES = 8
POLICY = 'actions = ["keep_evidence", "block_network", "close_view"]\nautomatic = true\n'
MODE = '[[containment]]\nplaybook = "address-that-attacks"\nmode = "automatic"\nhost = "shop1"\nseverity = "low"\nper_hour = 100000\nshoppers = true\n'
LEAK = '[[containment]]\nplaybook = "store-that-leaks"\nmode = "automatic"\nhost = "shop1"\nseverity = "low"\nper_hour = 100000\nshoppers = true\n[[source]]\nkind = "csp_reports"\nlisten = "127.0.0.1:{port}"\nhosts = ["{host}"]\n'
LEAKING = "us.shop.test"
JAIL = """[DEFAULT]
backend = pyinotify
usedns = no
[attack]
enabled = true
filter = attack
logpath = {log}
maxretry = {lines}
findtime = 300
bantime = 3600
action = told
"""
FILTER = """[Definition]
failregex = ^<HOST> \\S+ \\S+ \\[[^]]*\\] "GET /old\\d+/\\.env
"""
ACTION = """[Definition]
actionban = date +"%%s%%N <ip>" >> {told}
actionunban =
"""


def fail2ban(folder, log, started):
    """Where it writes what it refuses: a time in nanoseconds and the address."""
    conf, told = folder / "fail2ban", folder / "fail2ban.told"
    for part in ("filter.d", "action.d"):
        (conf / part).mkdir(parents=True)
    (conf / "fail2ban.conf").write_text(f"[Definition]\nloglevel = ERROR\nlogtarget = {folder}/fail2ban.log\nsocket = {folder}/f2b.sock\npidfile = {folder}/f2b.pid\ndbfile = None\n")
    (conf / "jail.conf").write_text(JAIL.format(log=log, lines=LINES))
    (conf / "filter.d" / "attack.conf").write_text(FILTER)
    (conf / "action.d" / "told.conf").write_text(ACTION.format(told=told))
    told.write_text("")
    server = shutil.which("fail2ban-server")
    need(server, "fail2ban is installed (apt-get install --no-install-recommends fail2ban python3-pyinotify)")
    client = [shutil.which("fail2ban-client"), "-c", str(conf), "-s", f"{folder}/f2b.sock"]
    err = open(folder / "fail2ban.err", "w")
    started.append(subprocess.Popen([server, "-c", str(conf), "-s", f"{folder}/f2b.sock", "-p", f"{folder}/f2b.pid", "-xf", "start"], stdout=err, stderr=err))
    wait_for("fail2ban", 30, lambda: subprocess.run([*client, "status", "attack"], capture_output=True).returncode == 0)
    return told


def lines(address, number):
    now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    return [f'{address} - - [{now}] "GET /old{number}{at}/.env HTTP/1.1" 404 300 "-" "curl/8"\n' for at in range(LINES)]


def steps_of(folder, address):
    """When the first step of the run against an address was begun and done, in microseconds; nothing before it is."""
    for journal in sorted(folder.glob("*.ndjson"), key=lambda path: path.stat().st_mtime, reverse=True)[:3]:
        entries = [json.loads(line) for line in journal.read_text().splitlines()]
        at = {entry["what"]: entry["at"] for entry in entries if entry.get("step") == 0}
        if entries and f'"{address}"' in json.dumps(entries[0]) and "done" in at:
            return at["intended"], at["done"]
    return None


def told_of(told, address):
    return next((int(line.split()[0]) // 1000 for line in told.read_text().splitlines() if line.split()[1] == address), None)


def entries_of(folder, run):
    path = folder / f"{run}.ndjson"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def closings(scene, lead, journals, incident, times):
    """Milliseconds from asking until evidence is kept, the store is closed, and that is sealed."""
    kept, closed, sealed = [], [], []
    address = f"/incidents/{incident}/plans/store-that-leaks"
    for _ in range(times):
        _, text = lead.get(f"{address}?v.__view__=fr")
        fields = fields_of(text)
        begun = time.time_ns() // 1000
        status, headers, text = lead.post(address, **fields, host="shop1", note="it leaks")
        need(status == 303, f"asked for: {status}", text[-2000:])
        run = headers["Location"].removeprefix("/runs/")
        done = lambda: {one["what"]: one["at"] for one in entries_of(journals, run) if one.get("step") == 1}.get("done")
        until = time.monotonic() + 30
        while not done() and time.monotonic() < until:
            time.sleep(0.002)
        need(done(), "the store is closed", entries_of(journals, run)[-3:])
        number = next(one["number"] for one in entries_of(journals, run) if one["what"] == "done" and one["step"] == 1)
        while told_of_run(lead, run)["version"] <= number and time.monotonic() < until:
            time.sleep(0.002)
        sealed.append((time.time_ns() // 1000 - begun) / 1000)
        kept.append((next(one["at"] for one in entries_of(journals, run) if one["what"] == "kept") - begun) / 1000)
        closed.append((done() - begun) / 1000)
        say(lead, run, "undo", "once more")
        wait_for("it is undone", 60, lambda: told_of_run(lead, run)["stage"] == "undone")
    return {"evidence kept": summary(kept), "closed": summary(closed), "sealed": summary(sealed)}


def reported(port, number, network):
    """A browser's report that the payment page sends to a host that its policy doesn't name."""
    body = {"csp-report": {"document-uri": f"https://{LEAKING}/checkout/step{number}", "effective-directive": "connect-src", "blocked-uri": f"https://evil{number}.example/c", "disposition": "enforce"}}
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    link.request("POST", "/", json.dumps(body), {"Content-Type": "application/csp-report", "X-Forwarded-For": f"198.51.{network}.7"})
    status = link.getresponse().status
    need(status == 204, f"the report is taken: {status}")


def ended(lead, incident):
    """An incident is said to be a false alarm, so that the next report opens another one."""
    _, text = lead.get(f"/incidents/{incident}")
    form = next(one for one in re.findall(r"<form .*?</form>", text, re.S) if 'value="false_positive"' in one)
    hidden = {name: html.unescape(value) for name, value in re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', form) if name != "csrf"}
    status, _, text = lead.post(f"/incidents/{incident}/decide", **hidden, to="false_positive", reason="a measurement")
    need(status == 303, f"the incident is ended: {status}", text[-2000:])


def leaks(scene, lead, journals, port, times):
    """Milliseconds from a browser's report until evidence is kept, until it is sealed and the closing begun, until the store is closed, and until that is sealed."""
    kept, begun, closed, sealed = [], [], [], []
    for number in range(times):
        known = {path.name for path in journals.glob("*.ndjson")}
        new = lambda: [path.stem for path in journals.glob("*.ndjson") if path.name not in known]
        for network in (1, 2):
            reported(port, number, network)
        time.sleep(random.uniform(0.5, 1.5))
        at = time.time_ns() // 1000
        reported(port, number, 3)
        until = time.monotonic() + 30
        done = lambda: {one["what"]: one["at"] for run in new() for one in entries_of(journals, run) if one.get("step") == 1}.get("done")
        while not done() and time.monotonic() < until:
            time.sleep(0.002)
        need(done(), "the store is closed", new())
        [run] = new()
        entries = entries_of(journals, run)
        number_of = next(one["number"] for one in entries if one["what"] == "done" and one["step"] == 1)
        while told_of_run(lead, run)["version"] <= number_of and time.monotonic() < until:
            time.sleep(0.002)
        sealed.append((time.time_ns() // 1000 - at) / 1000)
        intended = next(one for one in entries if one["what"] == "intended")
        need(not intended.get("unsealed"), "the evidence was sealed before", intended)
        kept.append((next(one["at"] for one in entries if one["what"] == "kept") - at) / 1000)
        begun.append((intended["at"] - at) / 1000)
        closed.append((done() - at) / 1000)
        say(lead, run, "undo", "once more")
        wait_for("it is undone", 60, lambda: told_of_run(lead, run)["stage"] == "undone")
        incident = told_of_run(lead, run)["incident"]
        ended(lead, incident)
    return {"evidence kept": summary(kept), "sealed, closing begun": summary(begun), "closed": summary(closed), "that sealed": summary(sealed)}


def summary(times):
    ordered = sorted(times)
    return {"median": round(statistics.median(ordered), 1), "p99": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))], 1), "raw": [round(one, 1) for one in times]}


def main():
    magewarden, times = pathlib.Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 30
    with stage("contain-bench") as (started, folder):
        shop = Shop(folder, started)
        (folder / "aside").mkdir(mode=0o700)
        scene = Scene(magewarden, shop, started)
        (folder / "policy.toml").write_text(POLICY)
        scene.agents_process = scene.run_agent()
        lead = Somebody(scene.port, "lee", "incident_lead")
        scene.kill()
        settings = folder / "settings.toml"
        reports = free_port()
        settings.write_text(settings.read_text() + MODE + LEAK.format(port=reports, host=LEAKING))
        scene.up()
        wait_for("the host", 60, lambda: any(one["name"] == "shop1" and not one["is_silent"] for one in lead.api("/api/v1/hosts")["items"]))
        told, journals = fail2ban(folder, scene.log, started), folder / "ours" / "runs"
        begun, effect, peer = [], [], []
        for number in range(times):
            address = f"198.51.{100 + number // 250}.{1 + number % 250}"
            first = lines(address, number)
            with open(scene.log, "a") as log:
                log.write("".join(first[:-1]))
            time.sleep(random.uniform(0.5, 1.5))
            with open(scene.log, "a") as log:
                at = time.time_ns() // 1000
                log.write(first[-1])
            wait_for(f"{address} is refused", 30, lambda: steps_of(journals, address) if journals.is_dir() else None)
            intended, done = steps_of(journals, address)
            wait_for(f"fail2ban tells of {address}", 30, lambda: told_of(told, address))
            begun.append((intended - at) / 1000)
            effect.append((done - at) / 1000)
            peer.append((told_of(told, address) - at) / 1000)
        sides = {"begun": summary(begun), "in effect": summary(effect), "fail2ban": summary(peer)}
        ratio = sides["fail2ban"]["median"] / sides["begun"]["median"]
        print(json.dumps({"what": "line of an attack to its address refused, milliseconds", "times": times, "cores": os.cpu_count(), **sides, "fail2ban / begun": round(ratio, 1)}), flush=True)
        incident = lead.api("/api/v1/incidents")["items"][0]["id"]
        print(json.dumps({"what": "a plan asked for and approved to its store closed, milliseconds", "times": times, "cores": os.cpu_count(), **closings(scene, lead, journals, incident, times)}), flush=True)
        print(json.dumps({"what": "a browser's report to its store closed with nobody asked, milliseconds", "times": times, "cores": os.cpu_count(), **leaks(scene, lead, journals, reports, times)}))


if __name__ == "__main__":
    main()

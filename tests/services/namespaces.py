#!/usr/bin/env python3
"""Two hosts in network namespaces of their own, and a server in a third: lines are cut and mended while runs go on; nothing is lost, nothing is done twice.

usage: namespaces.py MAGEWARDEN

Needs to be root, as it makes three namespaces with two lines between them (addresses of 10.77.0.0/16, within them alone) and removes them at
its end. Each host moves a planted file away by a plan that a lead begins on the console, undoes it and begins anew, while its line is cut
at random moments and the server is killed once. Every line of each journal is sealed once, and the file is where the run says.
"""
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time

from console_runs import Somebody, propose, say, told
from shared import free_port, ip, need, page, spaces, stage, verified, wait_for

HOSTS = ("web1", "web2")
ROUNDS = 3


def outside(magewarden):
    """Makes the namespaces, runs the rest inside of the server's, and removes them."""
    with spaces("n", 77) as names:
        return subprocess.run(["ip", "netns", "exec", names[0], sys.executable, __file__, str(magewarden), *names]).returncode


class Host:
    """A shop's host in its namespace."""

    def __init__(self, scene, number, name, space):
        self.scene, self.number, self.name, self.space = scene, number, name, space
        self.folder = scene.folder / name
        self.root, self.ours = self.folder / "shop", self.folder / "ours"
        for path in (self.root / "pub" / "media", self.root / "app" / "etc", self.root / "var"):
            path.mkdir(parents=True)
        (self.folder / "aside").mkdir(mode=0o700)
        (self.folder / "hold").mkdir(mode=0o700)
        (self.folder / "log").mkdir()
        (self.folder / "log" / "access.log").write_text("a line\n")
        self.file = self.root / "pub" / "media" / "x.php"
        self.file.write_text(f"<?php // {name}\n")
        (self.folder / "host.toml").write_text(f'[magento]\nroot = "{self.root}"\nquarantine = "{self.folder}/aside"\n[hold]\nfolder = "{self.folder}/hold"\nlogs = ["{self.folder}/log"]\n')
        (self.folder / "policy.toml").write_text('actions = ["keep_evidence", "hold_retention", "block_network", "deny_php", "quarantine_file"]\n')
        word = scene.agent("invite", name, "--data", scene.data).strip()
        self.run("enrol", "--server", f"https://10.77.{number}.1:{scene.agents}", "--invitation", word)
        err = open(self.folder / "err", "w")
        self.process = subprocess.Popen(self.words("run", "--host", str(self.folder / "host.toml"), "--policy", str(self.folder / "policy.toml")), stdout=subprocess.DEVNULL, stderr=err)
        scene.started.append(self.process)

    def words(self, *words):
        return ["ip", "netns", "exec", self.space, str(self.scene.magewarden), "agent", *words, "--data", str(self.ours)]

    def run(self, *words):
        done = subprocess.run(self.words(*words), capture_output=True, text=True, timeout=60)
        need(done.returncode == 0, f"agent {words}", done.stdout + done.stderr)

    def line(self, state):
        ip("-n", self.space, "link", "set", f"{self.space}1", state)

    def journal(self, run):
        path = self.ours / "runs" / f"{run}.ndjson"
        return path.read_text().splitlines() if path.exists() else []


class Scene:
    """The server, and the hosts."""

    def __init__(self, magewarden, folder, started, spaces):
        self.magewarden, self.folder, self.started = magewarden, folder, started
        self.port, self.agents, self.data = free_port(), free_port(), folder / "data"
        (folder / "web.log").write_text("")
        (folder / "settings.toml").write_text(f'agents = "0.0.0.0:{self.agents}"\nagents_names = ["10.77.1.1", "10.77.2.1"]\n')
        self.up()
        self.hosts = [Host(self, number, name, space) for number, (name, space) in enumerate(zip(HOSTS, spaces), 1)]

    def up(self):
        with open(self.folder / "up.err", "a") as err:
            self.process = subprocess.Popen([str(self.magewarden), "up", "--data", str(self.data), "--log", str(self.folder / "web.log"), "--config", str(self.folder / "settings.toml"), "--port", str(self.port)],
                                            stdout=subprocess.DEVNULL, stderr=err)
        self.started.append(self.process)
        wait_for("the console", 60, lambda: "<main" in page(self.port))

    def agent(self, *words):
        done = subprocess.run([str(self.magewarden), "agent", *map(str, words)], capture_output=True, text=True, timeout=60)
        need(done.returncode == 0, f"agent {words}", done.stdout + done.stderr)
        return done.stdout


def patiently(ask):
    """What is asked of the console, which is killed once meanwhile."""
    for _ in range(120):
        try:
            return ask()
        except (OSError, ValueError):
            time.sleep(0.5)
    return ask()


def heard_of(lead, host):
    """A server that was just started knows of no host before it reports."""
    if not any(one["name"] == host.name for one in lead.api("/api/v1/hosts")["items"]):
        raise OSError(f"{host.name} hasn't reported yet")


def carried_out(lead, host, incident, cuts):
    """One run to its end and back, its line cut meanwhile; gives what it was called."""
    patiently(lambda: heard_of(lead, host))
    run = patiently(lambda: propose(lead, incident, host=host.name, file="pub/media/x.php", network="203.0.113.66"))
    chance = random.Random(f"{host.name}{run}")
    until, undone = time.monotonic() + 150, False
    while time.monotonic() < until:
        now = patiently(lambda: told(lead, run))
        if now["stage"] == "undone":
            break
        if now["stage"] == "in effect" and not undone:
            need(not host.file.exists(), f"{host.name}: the file is away", now["steps"])
            patiently(lambda: say(lead, run, "undo", "a rehearsal"))
            undone = True
        elif now["stage"] == "waits":
            try:
                say(lead, run, "done", "by hand", code=(303, 409))
            except OSError:
                pass
        if chance.random() < 0.3 and cuts[host.name] < 4:
            cuts[host.name] += 1
            host.line("down")
            time.sleep(chance.uniform(0.5, 4))
            host.line("up")
        time.sleep(0.5)
    need(patiently(lambda: told(lead, run))["stage"] == "undone" and host.file.exists(), f"{host.name}: undone", patiently(lambda: told(lead, run)))
    return run


def inside(magewarden, spaces):
    with stage("namespaces") as (started, folder):
        scene = Scene(magewarden, folder, started, spaces)
        lead = Somebody(scene.port, "lee", "incident_lead")
        wait_for("both hosts", 60, lambda: len(lead.api("/api/v1/hosts")["items"]) == 2)
        now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        with open(folder / "web.log", "a") as log:
            log.writelines(f'203.0.113.66 - - [{now}] "POST /media/x.php?cmd={word} HTTP/1.1" 200 512 "-" "curl/8.5"\n' for word in ("id", "ls", "cat"))
        wait_for("an incident", 30, lambda: lead.api("/api/v1/incidents")["items"])
        incident = lead.api("/api/v1/incidents")["items"][-1]["id"]
        runs, cuts, failed = {name: [] for name in HOSTS}, dict.fromkeys(HOSTS, 0), []

        def go(host):
            try:
                for _ in range(ROUNDS):
                    runs[host.name].append(carried_out(lead, host, incident, cuts))
            except BaseException as error:  # told by the one who waits
                failed.append(f"{host.name}: {error!r}")

        threads = [threading.Thread(target=go, args=(host,)) for host in scene.hosts]
        for thread in threads:
            thread.start()
        time.sleep(12)
        scene.process.send_signal(signal.SIGKILL)
        scene.process.wait(20)
        time.sleep(3)
        scene.up()
        for thread in threads:
            thread.join(400)
        need(not failed and not any(thread.is_alive() for thread in threads), "every run ends", failed)
        lines = 0
        for host in scene.hosts:
            for run in runs[host.name]:
                wait_for(f"all of {run}", 60, lambda: told(lead, run)["version"] == len(host.journal(run)))
                shown = told(lead, run)
                need(shown["host"] == host.name and len(set(shown["told"])) == len(shown["told"]) == shown["version"], "each line is sealed once", shown["told"])
                done = [re.search(r'"what":"(intended|undo_intended)".*?"step":(\d+)|"step":(\d+).*?"what":"(intended|undo_intended)"', line) for line in host.journal(run)]
                acts = [match.group(0) for match in done if match]
                need(len(acts) == len(set(acts)), "no step is done twice", acts)
                lines += shown["version"]
            need(host.file.read_text() == f"<?php // {host.name}\n", "the file is back")
        need(len({run for all_of in runs.values() for run in all_of}) == 2 * ROUNDS, "as many runs as were begun", runs)
        verified(magewarden, scene.data)
    print(f"1 passed, 0 failed ({2 * ROUNDS} runs, {lines} lines, {sum(cuts.values())} cuts, 1 kill)")


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    if len(sys.argv) > 2:
        return inside(magewarden, sys.argv[3:])
    sys.exit(outside(magewarden))


if __name__ == "__main__":
    main()

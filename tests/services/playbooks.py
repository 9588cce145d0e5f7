#!/usr/bin/env python3
"""Every shipped playbook at the stand-in shop, forwards and back: what each step says of the attack is held against the attack itself.

usage: playbooks.py MAGEWARDEN [PLAYBOOK...]

For each playbook the harm is done to the shop (playbook_harms.py) and used. The plan is made, approved by its hash, carried out and undone;
then once more with a person's step put behind each of the shipped ones, who does nothing but try every way of the attack again. A step that
contains leaves no way open but those that the plan's own words name; one that only mitigates leaves one. What a person is asked to do is
done to the shop by hand. Checkouts of the views that nothing is done to pass throughout. Undone, every file, row, account and grant is as
it was, the attack works again, and what doesn't come back is what the plan says doesn't.
"""
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import time

from contain import HOSTS_OF, Checkouts
from contain_database import ATTACK
from contain_runs import Runs, shop_as_it_is
from playbook_harms import stories
from playbook_story import nothing
from shared import need, stage
from shop import Shop

ROOT = pathlib.Path(__file__).resolve().parents[2]
LOOK = "Try the attack again"


def with_looks(plan):
    """The plan with a person's look after each step that has an effect."""
    steps = []
    for number, step in enumerate(plan["steps"]):
        steps.append(step)
        look = {"id": f"action--look-{number}", "name": LOOK, "only_if": [], "work": {"kind": "person", "does": ["every way"]}, "stops": "only_mitigates",
                "deadline_seconds": None, "waiver": None}
        steps.append(look)
    return {**plan, "steps": steps}


def is_done(state):
    return state.startswith(("done", "kept"))


def canonical(plan):
    return json.dumps(plan, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class Act:
    """One story on the stage of one shop: straight through, or with a look after each step."""

    def __init__(self, runs, shop, story, table, looks):
        self.runs, self.shop, self.story, self.table, self.looks = runs, shop, story, table, looks
        self.open = set(story.ways)
        self.plan = json.loads(runs.plan(story.playbook, **story.values)[0].read_bytes())

    def need(self, holds, what, shown=""):
        need(holds, f"{self.story.title}: {what}", shown)

    def works(self):
        return {way for way, attack in self.story.ways.items() if attack()}

    def state(self):
        """Whatever a step could have changed: files, rows with their times, accounts with their grants."""
        sql, state = self.shop.sql, {**shop_as_it_is(self.runs, self.shop)}
        for place in (self.shop.root, *filter(pathlib.Path.is_dir, self.shop.root.rglob("*"))):
            about = place.stat()
            state[f"{place}/"] = (about.st_mode, about.st_uid, about.st_gid)
        for name, rows in self.runs.seen().items():
            left = self.story.ended.get(name)
            state[f"rows of {name}"] = sql(f"select * from shop.{name} where not ({left})") if left else rows
        for account in sql("select concat(quote(user), '@', quote(host)) from mysql.user where is_role = 'N' and host in ('%', 'localhost')").split("\n"):
            if account:
                state[f"account {account}"] = sql(f"show create user {account}; show grants for {account}")
        return state

    def as_before(self, before, what):
        now = self.state()
        wrong = [(name, before.get(name), now.get(name)) for name in sorted(before.keys() | now.keys()) if before.get(name) != now.get(name)]
        self.need(not wrong, what, "\n".join(map(str, wrong))[:4000])

    def said_of(self, step):
        """All that the plan says of a step, and the names of those after it."""
        at = self.plan["steps"].index(step)
        work = step["work"]
        return " ".join([work.get("stays_open", ""), *work.get("does", ()), *(later["name"] for later in self.plan["steps"][at + 1:])])

    def judge(self, step, state, contained):
        """Every way is tried after a step; what is open has to be what the story expects and what the plan says."""
        name, contains, done = step["name"], step["stops"] == "contains", is_done(state)
        if done:
            self.open -= self.story.closes.get(name, set())
        works = self.works()
        self.need(works == self.open, f"after “{name}” ({state}) there work {sorted(works)}, not {sorted(self.open)}")
        excused = self.story.excused.get(name, {})
        if contains and done:
            for way in sorted(works):
                self.need(way in excused, f"“{name}” contains, and yet there works: {way}")
                self.need(excused[way] in self.said_of(step), f"“{name}” doesn't say that there works: {way}", self.said_of(step))
        elif not contained and done:
            self.need(works, f"“{name}” only mitigates, and the attack fails: its effect is more than it says")
        closed = self.story.closes.get(name, set()) if done else set()
        effect = "contains" if contains else "mitigates" if step["work"]["kind"] == "action" else "–"
        self.table.append((self.story.title, name, effect if done else state.split(":")[0],
                           "; ".join(sorted(works)) + (" (as said)" if contains and works else "") if works else "no", "; ".join(sorted(closed))))
        return contained or (contains and done)

    def go(self, shown, contained):
        """Does what the run waits for, as a person would; gives whether something contained."""
        steps, waits = shown["steps"], shown["waits"]
        at = int(re.search(r"\bstep (\d+)\b", waits)[1]) - 1
        name, planned = steps[at]["name"], self.plan["steps"][at // 2 if self.looks else at]
        if waits.startswith("asks"):
            answer = next((answer for part, answer in self.story.answers.items() if part in waits), None)
            self.need(answer is not None, "an answer is known", waits)
            word = "yes" if answer() else "no"
        elif name == LOOK:
            self.need(planned["name"] == steps[at - 1]["name"], "a look follows its step", steps)
            contained = self.judge(planned, steps[at - 1]["state"], contained)
            word = "done"
        else:
            self.need(planned["work"]["kind"] == "person" and "waits for a person" in waits, f"“{name}” is done without a person", waits)
            self.story.by_hand.get(name, (nothing,))[0]()
            word = "done"
        self.runs.runs("say", shown["run"], word, "--note", "by hand")
        return contained

    def play(self):
        story, runs = self.story, self.runs
        story.plant()
        works = self.works()
        self.need(works == set(story.ways), f"before, every way works but {sorted(set(story.ways) - works)}")
        named, known = {step["name"] for step in self.plan["steps"]}, {*story.closes, *story.excused, *story.by_hand}
        self.need(known <= named, f"the plan has the steps {sorted(known - named)}")
        self.need(self.plan["stops"] == story.plan_stops, "what the whole plan says it does", (self.plan["stops"], self.plan["because"]))
        before = self.state()
        path = runs.folder / "approved.json"
        path.write_text(canonical(with_looks(self.plan) if self.looks else self.plan))
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        by = ["--by", "ann"] + (["--by", "ben"] if self.plan["needs_two_people"] else [])
        with Checkouts(self.shop, [(HOSTS_OF[view], view) for view in HOSTS_OF if view not in story.closed_views]) as buyers:
            run, contained = runs.runs("begin", path, "--approve", sha256, *by).splitlines()[0], False
            while (shown := runs.show(run))["waits"] is not None:
                contained = self.go(shown, contained)
                self.need(not buyers.lost, "checkouts of other views pass", buyers.lost[:5])
            states = {step["name"]: step["state"] for step in shown["steps"]}
            self.need(not any("fail" in state for state in states.values()), "nothing failed", states)
            ended = {way for name, state in states.items() if is_done(state) for way in story.closes.get(name, ())}
            works = self.works()
            self.need(works == set(story.ways) - ended, f"at the end there work {sorted(works)}", states)
            self.need(not self.looks or contained == (story.plan_stops == "contains"), "the whole does what the plan says of it", states)
            self.undone(run, before)
        self.need(buyers.bought and not buyers.lost, f"checkouts of other views pass ({buyers.bought} did)", buyers.lost[:5])
        runs.runs("close", run)
        # A story that failed is left as it is: its shop goes with it.
        story.clear()
        return buyers.bought

    def undone(self, run, before):
        story, runs = self.story, self.runs
        runs.runs("undo", run, "--why", "over")
        if any("after undoing" in step["work"].get("stays_open", "") for step in self.plan["steps"]):
            # As the plan says: Magento goes by what it cached, after doing and after undoing.
            self.shop.flush_entries()
        by_hand = story.lasting()
        works, whole = self.works(), set(story.ways) - set(story.lost)
        self.need(works == whole - by_hand, f"undone, there work {sorted(works)}, not {sorted(whole - by_hand)}", runs.show(run)["steps"])
        for name in reversed(list(story.by_hand)):
            (story.by_hand[name][1] or nothing)()
        self.shop.flush_entries()
        works = self.works()
        self.need(works == whole, f"undone by hand, too, there work {sorted(works)}, not {sorted(whole)}")
        undos = " ".join(step["work"].get("undo", {}).get("words", "") for step in self.plan["steps"])
        for way, phrase in story.lost.items():
            self.need(phrase in undos, f"the plan says that it isn't given back: {way}", undos)
        self.as_before(before, "undone, all is as before")
        for path in (runs.folder / "ours").rglob("*"):
            self.need(path.is_dir() or b"4111111111111111" not in path.read_bytes(), f"no card number in {path}")
        if not self.looks:
            return
        self.table.append((story.title, "undone", "", "; ".join(sorted(works)), "; ".join(f"stays closed: {way}" for way in story.lost)))


def shown(table):
    head = ("playbook", "step", "effect said", "attack works?", "ways that end with it")
    for at, row in enumerate([head, *table]):
        title = row[0] if not at or row[0] != table[at - 2][0] or at == 1 else ""
        print(f"{title:40} {row[1]:42.42} {row[2]:12} {row[3]}" + (f"   [ends: {row[4]}]" if row[4] and at else ""))


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    begun, table, bought, told = time.monotonic(), [], 0, 0
    with stage("playbooks") as (started, folder):
        shop = Shop(folder, started, options=["--innodb-flush-log-at-trx-commit=0"])
        shop.sql(ATTACK)
        shop.buy("de.shop.test", "de")
        (folder / "aside").mkdir(mode=0o700)
        runs = Runs(magewarden, shop)
        with open(folder / "host.toml", "a") as host:
            at = f'at = "127.0.0.1:{shop.redis}"'
            host.write(f'[cache]\nservers = [{{ {at}, database = 0 }}, {{ {at}, database = 1 }}]\nprefix = "abc_"\n')
        (folder / "good-files").mkdir()
        listed = subprocess.run([magewarden, "playbooks"], capture_output=True, text=True).stdout
        shipped = {path.stem for path in (ROOT / "content/playbooks").glob("*.json")}
        need(shipped and all(name in listed for name in shipped), "what is listed is what ships", listed)
        only = set(sys.argv[2:])
        played = [story for story in stories(runs, shop, started) if not only or story.playbook in only]
        need({story.playbook for story in played} == (only or shipped), "each has a story", shipped)
        try:
            for story in played:
                bought += sum(Act(runs, shop, story, table, looks).play() for looks in (False, True))
                told += 1
        finally:
            shown(table)
    print(f"{told} passed, 0 failed ({len(shipped)} playbooks, {len(table)} looks at the attack, {2 * told} runs, {bought} checkouts meanwhile, {time.monotonic() - begun:.0f} s)")


if __name__ == "__main__":
    main()

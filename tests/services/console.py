"""How the scripts look at a console: as a program with a token, or as a person who joined, for a real browser.

Whoever has the data folder may let somebody in (`magewarden accounts`). Which folder that is, the arguments of the
`magewarden up` that listens on a port say.
"""
import base64
import hashlib
import hmac
import http.client
import http.server
import os
import pathlib
import re
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

PASSWORD = "a quiet river 7"
TOKENS = {}


class Kept(urllib.request.HTTPRedirectHandler):
    """Redirects are answers: who isn't let in is sent to log in."""

    def redirect_request(self, *_):
        return None


OPENER = urllib.request.build_opener(Kept)


class Accounts:
    """`magewarden accounts`, of the `up` that listens on a port, by the account it runs as."""

    def __init__(self, port):
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                words = [word.decode() for word in (folder / "cmdline").read_bytes().split(b"\0")]
                if "up" not in words or f"--port {port}" not in " ".join(words) or "--data" not in words:
                    continue
                if pathlib.Path(words[0]).name != "magewarden":
                    continue
                self.place, self.uid = os.readlink(folder / "cwd"), folder.stat().st_uid
                self.program = os.readlink(folder / "exe").removesuffix(" (deleted)")
            except OSError:
                continue
            self.flags = []
            for flag in ("--data", "--config", "--state", "--state-password-file", "--state-ca-file"):
                if flag in words:
                    self.flags += [flag, words[words.index(flag) + 1]]
            return
        raise OSError("no magewarden listens there")

    def run(self, *words):
        account = {"user": self.uid, "group": self.uid, "extra_groups": []} if os.geteuid() == 0 and self.uid != 0 else {}
        done = subprocess.run([self.program, "accounts", *words, *self.flags], cwd=self.place, capture_output=True, text=True, **account)
        if done.returncode != 0:
            raise OSError(f"accounts {words}: {done.stderr}")
        return done.stdout.strip()

    def token(self, again=False):
        """A token that sees everything; one for each data folder."""
        key = (self.place, *self.flags)
        if again or key not in TOKENS:
            TOKENS[key] = self.run("token", f"test-{time.time_ns()}", "--role", "auditor", "--expires", "1d")
        return TOKENS[key]


def page(port, path="/incidents"):
    """A page of the console; nothing while it isn't there."""
    try:
        if path == "/metrics":
            return fetch(port, path, {})
        accounts = Accounts(port)
        for again in (False, True):
            try:
                return fetch(port, path, {"Authorization": f"Bearer {accounts.token(again)}"})
            except urllib.error.HTTPError as error:
                # The folder is a new one under the old name.
                if error.code != 401 or again:
                    raise
    except OSError:
        return ""


def fetch(port, path, headers, patience=5):
    with OPENER.open(urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers), timeout=patience) as answer:
        return answer.read().decode()


def code(secret, when=None):
    """The code of a secret (RFC 6238)."""
    step = int(time.time() if when is None else when) // 30
    digest = hmac.new(base64.b32decode(secret), struct.pack(">q", step), hashlib.sha1).digest()
    at = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[at:at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def post(port, path, cookie="", **fields):
    """Sends a form as a browser without scripts does; gives status, headers and page."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("POST", path, urllib.parse.urlencode(fields), {
        "Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://127.0.0.1:{port}", "Cookie": cookie})
    answer = connection.getresponse()
    return answer.status, answer.headers, answer.read().decode()


class Person:
    """Somebody who takes an invitation by its pages, and is logged in."""

    def __init__(self, port, name, link=None, roles=("admin", "analyst")):
        self.port, self.name = port, name
        if link is None:
            link = Accounts(port).run("invite", name, *(word for role in roles for word in ("--role", role)))
        token = link.split("invitation=")[1]
        status, _, shown = post(port, "/welcome", invitation=token, name=name, shown=name.title(), password=PASSWORD)
        found = re.search(r'class="secret">([A-Z2-7]+)<', shown)
        if status != 200 or not found:
            raise SystemExit(f"FAILED: the password isn't taken: {status}\n{shown}")
        self.secret = found[1]
        status, headers, shown = post(port, "/welcome/code", invitation=token, code=code(self.secret))
        if status != 303:
            raise SystemExit(f"FAILED: the second factor isn't taken: {status}\n{shown}")
        self.cookie = headers["Set-Cookie"].split(";")[0]
        self.used = int(time.time()) // 30

    def get(self, path):
        """A page, and its status; where one is sent to in place of it."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path, headers={"Cookie": self.cookie})
        answer = connection.getresponse()
        shown = answer.read().decode()
        return answer.status, answer.headers.get("Location") or shown

    def csrf(self):
        return re.search(r'name="csrf" value="([0-9a-f]+)"', self.get("/account")[1])[1]

    def post(self, path, **fields):
        return post(self.port, path, self.cookie, csrf=self.csrf(), **fields)

    def log_in(self):
        """Both steps; waits for a code that wasn't used."""
        _, headers, _ = post(self.port, "/login", name=self.name, present=PASSWORD, next="/")
        half = headers["Set-Cookie"].split(";")[0]
        while int(time.time()) // 30 <= self.used:
            time.sleep(0.2)
        self.used = int(time.time()) // 30
        status, headers, shown = post(self.port, "/login/code", half, code=code(self.secret), next="/sources")
        if status != 303:
            raise SystemExit(f"FAILED: the code isn't taken: {status}\n{shown}")
        self.cookie = headers["Set-Cookie"].split(";")[0]
        return headers["Location"]


def started_proxy(port, cookie):
    """Passes what a browser asks for on to the console with a person's session; gives its address. Ends with the script."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", self.path, headers={"Cookie": cookie})
            answer = connection.getresponse()
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                if name.lower() not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.send_header("Connection", "close")
            self.end_headers()
            try:
                while part := answer.read1(65536):
                    self.wfile.write(part)
                    self.wfile.flush()
            except (OSError, http.client.HTTPException):
                pass  # The browser or the console is gone.

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/"

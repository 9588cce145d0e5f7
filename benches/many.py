#!/usr/bin/env python3
"""What a console with very many incidents and findings costs: a start, memory, pages, a search, and pages that stay open.

usage: benches/many.py MAGEWARDEN FOLDER [--people N]

FOLDER     a data folder as `cargo bench -p magewarden-engine --bench many` makes it; the program goes on in it
--people   how many have a page open that renews itself (default 200)

Prints one line of JSON a figure. Times are from sending a request to the first byte of the answer, ten of each; memory is that of the process; what open pages cost is its time on the processor in a minute in which an incident changes
every two seconds, as a share of one core.
"""
import http.client
import json
import os
import pathlib
import random
import selectors
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "services")]

from console import Accounts, Person, post
from shared import free_port, need, wait_for

TRIES, SECONDS, PAUSE = 10, 60, 2


def said(what, **figures):
    print(json.dumps({"what": what, **figures}), flush=True)


def memory(process):
    words = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines())
    return {"resident_mib": int(words["VmRSS"].split()[0]) // 1024, "most_mib": int(words["VmHWM"].split()[0]) // 1024}


def busy(process):
    """Seconds on the processor so far."""
    words = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def first_byte(port, path, headers):
    """Milliseconds to the first byte, status, and bytes of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.connect()
    began = time.perf_counter()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    took = (time.perf_counter() - began) * 1000
    body = answer.read()
    connection.close()
    return took, answer.status, body


def pages(port, headers):
    listed = json.loads(first_byte(port, "/api/v1/incidents?limit=200", headers)[2])
    newest = listed["items"][0]["id"]
    oldest = json.loads(first_byte(port, f"/api/v1/incidents?limit=1&q=report_{0}", headers)[2])["items"]
    paths = {"overview": "/", "queue": "/incidents", "search": "/incidents?q=report_77", "search that finds nothing": "/incidents?q=nobody-of-that-name",
             "one store": "/incidents?store=us_en", "newest incident": f"/incidents/{newest}", "api: list": "/api/v1/incidents?limit=50",
             "api: search": "/api/v1/incidents?q=report_77", "api: one": f"/api/v1/incidents/{newest}", "api: its findings": f"/api/v1/incidents/{newest}/findings",
             "metrics": "/metrics"}
    if oldest:
        paths["oldest incident"] = f"/incidents/{oldest[0]['id']}"
    for name, path in paths.items():
        took = []
        for _ in range(TRIES):
            milliseconds, status, body = first_byte(port, path, headers)
            need(status == 200, f"{path} answers {status}", body[:500])
            took.append(milliseconds)
        said(f"first byte: {name}", runs_ms=[round(one, 1) for one in took], bytes=len(body))
    return listed["items"]


class Opened:
    """Pages that stay open, as the console's own script keeps them: told of news, each loads itself again. All by one thread, which waits."""

    # As live.js has it: by the kind of news up to how many seconds it waits, and how many lie between two loads.
    SCRIPT = {"incidents": (1, 5, 10), "counters": (5, 15, 30)}

    def __init__(self, port, cookie, count):
        self.port, self.headers = port, {"Cookie": cookie, "X-Magewarden-Refresh": "1"}
        self.select, self.loads, self.told = selectors.DefaultSelector(), 0, dict.fromkeys(self.SCRIPT, 0)
        for _ in range(count):
            stream = socket.create_connection(("127.0.0.1", port))
            stream.sendall(f"GET /live HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {cookie}\r\n\r\n".encode())
            page = {"path": random.choice(["/", "/incidents"]), "rest": b"", "last": 0.0, "due": None}
            self.select.register(stream, selectors.EVENT_READ, page)

    def run(self, until, step):
        """Keeps them open until then; calls `step` in between."""
        while time.time() < until:
            step()
            for key, _ in self.select.select(0.05):
                heard = key.fileobj.recv(65536)
                need(heard, "a page that is open was hung up on")
                *lines, key.data["rest"] = (key.data["rest"] + heard).split(b"\n")
                for line in lines:
                    if line.startswith(b"event:"):
                        self.hear(key.data, line[6:].strip().decode())
            for page in [key.data for key in self.select.get_map().values()]:
                if page["due"] is not None and time.time() >= page["due"]:
                    page["due"], page["last"] = None, time.time()
                    status = first_byte(self.port, page["path"], self.headers)[1]
                    need(status == 200, f"{page['path']} answers {status}")
                    self.loads += 1

    def hear(self, page, kind):
        self.told[kind] += 1
        wait, least, most = self.SCRIPT[kind]
        at = max(time.time() + random.uniform(0, wait), page["last"] + random.uniform(least, most))
        page["due"] = at if page["due"] is None else min(page["due"], at)


class Changes:
    """Somebody who watches an incident every two seconds, one after the other."""

    def __init__(self, port, person, items):
        self.port, self.person, self.items, self.csrf = port, person, items, person.csrf()
        self.next, self.done = time.time(), 0

    def __call__(self):
        if time.time() < self.next:
            return
        self.next += PAUSE
        item = self.items[self.done % len(self.items)]
        status, _, shown = post(self.port, "/incidents", self.person.cookie, csrf=self.csrf, incident=f"{item['id']}:{item['version']}", act="watch")
        need(status == 303, f"watching is answered {status}", shown)
        self.done += 1


def main():
    program, folder = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    people = int(sys.argv[sys.argv.index("--people") + 1]) if "--people" in sys.argv else 200
    log, port = folder / "quiet.log", free_port()
    log.touch()
    began = time.time()
    with open(folder / "up.err", "ab") as err:
        up = subprocess.Popen([str(program), "up", "--data", str(folder), "--log", str(log), "--port", str(port)], stderr=err)
    try:
        def answers():
            try:
                return first_byte(port, "/metrics", {})[1] == 200
            except OSError:
                need(up.poll() is None, "it ended: see up.err in the folder")
                return False
        wait_for("the console", 600, answers)
        said("a start", seconds=round(time.time() - began, 1), **memory(up))
        token = Accounts(port).token()
        items = pages(port, {"Authorization": f"Bearer {token}"})
        said("after the pages", **memory(up))
        person = Person(port, f"eve{time.time_ns()}")
        if people:
            opened, changes = Opened(port, person.cookie, people), Changes(port, person, items)
            opened.run(time.time() + 10, lambda: None)
            opened.loads, opened.told = 0, dict.fromkeys(opened.told, 0)
            before, began = busy(up), time.time()
            opened.run(began + SECONDS, changes)
            cost = (busy(up) - before) / (time.time() - began)
            need(opened.told["incidents"] >= people * changes.done // 2, "pages that are open are told", (opened.told, changes.done))
            need(opened.loads >= people, "they load themselves again", opened.loads)
            said("pages that stay open", people=people, share_of_a_core=round(cost, 3), told=opened.told, loads=opened.loads, changes=changes.done, **memory(up))
    finally:
        up.terminate()
        up.wait(60)


if __name__ == "__main__":
    main()

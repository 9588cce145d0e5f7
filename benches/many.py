#!/usr/bin/env python3
"""What a console with very many incidents and findings costs: a start, memory, pages, a search, and pages that stay open.

usage: benches/many.py MAGEWARDEN FOLDER [--people N]

FOLDER     a data folder as `cargo bench -p magewarden-engine --bench many` makes it; the program goes on in it
--people   how many have a page open that renews itself (default 200)

Prints one line of JSON a figure. Times are from sending a request to the first byte of the answer, of the middle and the worst
of ten; memory is that of the process; what open pages cost is its time on the processor in a minute in which an incident changes
every two seconds, as a share of one core.
"""
import http.client
import json
import os
import pathlib
import random
import statistics
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests" / "services")]

from console import Accounts, Person
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
        said(f"first byte: {name}", median_ms=round(statistics.median(took), 1), worst_ms=round(max(took), 1), bytes=len(body))
    return listed["items"]


class Open(threading.Thread):
    """A page that stays open, as the console's own script keeps it: told of news, it loads itself again."""

    def __init__(self, port, cookie, path, script):
        super().__init__(daemon=True)
        self.port, self.headers, self.path, self.script = port, {"Cookie": cookie}, path, script
        self.loads, self.told, self.over = 0, 0, threading.Event()

    def run(self):
        stream = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        stream.request("GET", "/live", headers=self.headers)
        answer, kind, due = stream.getresponse(), "message", None
        answer.fp.raw._sock.settimeout(0.2)
        rest = b""
        last = 0.0
        while not self.over.is_set():
            try:
                rest += answer.read1(4096)
            except OSError:
                pass
            *lines, rest = rest.split(b"\n")
            for line in lines:
                if line.startswith(b"event:"):
                    kind = line[6:].strip().decode()
                if line.startswith(b"data:"):
                    self.told += 1
                    least, most = self.script[kind]
                    at = max(time.time() + random.uniform(0, least), last + random.uniform(least, most))
                    due = at if due is None else min(due, at)
            if due is not None and time.time() >= due:
                due, last = None, time.time()
                status = first_byte(self.port, self.path, {**self.headers, "X-Magewarden-Refresh": "1"})[1]
                need(status == 200, f"{self.path} answers {status}")
                self.loads += 1
        stream.close()


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
            opened = [Open(port, person.cookie, random.choice(["/", "/incidents"]), {"incidents": (1, 5), "counters": (5, 15)}) for _ in range(people)]
            for one in opened:
                one.start()
            time.sleep(10)
            for one in opened:
                one.loads = one.told = 0
            before, until, at = busy(up), time.time() + SECONDS, 0
            csrf = person.csrf()
            while time.time() < until:
                item = items[at % len(items)]
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
                body = f"csrf={csrf}&incident={item['id']}%3A0&act=watch"
                connection.request("POST", "/incidents", body, {"Content-Type": "application/x-www-form-urlencoded", "Origin": f"http://127.0.0.1:{port}", "Cookie": person.cookie})
                connection.getresponse().read()
                at += 1
                time.sleep(PAUSE)
            cost = (busy(up) - before) / SECONDS
            for one in opened:
                one.over.set()
            said("pages that stay open", people=people, share_of_a_core=round(cost, 3), told=sum(one.told for one in opened), loads=sum(one.loads for one in opened), changes=at, **memory(up))
    finally:
        up.terminate()
        up.wait(60)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""A magewarden that stops is noticed: by a monitor it pings, and by a second one that looks at it.

usage: alive.py MAGEWARDEN
"""
import http.server
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

from shared import end, free_port, need, observations, page, wait_for

LINE = '192.0.2.{} - - [05/Aug/2026:10:15:30 +0000] "GET / HTTP/1.1" 200 1 "-" "x"\n'


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    started, folder = [], pathlib.Path(tempfile.mkdtemp(prefix="magewarden-alive-"))
    pings = []

    class Monitor(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            pings.append(time.monotonic())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    monitor = http.server.HTTPServer(("127.0.0.1", 0), Monitor)
    threading.Thread(target=monitor.serve_forever, daemon=True).start()
    try:
        log = folder / "access.log"
        log.write_text("".join(LINE.format(number) for number in range(1, 200)))
        first, second = free_port(), free_port()

        def start(port, data, *more):
            up = subprocess.Popen([str(magewarden), "up", "--data", str(folder / data), "--port", str(port), *more], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            started.append(up)
            wait_for("the console", 30, lambda: "<main" in page(port))
            return up

        watched = lambda data: start(first, data, "--log", str(log), "--source", f"ping,url=http://127.0.0.1:{monitor.server_port}/a-secret,every_seconds=1")
        one = watched("one")
        start(second, "two", "--source", f"peer,url=http://127.0.0.1:{first},every_seconds=1")
        peer = f"peer:127.0.0.1:{first}"
        told = lambda kind: [record for record in observations(magewarden, folder / "two", peer) if record["health.kind"] == kind]
        wait_for("the first to be seen alive", 30, lambda: told("peer alive"))
        need(told("peer alive")[0]["change_count"] >= 0, "the length of its ledger")
        wait_for("signs of life", 30, lambda: len(pings) >= 3)
        need("a-secret" not in page(first, "/sources") + page(first, "/metrics"), "the monitor's secret is shown")
        one.send_signal(signal.SIGKILL)
        one.wait(20)
        time.sleep(1)
        count = len(pings)
        shown = lambda: " ".join(page(second, link) for link in re.findall(r'href="(/incidents/[0-9a-f]+)"', page(second)))
        # The incident is the second one's, of whose pages there is something to read.
        wait_for("the incident at the second", 60, lambda: "evidence doesn&#39;t work" in page(second) or "evidence doesn&#39;t work" in shown())
        need("isn&#39;t alive" in page(second, "/sources"), "why, on the page of sources", page(second, "/sources"))
        need(len(pings) == count, "a stopped one pings no more")
        # Another ledger at its address is not the one that was there.
        log.write_text("")
        watched("other")
        wait_for("the other ledger", 90, lambda: "has fewer entries than before" in shown())
        print("1 passed, 0 failed")
    finally:
        monitor.shutdown()
        end(started, folder)


if __name__ == "__main__":
    main()

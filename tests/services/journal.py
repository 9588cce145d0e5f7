#!/usr/bin/env python3
"""systemd's journal, read by the real journalctl: each record once over kills, and what was vacuumed unread is told.

usage: journal.py MAGEWARDEN

Two journals in one folder, written live by systemd-journal-remote from the export format, each with a numbering of its own.
Everything started here is ended by its process id.
"""
import collections
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

from shared import free_port, need, observations, page, stage, verified, wait_for

REMOTE = "/lib/systemd/systemd-journal-remote"
BEFORE, LIVE = 3000, 6000


class Writer:
    """Writes one journal file, record by record."""

    def __init__(self, file, name, started):
        self.name, self.written = name, 0
        self.process = subprocess.Popen([REMOTE, "-o", file, "-"], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
        started.append(self.process)

    def write(self, count=1, message=None, boot=1, late=0, **more):
        for _ in range(count):
            now = int((time.time() - late) * 1e6)
            fields = {"__REALTIME_TIMESTAMP": now, "__MONOTONIC_TIMESTAMP": now % 10**12, "_BOOT_ID": f"{boot:032x}", "_MACHINE_ID": "f" * 32, "_HOSTNAME": "shop",
                      "_TRANSPORT": "syslog", "SYSLOG_IDENTIFIER": self.name, "_SYSTEMD_UNIT": f"{self.name}.service", "_PID": 42, "PRIORITY": 6,
                      "MESSAGE": message or f"{self.name} {self.written}", **more}
            self.process.stdin.write("".join(f"{key}={value}\n" for key, value in fields.items()).encode() + b"\n")
            self.written += message is None
        self.process.stdin.flush()

    def end(self):
        self.process.stdin.close()
        self.process.wait(20)


def readers(pid):
    """Process ids of the journalctl that a process started."""
    found = []
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            name, rest = stat.read_text().split("(", 1)[1].rsplit(")", 1)
        except OSError:
            continue
        if name == "journalctl" and int(rest.split()[1]) == pid:
            found.append(int(stat.parent.name))
    return found


def is_there(pid):
    """Whether a process is there, and no more than its remains."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("journal") as (started, folder):
        journal, console = folder / "journal", free_port()
        journal.mkdir()
        source, seen = f"journald:{journal}", set()

        def start(data, settings=""):
            (folder / "settings.toml").write_text(f'[[source]]\nkind = "journald"\ndirectory = "{journal}"\n{settings}\n')
            up = subprocess.Popen([str(magewarden), "up", "--config", folder / "settings.toml", "--data", folder / data, "--port", str(console)], stderr=open(folder / "err", "a"))
            started.append(up)
            wait_for("the console", 30, lambda: "<main" in page(console))
            seen.update(wait_for("journalctl", 30, lambda: readers(up.pid)))
            return up

        def stop(up, how=signal.SIGTERM):
            up.send_signal(how)
            up.wait(30)
            wait_for("the end of its journalctl", 10, lambda: not any(map(is_there, seen)))

        records = lambda data="data": observations(magewarden, folder / data, source)
        messages = lambda data="data": [one["MESSAGE"] for one in records(data)]
        # A source's own news stand with magewarden's; the ledger is read where it is.
        health = lambda data="data": [one for one in observations(magewarden, folder / data, "magewarden:health") if one["health.source"] == source]
        lost = lambda data="data": [one["change_count"] for one in health(data) if one["health.kind"] == "lost"]
        one, two = Writer(journal / "one.journal", "php-fpm", started), Writer(journal / "two.journal", "sshd", started)
        for boot in (1, 2):
            for _ in range(BEFORE // 20):
                one.write(7, boot=boot)
                two.write(3, boot=boot)
        one.write(message="x" * 100_000)
        up = start("data")
        wait_for("what was there before", 60, lambda: len(messages()) >= BEFORE + 1)
        need("x" * 100_000 in messages(), "a long message is read whole")

        # Live, over three kills and one of its program.
        def write():
            for _ in range(LIVE // 20):
                one.write(13)
                two.write(7)
                time.sleep(0.05)

        writing = threading.Thread(target=write)
        writing.start()
        for _ in range(3):
            time.sleep(3)
            stop(up, signal.SIGKILL)
            time.sleep(0.5)
            up = start("data")
        time.sleep(1)

        def killed():
            # One that only looks for what came late may be killed and nothing is amiss; the one that follows is there again soon.
            for pid in readers(up.pid):
                seen.add(pid)
                os.kill(pid, signal.SIGKILL)
            time.sleep(2)
            return any(one["health.kind"] == "failing" for one in health())

        wait_for("that its program ended", 60, killed)
        wait_for("its program again", 60, lambda: set(readers(up.pid)) - seen)
        seen.update(readers(up.pid))
        writing.join()
        total = BEFORE + LIVE + 1
        # What comes into one file late, and is followed by nothing there, is found by the look each minute.
        wait_for("all of them", 180, lambda: len(messages()) >= total)
        time.sleep(1)
        found = collections.Counter(messages())
        need(len(found) == total and set(found.values()) == {1}, f"each record once: {len(found)} of {total}, {[one for one in found.items() if one[1] > 1][:5]}")
        need(found.keys() >= {f"{writer.name} {number}" for writer in (one, two) for number in range(writer.written)}, "none is missing")
        need(lost() == [], "nothing is told as lost", health())
        wait_for("that its program ended, and that it is over", 90, lambda: {"failing", "failing over"} <= {one["health.kind"] for one in health()})
        # Late, behind what was read already, and followed by nothing.
        time.sleep(4)
        two.write(message="in time")
        wait_for("what comes in time", 30, lambda: "in time" in messages())
        one.write(message="late", late=3)
        wait_for("what comes late", 150, lambda: "late" in messages())
        # What journald itself dropped is told: nobody else can.
        one.write(message="Suppressed 77 messages from php-fpm.service", MESSAGE_ID="a596d6fe7bfa4994828e72309e95d61e", _TRANSPORT="driver", N_DROPPED=77)
        wait_for("what the journal dropped", 30, lambda: lost() == [77])
        stop(up)

        # Vacuumed while nobody read.
        one.write(500)
        one.end()
        two.end()
        for file in journal.iterdir():
            file.unlink()
        three = Writer(journal / "three.journal", "php-fpm", started)
        three.written = 100_000
        three.write(100)
        up = start("data")
        wait_for("the loss", 30, lambda: lost() == [77, 1])
        wait_for("what is still there", 30, lambda: len(messages()) == total + 3 + 100)
        stop(up)
        verified(magewarden, folder / "data")

        # Only one unit; another one later reads on from the same place.
        four = Writer(journal / "four.journal", "cron", started)
        four.write(50)
        up = start("units", 'units = ["cron.service"]')
        wait_for("one unit", 30, lambda: len(messages("units")) == 50)
        stop(up)
        three.write(20)
        up = start("units", 'units = ["cron.service", "php-fpm.service"]')
        wait_for("two units", 30, lambda: len(messages("units")) == 70)
        need(lost("units") == [], "other units are no loss", health("units"))
        four.write(5)
        wait_for("what comes live", 30, lambda: len(messages("units")) == 75)
        stop(up)
        print("1 passed, 0 failed")


if __name__ == "__main__":
    main()

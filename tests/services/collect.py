#!/usr/bin/env python3
"""A shop's host collects for a server: a file that grows and is rotated, while the server is killed and stays away, the agent is killed at
random moments, and the spool is full; each line is in the ledger once and in order, and no card number leaves the host.

usage: collect.py MAGEWARDEN

Everything listens on 127.0.0.1; card numbers are published test numbers. What is sent is what lies in the spool, frame by frame, so the spool
is looked through for them. A second host has a file of the same path: its lines are another source.
"""
import json
import pathlib
import random
import re
import signal
import subprocess
import sys
import threading
import time

from journal import Writer as Journal
from shared import free_port, need, observations, page, stage, verified, wait_for

CARDS = ("4111111111111111", "5555555555554444", "378282246310005")


class Writer:
    """Writes numbered lines as a web server does, and rotates."""

    def __init__(self, path, seed):
        self.path, self.count, self.chance = path, 0, random.Random(seed)
        self.cards = {}
        path.write_text("")

    def line(self):
        number = self.count
        self.count += 1
        card = ""
        if number % 50 == 7:
            card = CARDS[number // 50 % len(CARDS)]
            self.cards[number] = card
        now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
        return f'192.0.2.{number % 200} - - [{now}] "GET /n{number:07}?cc={card} HTTP/1.1" 200 5 "-" "Mozilla/5.0"\n'

    def write(self, lines):
        text = "".join(self.line() for _ in range(lines))
        # In pieces that end within lines.
        cut = self.chance.randrange(len(text) + 1)
        for piece in (text[:cut], text[cut:]):
            with open(self.path, "a") as log:
                log.write(piece)

    def rotate(self):
        for number in range(8, 0, -1):
            old = self.path.with_name(f"{self.path.name}.{number}")
            if old.exists():
                old.rename(self.path.with_name(f"{self.path.name}.{number + 1}"))
        self.path.rename(self.path.with_name(f"{self.path.name}.1"))
        self.path.write_text("")


class Scene:
    """A server, and hosts with folders of their own."""

    def __init__(self, magewarden, folder, started):
        self.magewarden, self.folder, self.started = str(magewarden), folder, started
        self.port, self.agents, self.data = free_port(), free_port(), folder / "data"
        (folder / "own.log").write_text("")
        (folder / "host.toml").write_text("")
        self.server = self.agent = None
        self.up()

    def up(self):
        with open(self.folder / "up.err", "a") as err:
            words = ["up", "--data", str(self.data), "--log", str(self.folder / "own.log"), "--port", str(self.port), "--agents", f"127.0.0.1:{self.agents}"]
            self.server = subprocess.Popen([self.magewarden, *words], stdout=subprocess.DEVNULL, stderr=err)
        self.started.append(self.server)
        # A build that isn't optimised takes a while to read what it judges on from.
        wait_for("the console", 240, lambda: "<main" in page(self.port))

    def kill(self, process):
        process.send_signal(signal.SIGKILL)
        process.wait(20)

    def enrol(self, name):
        run = lambda *words: subprocess.run([self.magewarden, "agent", *map(str, words)], capture_output=True, text=True, timeout=60)
        word = run("invite", name, "--data", self.data).stdout.strip()
        done = run("enrol", "--server", f"https://127.0.0.1:{self.agents}", "--invitation", word, "--data", self.folder / name)
        need(done.returncode == 0, f"{name} is let in", done.stdout + done.stderr)

    def run(self, name, log, spool_mib=64):
        settings = self.folder / f"{name}.toml"
        settings.write_text(f'logs = ["{log}"]\nspool_mib = {spool_mib}\n')
        err = open(self.folder / f"{name}.err", "a")
        process = subprocess.Popen([self.magewarden, "agent", "run", "--data", str(self.folder / name), "--host", str(self.folder / "host.toml"), "--config", str(settings)],
                                   stdout=subprocess.DEVNULL, stderr=err)
        self.started.append(process)
        return process

    def said(self, name):
        return (self.folder / f"{name}.err").read_text()

    def entries(self, source):
        out = subprocess.run([self.magewarden, "entries", str(self.data / "ledger"), "--source", source, "--limit", "1000000", "--format", "ndjson"], capture_output=True, text=True)
        need(out.returncode == 0, "entries", out.stderr)
        return [json.loads(line) for line in out.stdout.splitlines()]

    def marks(self, source):
        """By sequence, what was masked of a source's records: kind, last four digits, fingerprint; read from the leaves as docs/ledger.md has them."""
        out = {}
        for path in sorted((self.data / "ledger" / "segments").glob("*.leaf")):
            bytes_, at = path.read_bytes(), 0
            while at + 4 <= len(bytes_):
                length = int.from_bytes(bytes_[at:at + 4], "big")
                leaf, at = bytes_[at + 4:at + 4 + length], at + 4 + length
                sequence, place = int.from_bytes(leaf[4:12], "big"), 29
                texts = []
                for _ in range(2):
                    size = int.from_bytes(leaf[place:place + 2], "big")
                    texts.append(leaf[place + 2:place + 2 + size].decode())
                    place += 2 + size
                place += 1 + (44 if leaf[place] else 0)
                count = int.from_bytes(leaf[place:place + 2], "big")
                marks = [leaf[place + 2 + 32 * one:place + 34 + 32 * one] for one in range(count)]
                if texts[0] == source and marks:
                    out[sequence] = [(mark[8], mark[12:16].decode(), mark[16:].hex()) for mark in marks]
        return out

    def numbers(self, source):
        # Lists are newest first.
        lines = sorted(self.entries(source), key=lambda one: one["sequence"])
        return [int(re.search(r"/n(\d{7})", one["text"])[1]) for one in lines]

    def wait_all(self, source, writer, seconds=90):
        """Each line once, in order."""
        found = []

        def all_there():
            found[:] = self.numbers(source)
            return len(found) >= writer.count

        try:
            wait_for(f"{writer.count} lines of {source}", seconds, all_there)
        except SystemExit:
            missing = sorted(set(range(writer.count)) - set(found))
            raise SystemExit(f"FAILED: {source}: {len(found)} of {writer.count}; missing {missing[:5]}… ({len(missing)})") from None
        need(found == list(range(writer.count)), f"{source}: each line once and in order", [(at, one) for at, one in enumerate(found) if at != one][:5])

    def no_card(self, folder, what):
        for path in folder.rglob("*"):
            if path.is_file():
                bytes_ = path.read_bytes()
                need(not any(card.encode() in bytes_ for card in CARDS), f"no card number in {what}", path)


def through_kills(scene, writer):
    """The server and the agent are killed at random moments while the file grows and is rotated."""
    chance, stop, failed = random.Random("collect"), threading.Event(), []

    def write():
        try:
            while not stop.is_set():
                writer.write(chance.randrange(1, 60))
                if chance.random() < 0.04:
                    writer.rotate()
                    # What was rotated away is there a while, as with logrotate.
                    time.sleep(0.5)
                time.sleep(chance.uniform(0.005, 0.05))
        except BaseException as error:  # told by the one who waits
            failed.append(repr(error))

    thread = threading.Thread(target=write)
    thread.start()
    kills = {"agent": 0, "server": 0}
    end = time.monotonic() + 25
    while time.monotonic() < end:
        time.sleep(chance.uniform(0.2, 2.0))
        if chance.random() < 0.7:
            scene.kill(scene.agent)
            kills["agent"] += 1
            scene.agent = scene.run("web1", writer.path)
        else:
            scene.kill(scene.server)
            kills["server"] += 1
            time.sleep(chance.uniform(0, 1.5))
            scene.up()
    stop.set()
    thread.join(30)
    need(not failed, "the writer", failed)
    scene.wait_all(f"web1/file:{writer.path}", writer)
    return kills


def server_away(scene, writer):
    """With the server away, what comes is in the spool, masked, and the agent may be started anew."""
    scene.kill(scene.server)
    writer.write(3000)
    spool = scene.folder / "web1" / "spool"
    size = lambda: sum(path.stat().st_size for path in spool.glob("*.spool"))
    wait_for("lines in the spool", 30, lambda: size() > 300_000)
    scene.kill(scene.agent)
    scene.agent = scene.run("web1", writer.path)
    writer.write(500)
    writer.rotate()
    writer.write(500)
    time.sleep(3)
    held = b"".join(path.read_bytes() for path in sorted(spool.glob("*.spool")))
    need(f"/n{writer.count - 1:07}".encode() in held, "all of it waits in the spool")
    need(b"cc=************1111" in held and b"cc=***********0005" in held, "masked, but for the last four digits")
    scene.no_card(scene.folder / "web1", "the agent's folder")
    need(scene.said("web1").count("what is collected waits here") >= 1, "that the server is away is said", scene.said("web1"))
    # What was rotated away and is in the spool may go.
    for old in writer.path.parent.glob(f"{writer.path.name}.*"):
        old.unlink()
    scene.up()
    scene.wait_all(f"web1/file:{writer.path}", writer)
    wait_for("what was sent to go from the disk", 30, lambda: writer.write(1) or size() < 200_000)
    scene.wait_all(f"web1/file:{writer.path}", writer)


def full(scene, writer):
    """A full spool: files aren't read, that is said on both sides, and nothing is lost."""
    scene.kill(scene.agent)
    scene.kill(scene.server)
    scene.agent = scene.run("web1", writer.path, spool_mib=4)
    for _ in range(30):
        writer.write(1500)
    wait_for("word of the full spool", 60, lambda: "the spool is full" in scene.said("web1"))
    spool = scene.folder / "web1" / "spool"
    time.sleep(2)
    size = sum(path.stat().st_size for path in spool.iterdir())
    need(size <= (4 << 20) + 4096, "no more than was set", size)
    scene.kill(scene.agent)
    scene.agent = scene.run("web1", writer.path, spool_mib=4)
    scene.up()
    scene.wait_all(f"web1/file:{writer.path}", writer, 180)
    wait_for("word that it goes on", 30, lambda: "the spool: all is well again" in scene.said("web1"))


def damaged(scene, writer):
    """A spool in which something was changed: told, kept aside, and read again."""
    scene.kill(scene.server)
    writer.write(2000)
    spool = scene.folder / "web1" / "spool"
    # Until the files are read.
    time.sleep(3)
    scene.kill(scene.agent)
    last = max(spool.glob("*.spool"))
    bytes_ = bytearray(last.read_bytes())
    bytes_[-5000] ^= 1
    last.write_bytes(bytes_)
    scene.agent = scene.run("web1", writer.path)
    wait_for("word of the damage", 30, lambda: "isn't what was written" in scene.said("web1"))
    need((scene.folder / "web1" / "spool.aside").is_dir(), "it is kept aside")
    scene.up()
    scene.wait_all(f"web1/file:{writer.path}", writer)


def restored(scene, writer):
    """A server that lost what it had: the host finds out, and hands over once more what its files have."""
    scene.kill(scene.server)
    for path in (scene.data / "ledger", scene.data / "state.sqlite", scene.data / "checkpoints.copy"):
        if path.exists():
            path.rename(path.with_name(path.name + ".before"))
    for path in scene.data.glob("state.sqlite-*"):
        path.unlink()
    scene.up()
    # Found out with the next records.
    writer.write(5)
    wait_for("word of it", 60, lambda: "a place of" in scene.said("web1") and "doesn't know" in scene.said("web1"))
    # What the file at the path has is read from its beginning.
    first = int(re.search(r"/n(\d{7})", writer.path.read_text())[1])
    wait_for("the file once more", 60, lambda: len(scene.numbers(f"web1/file:{writer.path}")) >= writer.count - first)
    found = scene.numbers(f"web1/file:{writer.path}")
    need(found == list(range(first, writer.count)), "each line of the file once", found[:3])


def judged(scene, writer):
    """What comes from a host is judged as any record, and its cards are those that the server itself would see."""
    need("web1" in page(scene.port, "/metrics"), "the host's sources are counted")
    source, prints = f"web1/file:{writer.path}", {}
    texts, marks = {one["sequence"]: one["text"] for one in scene.entries(source)}, scene.marks(source)
    need(len(marks) == len(writer.cards), "each card has a mark, and nothing else has", (len(marks), len(writer.cards)))
    for sequence, all_of in marks.items():
        card = writer.cards[int(re.search(r"/n(\d{7})", texts[sequence])[1])]
        need([one[:2] for one in all_of] == [(0, card[-4:])], "a card number and its last four digits", all_of)
        prints.setdefault(card, set()).add(all_of[0][2])
    need(len(prints) == len(CARDS) and all(len(all_of) == 1 for all_of in prints.values()), "one fingerprint a card", prints)
    # The same card in a log of the server's own has the same fingerprint.
    now = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime())
    with open(scene.folder / "own.log", "a") as log:
        log.write(f'192.0.2.1 - - [{now}] "GET /n0000000?cc={CARDS[0]} HTTP/1.1" 200 5 "-" "Mozilla/5.0"\n')
    own = wait_for("the server's own line", 30, lambda: list(scene.marks(f"file:{scene.folder / 'own.log'}").values()))
    need({own[0][0][2]} == prints[CARDS[0]], "the same card on two machines", own)


def two_hosts(scene, writer):
    """A second host's file of the same path is another source."""
    scene.enrol("web2")
    before = len(scene.numbers(f"web1/file:{writer.path}"))
    agent = scene.run("web2", writer.path)
    lines = len(writer.path.read_text().splitlines())
    wait_for("the second host's lines", 60, lambda: len(scene.numbers(f"web2/file:{writer.path}")) >= lines)
    need(len(scene.numbers(f"web1/file:{writer.path}")) == before, "they come under no other's name")
    key = lambda host: (scene.folder / host / "fingerprint.key")
    need(key("web1").read_bytes() == key("web2").read_bytes() and key("web2").stat().st_mode & 0o777 == 0o600, "one key of fingerprints, its owner's alone")
    agent.send_signal(signal.SIGTERM)
    need(agent.wait(20) == 0, "it ends when told to")


def of_a_journal(scene, folder, started):
    """systemd's journal of a host, by the real journalctl: each record once over kills of both sides, masked there, and what the journal dropped is told."""
    place, settings = folder / "journal", folder / "web3.toml"
    place.mkdir()
    one, two = Journal(place / "one.journal", "php-fpm", started), Journal(place / "two.journal", "sshd", started)
    for _ in range(100):
        one.write(7)
        two.write(3)
    one.write(message=f"declined {CARDS[0]} for order 7")
    settings.write_text(f'[[source]]\nkind = "journald"\ndirectory = "{place}"\n')
    scene.enrol("web3")
    source = f"web3/journald:{place}"
    messages = lambda: [json.loads(entry["text"])["MESSAGE"] for entry in scene.entries(source)]
    wrong = folder / "wrong.toml"
    wrong.write_text('[[source]]\nkind = "shop_rows"\n')
    words = [scene.magewarden, "agent", "run", "--data", str(folder / "web3"), "--host", str(folder / "host.toml"), "--config"]
    done = subprocess.run([*words, wrong], capture_output=True, text=True, timeout=60)
    need(done.returncode != 0 and "journald" in done.stderr, "what a host doesn't collect is told at its start", done.stderr)

    def run():
        process = subprocess.Popen([*words, settings], stdout=subprocess.DEVNULL, stderr=open(folder / "web3.err", "a"))
        started.append(process)
        return process

    agent = run()
    wait_for("what was there before", 60, lambda: len(messages()) >= 1001)
    writing = threading.Thread(target=lambda: [(one.write(13), two.write(7), time.sleep(0.05)) for _ in range(200)])
    writing.start()
    for turn in range(4):
        time.sleep(1.5)
        scene.kill(agent)
        agent = run()
        if turn == 2:
            scene.kill(scene.server)
            time.sleep(2)
            scene.up()
    writing.join()
    # With the server away it is in the spool.
    scene.kill(scene.server)
    one.write(100)
    time.sleep(2)
    scene.kill(agent)
    agent = run()
    scene.up()
    total = one.written + two.written + 1
    # What comes into one file late, and is followed by nothing there, is found by the look each minute.
    wait_for("all of them", 180, lambda: len(messages()) >= total)
    found = messages()
    need(len(found) == len(set(found)) == total, f"each record once: {len(found)} of {total}")
    need("declined ************1111 for order 7" in found, "masked on the host")
    one.write(message="Suppressed 77 messages from php-fpm.service", MESSAGE_ID="a596d6fe7bfa4994828e72309e95d61e", _TRANSPORT="driver", N_DROPPED=77)
    health = lambda: [entry for entry in observations(pathlib.Path(scene.magewarden), scene.data, "magewarden:health") if entry["health.source"] == source and entry["health.kind"] == "lost"]
    wait_for("what the journal dropped is told at the server", 60, lambda: [entry["change_count"] for entry in health()] == [77])
    agent.send_signal(signal.SIGTERM)
    need(agent.wait(20) == 0, "it ends when told to")
    need(not any(path.is_file() and CARDS[0].encode() in path.read_bytes() for path in (folder / "web3").rglob("*")), "no card number in what it keeps")
    return total


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("collect") as (started, folder):
        scene = Scene(magewarden, folder, started)
        (folder / "log").mkdir()
        writer = Writer(folder / "log" / "access.log", "writer")
        scene.enrol("web1")
        scene.agent = scene.run("web1", writer.path)
        writer.write(200)
        scene.wait_all(f"web1/file:{writer.path}", writer)
        kills = through_kills(scene, writer)
        server_away(scene, writer)
        full(scene, writer)
        damaged(scene, writer)
        judged(scene, writer)
        writer.rotate()
        writer.write(300)
        scene.wait_all(f"web1/file:{writer.path}", writer)
        two_hosts(scene, writer)
        journal = of_a_journal(scene, folder, started)
        verified(magewarden, scene.data)
        scene.no_card(scene.data, "the server's folder")
        scene.no_card(folder / "web1", "the agent's folder")
        restored(scene, writer)
        verified(magewarden, scene.data)
    print(f"1 passed, 0 failed ({writer.count} lines, {journal} records of a journal, {kills['agent']} kills of the agent, {kills['server']} of the server)")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Measures, and writes docs/performance.md anew.

usage: benches/run.py [--program FILE] [--capture FOLDER] [--builds] [--quick] [--only PART] [--console FOLDER] [--containment]

--program FILE    measure this magewarden (that of ./package, say) instead of building one
--capture FOLDER  also analyze the logs of a real shop below FOLDER (its path is not written down)
--builds          also time a clean release build and a test build after a change (about five minutes)
--quick           a tenth of the sizes: to try the harness, its figures mean little
--only PART       prints one part's figures (peers, pipeline, latency, creations, files, shop), and writes nothing
--console FOLDER  measures benches/many.py on that data alone, and writes its section anew
--containment     measures benches/contain.py alone, and writes its section anew

Builds the release first, or takes the program that is given. Each figure is measured in turns with its peer, or with what the machine gives,
in the same run. Run it on an idle machine. Peers that are not installed are left out and said so
(Debian: goaccess, liblognorm-utils, zstd, aide; for the shop under load apache2-utils and what ./test --all installs).
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import generate

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROGRAM = TARGET / "release" / "magewarden"
TURNS = 5


class Run:
    """One run of a command: seconds of wall and CPU, most memory in MiB."""

    def __init__(self, command, cpus=None, stdin=None, cwd=None):
        if cpus is not None:
            command = ["taskset", "-c", cpus, *command]
        begin = time.monotonic()
        with open(stdin or os.devnull, "rb") as given:
            process = subprocess.Popen([str(word) for word in command], stdin=given, stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL, cwd=cwd)
            _, status, usage = os.wait4(process.pid, 0)
        self.wall = time.monotonic() - begin
        self.cpu = usage.ru_utime + usage.ru_stime
        self.mebibytes = usage.ru_maxrss / 1024
        self.code = os.waitstatus_to_exitcode(status)


def turns(*sides, count=TURNS):
    """Runs the sides in turns; gives their runs."""
    runs = [[] for _ in sides]
    for _ in range(count):
        for side, into in zip(sides, runs):
            into.append(side())
    return runs


def spread(values, digits=2):
    return f"{statistics.median(values):.{digits}f} ({min(values):.{digits}f}–{max(values):.{digits}f})"


class Report:
    def __init__(self):
        self.rows, self.raw = [], []

    def add(self, what, target, ours, peer, ratio, command):
        self.rows.append((what, target, ours, peer, ratio, command))
        print(f"{what}: {ours}; {peer}; {ratio}", flush=True)

    def keep(self, name, values):
        self.raw.append((name, ", ".join(f"{value:.4g}" for value in values)))


def cargo_bench(package, bench):
    """The lines `name value` a bench prints, of several runs, by name."""
    seen = {}
    for _ in range(3):
        out = subprocess.run(["taskset", "-c", "0", "cargo", "bench", "-q", "--locked", "-p", package, "--bench", bench],
                             cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for line in out.splitlines():
            match = re.match(r"(\S+(?: \S+)?)\s+([0-9.]+) (GB/s|MB/s|events/s)(.*)", line)
            if match:
                seen.setdefault(match[1], []).append((float(match[2]), match[3], match[4].strip(" ,")))
    return seen


def in_process(report):
    card = cargo_bench("magewarden-cardholder", "search")
    limit = [value for value, _, _ in card["limit read"]]
    regex = [value for value, _, _ in card["peer regex"]]
    report.keep("one pass that adds up the bytes, GB/s", limit)
    report.keep("crate regex, brands and lengths in the clear only, GB/s", regex)
    targets = {"portable": "≥ 0.8 GB/s"}
    for name, runs in card.items():
        if name.startswith(("limit", "peer")):
            continue
        values, note = [value for value, _, _ in runs], runs[-1][2]
        target = "≥ 1 GB/s" if name.startswith("mask") else targets.get(name.split()[-1], "≥ 2 GB/s")
        report.keep(f"card numbers, {name}, GB/s", values)
        report.add(f"card numbers, {name}: {note}", target, f"{spread(values)} GB/s",
                   f"regex {statistics.median(regex):.2f}, one pass over memory {statistics.median(limit):.2f} GB/s",
                   f"{statistics.median(values) / statistics.median(regex):.1f} × regex, {statistics.median(values) / statistics.median(limit):.2f} of a pass",
                   "cargo bench -p magewarden-cardholder --bench search")
    parsed = cargo_bench("magewarden-parse", "parse")
    limit = [value for value, _, _ in parsed["limit lines"]]
    report.keep("splitting into lines, MB/s", limit)
    for name, runs in parsed.items():
        if name.startswith("limit"):
            continue
        values = [value for value, _, _ in runs]
        target = {"mariadb_server_audit": "≥ 450 MB/s", "nginx_combined": "≥ 500 MB/s"}.get(name, "")
        report.keep(f"parse {name}, MB/s", values)
        report.add(f"parse {name} to events", target, f"{spread(values, 0)} MB/s",
                   f"splitting into lines {statistics.median(limit):.0f} MB/s",
                   f"{statistics.median(values) / statistics.median(limit):.2f} of splitting",
                   "cargo bench -p magewarden-parse --bench parse")
    for name, runs in cargo_bench("magewarden-detect", "rules").items():
        values = [value for value, _, _ in runs]
        report.keep(f"{name}, events/s", values)
        report.add(f"all rules over shaped events ({name})", "", f"{spread(values, 0)} events/s", "", "",
                   "cargo bench -p magewarden-detect --bench rules")
    return statistics.median(value for value, _, _ in parsed["nginx_combined"])


def peers(report, folder, scale, parsed):
    """The whole program beside other programs that read the same log, one core each."""
    log = folder / "peer" / "access.log"
    log.parent.mkdir()
    _, size = generate.write(log, generate.web_lines(1_000_000 // scale))
    sides = {"magewarden parse": lambda: Run([PROGRAM, "parse", "--as", "nginx_combined", log], "0")}
    if shutil.which("goaccess"):
        sides["goaccess"] = lambda: Run(["goaccess", log, "--log-format=COMBINED", "--no-global-config", "-o", folder / "goaccess.json"], "0")
    if shutil.which("lognormalizer"):
        rules = folder / "combined.rb"
        rules.write_text('version=2\nrule=:%ip:word% %id:word% %user:word% [%date:char-to:]%] "%request:char-to:"%" %status:number% %size:number% "%referer:char-to:"%" "%agent:char-to:"%"\n')
        sides["lognormalizer"] = lambda: Run(["lognormalizer", "-r", rules], "0", stdin=log)
    runs = turns(*sides.values(), count=3)
    for name, of in zip(list(sides), runs):
        # A program that fails early looks fast.
        if failed := [run.code for run in of if run.code != 0]:
            raise SystemExit(f"{name} ended with {failed[0]}")
    speeds = {name: [size / run.cpu / 1e6 for run in of] for name, of in zip(sides, runs)}
    for name, values in speeds.items():
        report.keep(f"{name}, nginx combined, MB/s of CPU time", values)
    own = statistics.median(speeds.pop("magewarden parse"))
    for name, values in speeds.items():
        report.add(f"nginx combined, log to JSON, beside {name}", "", f"{own:.0f} MB/s", f"{spread(values, 0)} MB/s",
                   f"{own / statistics.median(values):.1f} ×", "magewarden parse --as nginx_combined FILE")
    if "lognormalizer" in speeds:
        other = statistics.median(speeds["lognormalizer"])
        report.add("nginx combined to events alone (the bench above), beside lognormalizer, which writes JSON", "≥ 5 ×", f"{parsed:.0f} MB/s", f"{other:.0f} MB/s",
                   f"{parsed / other:.1f} ×", "cargo bench -p magewarden-parse --bench parse")
    for name in ("goaccess", "lognormalizer"):
        if not shutil.which(name):
            report.add(f"nginx combined, beside {name}", "", "", "not installed", "", "")


def pipeline(report, folder, scale):
    """The whole pipeline, two cores: mask, parse, seal, store, all rules, report."""
    def logs(name, records):
        place = folder / name
        place.mkdir()
        a, b = generate.write(place / "server_audit.log", generate.audit_lines(records * 2 // 3))
        c, d = generate.write(place / "access.log", generate.web_lines(records // 3))
        return place, a + c, b + d

    def analyze(place):
        out = folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        run = Run([PROGRAM, "analyze", place, "--out", out, "--fail-on", "never"], "0,1")
        if run.code != 0:
            raise SystemExit(f"analyze ended with {run.code}")
        return run

    small, records, size = logs("small", 1_200_000 // scale)
    files = sorted(small.iterdir())
    ours, hashed = turns(lambda: analyze(small), lambda: Run(["sha256sum", *files], "0"), count=3)
    rates = [records / run.wall for run in ours]
    report.keep("analyze, records/s", rates)
    report.keep("analyze, seconds of wall", [run.wall for run in ours])
    report.keep("sha256sum of the same files, seconds", [run.wall for run in hashed])
    report.add(f"whole pipeline, {records} records of two formats, two cores", "≥ 150 000 events/s", f"{spread(rates, 0)} records/s",
               f"sha256sum of the same bytes {statistics.median(run.wall for run in hashed):.2f} s",
               f"{statistics.median(run.wall for run in ours) / statistics.median(run.wall for run in hashed):.1f} × sha256sum's time",
               "magewarden analyze FOLDER")
    report.add(f"analyze of {size / 1e6:.0f} MB of logs, report included", "≤ 8 s for about 170 MB", f"{spread([run.wall for run in ours])} s", "",
               f"{size / 1e6 / statistics.median(run.wall for run in ours):.0f} MB/s", "magewarden analyze FOLDER")
    ledger = folder / "out" / "latest" / "ledger"
    checks, hashed = turns(lambda: Run([PROGRAM, "verify", ledger], "0"),
                           lambda: Run(["sha256sum", *sorted((ledger / "segments").glob("*.leaf")), *sorted((ledger / "segments").glob("*.data"))], "0"), count=3)
    report.keep("verify, seconds", [run.wall for run in checks])
    report.add("verify, every leaf and payload", "", f"{spread([records / run.wall for run in checks], 0)} entries/s",
               f"sha256sum of its segments {statistics.median(run.wall for run in hashed):.2f} s",
               f"{statistics.median(run.wall for run in checks) / statistics.median(run.wall for run in hashed):.1f} × its time", "magewarden verify LEDGER")
    stored = sum(file.stat().st_size for file in ledger.rglob("*") if file.is_file())
    report.add("ledger on disk", "", f"{stored / records:.0f} bytes an entry", f"the logs {size / records:.0f} bytes a record",
               f"{stored / size:.2f} × the logs", "du LEDGER")
    large, more, bytes_more = logs("large", 12_000_000 // scale)
    run = analyze(large)
    report.add(f"memory of analyze, {size / 1e6:.0f} MB and {bytes_more / 1e6:.0f} MB of logs", "≤ 256 MiB however large",
               f"{max(one.mebibytes for one in ours):.0f} and {run.mebibytes:.0f} MiB", "", f"{more / run.wall:.0f} records/s on the larger", "magewarden analyze FOLDER")
    report.keep("analyze of the larger, seconds", [run.wall])
    shutil.rmtree(large)


class Up:
    """`magewarden up` until it watches `source`; ended with the block."""

    def __init__(self, source, *words, cpus="0,1"):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.source, self.words, self.token = source, [str(word) for word in words], None
        self.begin = time.monotonic()
        self.process = subprocess.Popen(["taskset", "-c", cpus, PROGRAM, "up", *words, "--port", str(self.port)],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def __enter__(self):
        while time.monotonic() - self.begin < 300:
            try:
                if self.metric("works") == 1:
                    self.wall = time.monotonic() - self.begin
                    return self
            except OSError:
                pass
            time.sleep(0.02)
        self.__exit__()
        raise SystemExit(f"{self.source} was not read in 300 s")

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        _, _, self.usage = os.wait4(self.process.pid, 0)

    def page(self, path):
        # Counters are open on loopback; the rest is for who has a token.
        headers = {} if path == "/metrics" else self.headers()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        return urllib.request.urlopen(request, timeout=10).read().decode()

    def headers(self):
        if self.token is None:
            data = self.words[self.words.index("--data") + 1]
            self.token = subprocess.run([PROGRAM, "accounts", "token", f"bench-{time.time_ns()}", "--role", "auditor", "--data", data],
                                        check=True, capture_output=True, text=True).stdout.strip()
        return {"Authorization": f"Bearer {self.token}"}

    def finds(self, words):
        return "No incident fits" not in self.page(f"/incidents?q={words}")

    def metric(self, name):
        match = re.search(rf'^magewarden_source_{name}{{source="{re.escape(self.source)}"}} (\S+)$', self.page("/metrics"), re.MULTILINE)
        return float(match[1]) if match else None

    def judged(self):
        """How many records of the source were judged, and the milliseconds since each was handed over, added up."""
        page = self.page("/metrics")
        number = lambda name: re.search(rf'^magewarden_source_judged_seconds_{name}{{source="{re.escape(self.source)}"}} (\S+)$', page, re.MULTILINE)
        count, total = number("count"), number("sum")
        return (int(count[1]), float(total[1]) * 1000) if count and total else (0, 0.0)

    def live(self):
        """The live stream: it tells that there is news, and the page is asked at once, as a browser does."""
        stream = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        stream.sendall(f"GET /live HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {self.headers()['Authorization']}\r\n\r\n".encode())
        stream.recv(65536)
        return stream


def percentiles(samples):
    samples.sort()
    return f"p50 {samples[len(samples) // 2]:.1f} ms, p99 {samples[min(len(samples) - 1, len(samples) * 99 // 100)]:.1f} ms"


def latency(report, folder, scale):
    """A line written to a followed file → the finding on the console."""
    log = folder / "live.log"
    log.write_text("".join(generate.web_lines(2000)))
    samples = []
    with Up(f"file:{log}", "--log", log, "--data", folder / "data") as up:
        time.sleep(1)
        stream = up.live()
        for number in range(max(20, 250 // scale)):
            address = f"203.0.{113 + number // 250}.{number % 250 + 1}"
            line = (f'{address} - - [05/Aug/2026:12:{number // 60 % 60:02}:{number % 60:02} +0000] "GET /catalogsearch/result/?q='
                    f'1%27%20UNION%20SELECT%20password%20FROM%20admin_user-- HTTP/1.1" 200 512 "-" "x"\n')
            begin = time.monotonic()
            with open(log, "a", encoding="ascii") as file:
                file.write(line)
            while True:
                stream.recv(65536)
                if up.finds(address):
                    break
            samples.append((time.monotonic() - begin) * 1000)
            time.sleep(0.05)
    report.add(f"a line written to a followed file → the finding on the page, {len(samples)} samples", "p99 ≤ 50 ms, idle",
               percentiles(samples), "", "", "magewarden up --log FILE; the page fetched on each event of /live")
    report.keep("line to page, ms, sorted", samples)


def received(ledger, source):
    """When the pipeline received each file that was created, in milliseconds since 1970, by its name."""
    out = subprocess.run([PROGRAM, "entries", ledger, "--source", source, "--limit", "100000", "--format", "ndjson"], check=True, capture_output=True, text=True).stdout
    entries = [json.loads(line) for line in out.splitlines()]
    seen = {}
    for entry in entries:
        told = json.loads(entry["text"])
        if told.get("change") == "created":
            seen[pathlib.PurePath(told["file.path"]).name] = datetime.datetime.fromisoformat(entry["received"]).timestamp() * 1000
    return seen


def creations(report, folder, scale):
    """A burst of new files, and a web shell closed → its finding judged, its sealed incident told, and on the page.

    Judged is two times added, of one and the same record: from the close to when the record was received, as the ledger says by the same
    clock; and from when the source handed it over to when it was judged, as the histogram's sum grew by that one record. Handing
    over comes before receiving, so the wait in the queue is in both: the figure is no less than what was.
    """
    tree = folder / "shells"
    generate.tree(tree, 20_000 // scale)
    place = tree / "pub" / "media" / "catalog"
    place.mkdir(parents=True, exist_ok=True)
    watching = lambda: Up(f"tree:{tree}", "--source", f"files,root={tree}", "--data", folder / "shells-data")
    with watching() as up:
        before, begin = up.metric("records_total"), time.monotonic()
        for number in range(1000):
            (place / f"burst{number}.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(2000))
        written = time.monotonic() - begin
        while up.metric("records_total") - before < 1000 and time.monotonic() - begin < 60:
            time.sleep(0.01)
        sealed = time.monotonic() - begin
        time.sleep(1)
        report.add(f"1000 files created in {written * 1000:.0f} ms in a tree of {20_000 // scale}", "1000 events",
                   f"{up.metric('records_total') - before:.0f} events, all sealed {sealed * 1000:.0f} ms after the first was created", "", "", "magewarden up --source files,root=TREE")
    told, shown, read, waits = [], [], [], []
    # A finding names sixteen files, and the page is searched by name: ten to a start.
    for start in range(max(2, 25 // scale)):
        shutil.rmtree(folder / "shells-data")
        with watching() as up:
            stream, waited = up.live(), {}
            for number in range(10):
                name = f"shell{start}-{number}.php"
                before = up.judged()
                with open(place / name, "w", encoding="ascii") as file:
                    file.write(f'<?php @eval(base64_decode($_POST["k{number}"])); //' + "x" * 60_000)
                    file.flush()
                    closed, begin = time.time() * 1000, time.monotonic()
                while True:
                    stream.recv(65536)
                    news = time.monotonic()
                    if up.finds(name):
                        break
                told.append((news - begin) * 1000)
                shown.append((time.monotonic() - begin) * 1000)
                time.sleep(0.05)
                after = up.judged()
                # Of more than one record nobody knows whose time it was.
                if after[0] == before[0] + 1:
                    waited[name] = (closed, after[1] - before[1])
                (place / name).unlink()
                time.sleep(0.05)
        came = received(folder / "shells-data" / "ledger", f"tree:{tree}")
        read += [came[name] - closed for name, (closed, _) in waited.items()]
        waits += [waiting for _, waiting in waited.values()]
    judged = [one + other for one, other in zip(read, waits)]
    report.add(f"a web shell of 60 kB closed → its finding judged, {len(judged)} of {len(told)} samples", "p99 ≤ 10 ms, idle", percentiles(judged),
               f"closed → received: {percentiles(read)}; handed over → judged, one fsync in it: {percentiles(waits)}", "",
               "magewarden up --source files,root=TREE; the ledger's received time, and magewarden_source_judged_seconds of /metrics")
    report.keep("closed to judged, ms, sorted", judged)
    report.add(f"a web shell of 60 kB closed → its incident sealed and told to the console, {len(told)} samples", "p99 ≤ 50 ms, idle",
               percentiles(told), f"on the page: {percentiles(shown)}", "", "magewarden up --source files,root=TREE; the page fetched on each event of /live")
    report.keep("closed to told, ms, sorted", told)


def files(report, folder, scale):
    """A tree's baseline, with hash, signatures and card search, and a look at what changed, beside AIDE."""
    tree, count = folder / "tree", 100_000 // scale
    generate.tree(tree, count)
    size = sum(file.stat().st_size for file in tree.rglob("*") if file.is_file())
    data, settings, aide = folder / "files-data", folder / "aide.conf", folder / "aide"
    aide.mkdir()

    def ours(is_first, cpus):
        if is_first:
            shutil.rmtree(data, ignore_errors=True)
        with Up(f"tree:{tree}", "--source", f"files,root={tree}", "--data", data, cpus=cpus) as up:
            pass
        return up.wall, up.usage.ru_utime + up.usage.ru_stime, up.usage.ru_maxrss / 1024

    def theirs(rule, *words):
        settings.write_text(f"database_in=file:{aide}/db\ndatabase_out=file:{aide}/db.new\ngzip_dbout=no\nreport_url=file:/dev/null\nR={rule}\n{tree} R\n")
        run = Run(["aide", "-c", settings, *words], "0")
        if (aide / "db.new").exists():
            (aide / "db.new").rename(aide / "db")
        return run.wall, run.cpu, run.mebibytes

    has_aide = shutil.which("aide")
    whole, light = "p+i+n+u+g+s+m+c+sha256", "p+i+n+u+g+s+m+c"
    for name, is_first, rule, word, cpus, target in (
        ("baseline: hash, signatures, content rules and card search in one read", True, whole, "--init", "0", "≥ 25 000 files/s of CPU time"),
        ("baseline, on two cores", True, None, "", "0,1", "≥ 40 000 files/s"),
        ("a look at what changed, by metadata", False, light, "--check", "0", "≥ 80 000 files/s"),
    ):
        if rule == light and has_aide:
            theirs(light, "--init")
        sides = [lambda: ours(is_first, cpus)] + ([lambda: theirs(rule, word)] if has_aide and rule else [])
        own, *peer = turns(*sides, count=3)
        by_cpu = cpus == "0"
        speed = lambda runs: [count / (run[1] if by_cpu else run[0]) for run in runs]
        unit = "files/s of CPU time" if by_cpu else "files/s"
        report.keep(f"files, {name}, {unit}", speed(own))
        other, ratio = "", ""
        if peer:
            report.keep(f"AIDE, {rule}, files/s of CPU time", speed(peer[0]))
            other = f"AIDE {spread(speed(peer[0]), 0)}"
            ratio = f"{statistics.median(speed(own)) / statistics.median(speed(peer[0])):.1f} × AIDE"
        report.add(f"{count} files, {size / 1e6:.0f} MB: {name}; {max(run[2] for run in own):.0f} MiB", target, f"{spread(speed(own), 0)} {unit}", other, ratio,
                   "magewarden up --source files,root=TREE")
    if not has_aide:
        report.add("files, beside AIDE", "", "", "not installed", "", "")


def shop(report, quick):
    """What watching and each log cost a shop under load: ten pairs each."""
    out = subprocess.run([sys.executable, ROOT / "benches/load.py", PROGRAM, *(["--quick"] if quick else [])], check=True, stdout=subprocess.PIPE, text=True).stdout
    for line in out.splitlines():
        told = json.loads(line)
        if "ratio" not in told:
            report.add(told["what"] + f": {told['count']} at a shop under load", "≤ 1 % of MariaDB's busy time, none over 50 ms, no lock waited for",
                       f"{told['share'] * 100:.2f} %, the longest {told['longest_ms']:.1f} ms; waits for locks: {told['waits']}, {told['waits_ms']:.0f} ms, while rows it watches "
                       f"were held by others {told['held_ms']:.0f} ms at a time",
                       f"a statement of its account that waits, for comparison: {told['control_waits']}, {told['control_ms']:.0f} ms", "", "benches/load.py")
            report.add("magewarden's own statements while others hold a table it watches (LOCK TABLES, ALTER TABLE behind a transaction)", "no lock waited for",
                       f"{told['refused']} given up, waits for locks: {told['refused_waits']}, {told['refused_waits_ms']:.0f} ms, the longest statement {told['refused_longest_ms']:.1f} ms", "", "", "benches/load.py")
            continue
        report.keep(f"{told['what']}: checkouts/s without", told["without"])
        report.keep(f"{told['what']}: checkouts/s with", told["with"])
        change, low, high = ((told[name] - 1) * 100 for name in ("ratio", "low", "high"))
        report.add(f"price: {told['what']}", "", f"{statistics.median(told['with']):.0f} checkouts/s", f"without: {statistics.median(told['without']):.0f}",
                   f"{change:+.1f} % ({low:+.1f} to {high:+.1f})", "benches/load.py")


def capture(report, folder, logs):
    out = folder / "capture"
    places = [pathlib.Path(logs) / name for name in ("mysql", "nginx", "magento", "php") if (pathlib.Path(logs) / name).is_dir()] or [logs]
    runs = []
    for _ in range(3):
        shutil.rmtree(out, ignore_errors=True)
        runs.append(Run([PROGRAM, "analyze", *places, "--out", out, "--fail-on", "never"], "0,1"))
    size = sum(file.stat().st_size for place in places for file in pathlib.Path(place).rglob("*") if file.is_file())
    report.keep("capture of a real shop, seconds", [run.wall for run in runs])
    report.add(f"analyze of a capture of a real shop, {size / 1e6:.0f} MB on disk", "≤ 8 s, ≤ 256 MiB",
               f"{spread([run.wall for run in runs])} s, {max(run.mebibytes for run in runs):.0f} MiB", "", "", "magewarden analyze FOLDER…")


def builds(report):
    with tempfile.TemporaryDirectory() as target:
        environment = dict(os.environ, CARGO_TARGET_DIR=target)

        def build(*words):
            begin = time.monotonic()
            subprocess.run(["cargo", *words], cwd=ROOT, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            return time.monotonic() - begin

        report.add("clean release build", "≤ 10 min on two cores", f"{build('build', '--release', '--locked'):.0f} s", "", "", "cargo build --release")
        build("test", "--locked", "--workspace", "--no-run")
        os.utime(ROOT / "crates/detect/src/lib.rs")
        report.add("test build after a change in one crate", "≤ 30 s", f"{build('test', '--locked', '--workspace', '--no-run'):.0f} s", "", "",
                   "touch crates/detect/src/lib.rs; cargo test --workspace --no-run")


def console(folder):
    """What a console with ten thousand incidents and a million findings costs, as a section of its own: its data takes twenty minutes to make."""
    told = [json.loads(line) for line in subprocess.run([sys.executable, ROOT / "benches/many.py", PROGRAM, folder], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()]
    report = Report()
    command = "benches/many.py MAGEWARDEN FOLDER, made by cargo bench -p magewarden-engine --bench many -- FOLDER 10000 100"
    for one in told:
        what = one.pop("what")
        if what.startswith("first byte"):
            wanted = "≤ 200 ms" if "search" in what else "≤ 100 ms"
            shown = f"{spread(one['runs_ms'], 1)} ms, {one['bytes'] / 1000:.0f} kB"
            report.keep(f"{what}, ms", one["runs_ms"])
        elif "share_of_a_core" in one:
            wanted = "≤ 10 % of a core"
            shown = f"{one['share_of_a_core'] * 100:.1f} % of a core for {one['people']} pages, {one['loads']} loads of them and {one['changes']} changes in a minute; {one['most_mib']} MiB at most"
        else:
            wanted = "≤ 512 MiB"
            shown = f"{one['resident_mib']} MiB, {one['most_mib']} MiB at most" + (f", after {one['seconds']} s" if "seconds" in one else "")
        report.add(what, wanted, shown, "", "", command)
    return written(report, f"{CONSOLE}\n\n{made()}")


def containment():
    """What it takes until an address is refused and a store is closed, beside fail2ban, as a section of its own: it needs fail2ban and an idle machine."""
    told = [json.loads(line) for line in subprocess.run([sys.executable, ROOT / "benches/contain.py", PROGRAM], check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()]
    report, command = Report(), "benches/contain.py MAGEWARDEN"
    words = lambda one: f"p50 {one['median']} ms, p99 {one['p99']} ms"
    for one in told:
        for side in (name for name in one if isinstance(one[name], dict)):
            report.keep(f"{one['what']}: {side}", one[side]["raw"])
    refused, closed, alone = told
    peer = f"fail2ban {words(refused['fail2ban'])}"
    report.add(f"a line of an attack written → the refusal of its address begins, {refused['times']} samples", "p50 ≤ 17 ms, p99 ≤ 100 ms, ≥ 10 × fail2ban", words(refused["begun"]), peer,
               f"{refused['fail2ban / begun']} × fail2ban's median", command)
    report.add("→ nginx was told, answers for it, and that is read back", "", words(refused["in effect"]), peer + ", which reads nothing back", "", command)
    report.add(f"a plan asked for and approved → its store closed on every way, evidence kept first, {closed['times']} samples", "p99 ≤ 1 s", words(closed["closed"]), "", "", command)
    report.add("→ sealed by the server", "", words(closed["sealed"]), "", "", command)
    report.add(f"a browser's report that makes a finding → its store closed on every way, evidence sealed first, nobody asked, {alone['times']} samples", "p99 ≤ 1 s", words(alone["closed"]), "", "", command)
    report.add("→ the evidence sealed and the closing begun", "", words(alone["sealed, closing begun"]), "", "", command)
    report.add("→ the closing sealed by the server", "", words(alone["that sealed"]), "", "", command)
    return written(report, f"{CONTAINMENT}\n\n{made()}")


def machine():
    model = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
    memory = int(next(line.split()[1] for line in open("/proc/meminfo") if line.startswith("MemTotal"))) // 1024 // 1024
    return f"{model}, {os.cpu_count()} cores, {memory + 1} GiB, Linux {platform.release()}"


DOCUMENT = ROOT / "docs/performance.md"
CONSOLE = "## A console with ten thousand incidents and a million findings"
CONTAINMENT = "## From a finding to a step that is done"


def section(title):
    """A section of the document as it is, with all that is below its title; nothing when there is none."""
    found = re.search(rf"^{re.escape(title)}\n.*?(?=^## |\Z)", DOCUMENT.read_text(), re.S | re.M)
    return found[0] if found else ""


def made(load=None):
    """When, of what and where."""
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    load = os.getloadavg()[0] if load is None else load
    return f"{datetime.date.today()}, commit {commit}, {machine()}; load before the run {load:.2f}."


def written(report, head):
    rows = "\n".join(f"| {' | '.join(row)} |" for row in report.rows)
    raw = "\n".join(f"- {name}: {values}" for name, values in report.raw)
    return f"""{head}

| what | wanted | magewarden | peer or machine | ratio | command |
|---|---|---|---|---|---|
{rows}

### Raw runs

{raw}
"""


def main():
    options = argparse.ArgumentParser()
    for name in ("--builds", "--containment", "--quick"):
        options.add_argument(name, action="store_true")
    for name in ("--capture", "--program", "--console"):
        options.add_argument(name)
    options.add_argument("--only", choices=("peers", "pipeline", "latency", "creations", "files", "shop"))
    options = options.parse_args()
    scale = 10 if options.quick else 1
    load = os.getloadavg()[0]
    if options.program:
        globals()["PROGRAM"] = pathlib.Path(options.program).resolve()
    else:
        subprocess.run(["cargo", "build", "--release", "--locked"], cwd=ROOT, check=True)
    if options.console:
        DOCUMENT.write_text(DOCUMENT.read_text().replace(section(CONSOLE), "").rstrip("\n") + "\n\n" + console(options.console))
        return
    if options.containment:
        DOCUMENT.write_text(DOCUMENT.read_text().replace(section(CONTAINMENT), "").rstrip("\n") + "\n\n" + containment())
        return
    report = Report()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="magewarden-bench-"))
    try:
        for name, part in (("peers", lambda *given: peers(*given, in_process(report))), ("pipeline", pipeline), ("latency", latency), ("creations", creations), ("files", files)):
            if options.only in (None, name):
                part(report, folder, scale)
        if options.only in (None, "shop"):
            if all(shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin") for program in ("ab", "mariadbd", "nginx", "redis-server")):
                shop(report, options.quick)
            else:
                report.add("price of watching", "", "", "not installed: apache2-utils, mariadb-server, nginx, redis-server, php-fpm", "", "")
        if options.capture:
            capture(report, folder, options.capture)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if options.only:
        return
    if options.builds:
        builds(report)
    own = "\n".join(filter(None, map(section, (CONSOLE, CONTAINMENT))))
    quick = " A QUICK RUN: these figures mean little." if options.quick else ""
    DOCUMENT.write_text(written(report, f"""# Performance

Written by `benches/run.py`; don't edit. {made(load)}
Figures are medians with the least and the greatest run. Each was measured in turns with its peer, or with what the machine gives, in this run;
searching, masking and parsing on one core. Other machines give other figures: read the ratios.{quick}""") + ("\n" + own if own else ""))


if __name__ == "__main__":
    main()

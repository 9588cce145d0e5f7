#!/usr/bin/env python3
"""What needs root, by the root helper: a closed list, asked for by an account that has no right of its own, at a real nginx and real nftables.

usage: root_helper.py MAGEWARDEN

Needs to be root, as it makes three network namespaces (addresses of 10.78.0.0/16 and fd00:78::/32, within them alone) and removes them at its
end. In the shop's there are an nginx, a packet filter of somebody else's, and the helper, which is started as systemd does: the socket is opened for it,
and it is there when somebody calls. `magewarden respond` runs as nobody. Packets of one host are dropped and pass again, others' all the while; nginx
is changed and told by the helper; whoever isn't the account, whatever isn't on the list and every folder that isn't root's alone is refused; and the
helper is killed at random moments.
"""
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

from shared import STORES, need, spaces, stage, wait_for

KILLS = 24
SHOP, THIEF, CUSTOMER = "10.78.1.1", "10.78.1.2", "10.78.2.2"
NEW_SHOP, NEW_THIEF = "fd00:78:1::1", "fd00:78:1::2"
PORT = 8080
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs"]
# What an administrator has: none of it may change.
OTHERS = """
table inet filter {
  set office { type ipv4_addr; flags interval; elements = { 10.78.9.0/24 }; }
  chain input {
    type filter hook input priority 0; policy accept;
    ip saddr @office tcp dport 22 accept comment "by hand"
  }
}
table ip nat {
  chain out {
    type nat hook postrouting priority 100;
    oifname "wan" masquerade
  }
}
"""
# Asks once, or twice over one connection with a word from standard input in between; prints each status, 0 for none.
ASK = """
import http.client, sys
link = http.client.HTTPConnection(sys.argv[1], int(sys.argv[2]), timeout=2)
for turn in range(int(sys.argv[3])):
    if turn:
        sys.stdin.readline()
    try:
        link.request("GET", "/", headers={"Host": sys.argv[4]})
        answer = link.getresponse()
        answer.read()
        print(answer.status, flush=True)
    except OSError:
        print(0, flush=True)
"""


def outside(magewarden):
    """Makes the namespaces, runs the rest inside of the shop's, and removes them."""
    with spaces("r", 78) as names:
        return subprocess.run(["ip", "netns", "exec", names[0], sys.executable, __file__, str(magewarden), *names[1:]]).returncode


class Activated:
    """The helper as systemd starts it: when somebody calls, with the socket as its standard input."""

    def __init__(self, program, folder, settings):
        self.words, self.err, self.path = [str(program), "agent", "root", "--settings", str(settings)], folder / "root.err", folder / "root.sock"
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(self.path))
        # In the unit it is 0660 and of the agent's group; here others get as far as the helper.
        self.path.chmod(0o666)
        self.socket.listen(16)
        self.process, self.is_over, self.begun = None, threading.Event(), 0
        self.thread = threading.Thread(target=self.go)

    def go(self):
        import select
        while not self.is_over.is_set():
            if (self.process is None or self.process.poll() is not None) and select.select([self.socket], [], [], 0.05)[0]:
                self.process, self.begun = subprocess.Popen(self.words, stdin=self.socket, stdout=subprocess.DEVNULL, stderr=open(self.err, "a")), self.begun + 1
            time.sleep(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.is_over.set()
        self.thread.join()
        if self.process and self.process.poll() is None:
            self.process.terminate()
            need(self.process.wait(20) == 0, "it ends when it is asked to", self.process.returncode)
        self.socket.close()

    def raw(self, sent, before=()):
        """What it answers to bytes, as the account that may ask or by other words."""
        code = ("import socket, sys\nlink = socket.socket(socket.AF_UNIX)\nlink.settimeout(20)\nlink.connect(sys.argv[1])\n"
                "try:\n    link.sendall(sys.stdin.buffer.read())\nexcept BrokenPipeError:\n    pass\n"
                "out = b''\ntry:\n    while part := link.recv(65536):\n        out += part\nexcept ConnectionResetError:\n    pass\nsys.stdout.buffer.write(out)")
        done = subprocess.run([*(before or NOBODY), "/usr/bin/python3", "-c", code, str(self.path)], input=sent, capture_output=True, timeout=60)
        need(done.returncode == 0, "a call", done.stderr.decode())
        return json.loads(done.stdout) if done.stdout else None


class Scene:
    def __init__(self, magewarden, folder, started, spaces):
        self.folder, self.started, (self.thief, self.customer) = folder, started, spaces
        folder.chmod(0o755)
        self.program = shutil.copy2(magewarden, folder / "magewarden")
        os.chmod(self.program, 0o755)
        self.include, self.conf = folder / "include", folder / "nginx.conf"
        nginx = f'"/usr/sbin/nginx", "-c", "{self.conf}", "-e", "{folder}/nginx.err"'
        (folder / "stores.toml").write_text(STORES)
        part = f'[nginx]\nfolder = "{self.include}"\n'
        self.host = f'{part}ask = "127.0.0.1:{PORT}"\ntest = ["/bin/false"]\nreload = ["/bin/false"]\nproxies = ["10.78.1.200"]\n[root]\nsocket = "{folder}/root.sock"\n'
        (folder / "host.toml").write_text(self.host)
        self.settings = folder / "root.toml"
        self.settings.write_text(f'user = "nobody"\nstores = "{folder}/stores.toml"\n{part}test = [{nginx}, "-t"]\nreload = [{nginx}, "-s", "reload"]\n[nftables]\nnever = ["{CUSTOMER}"]\n')
        (folder / "vault").mkdir()
        shutil.chown(folder / "vault", "nobody")
        self.right("--prepare", before=())
        self.conf.write_text(f"""pid {folder}/nginx.pid;
events {{}}
http {{
  access_log off;
  variables_hash_bucket_size 128;
  include {self.include}/http.conf;
  server {{
    listen 0.0.0.0:{PORT};
    listen [::]:{PORT} ipv6only=on;
    include {self.include}/server.conf;
    location / {{ return 200 "sold"; }}
  }}
}}
""")
        started.append(subprocess.Popen(["/usr/sbin/nginx", "-c", self.conf, "-e", folder / "nginx.err", "-g", "daemon off;"]))
        wait_for("nginx", 20, lambda: self.status(self.customer) == 200)
        subprocess.run(["nft", "-f", "-"], input=OTHERS, text=True, check=True)
        self.before = self.ruleset()

    def run(self, *words, before=tuple(NOBODY)):
        vault = [] if words[-1] == "--prepare" else ["--vault", str(self.folder / "vault")]
        return subprocess.run([*before, str(self.program), "respond", *words, "--host", str(self.folder / "host.toml"), "--stores", str(self.folder / "stores.toml"), *vault],
                              capture_output=True, text=True, timeout=120)

    def right(self, *words, before=tuple(NOBODY)):
        done = self.run(*words, before=before)
        need(done.returncode == 0, f"respond {' '.join(words)}: {done.returncode}", done.stdout + done.stderr)
        return done.stdout

    def refused(self, words, *said):
        done = self.run(*words)
        need(done.returncode == 1 and all(one in done.stderr for one in said), f"{words}: it says {said}", done.stdout + done.stderr)

    @staticmethod
    def status(space, at=SHOP, host="shop.example.com"):
        done = subprocess.run(["ip", "netns", "exec", space, sys.executable, "-c", ASK, at, str(PORT), "1", host], capture_output=True, text=True, timeout=30)
        return int(done.stdout or 0)

    @staticmethod
    def ruleset():
        return subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout

    def others(self):
        """The rules without our table."""
        return re.sub(r"(?ms)^table inet magewarden \{\n.*?^\}\n", "", self.ruleset())

    def file(self):
        about = (self.include / "http.conf").stat()
        return (self.include / "http.conf").read_bytes(), about.st_mode, about.st_uid, about.st_gid, about.st_mtime_ns


def drops(scene, helper):
    """A thief's packets are dropped, by both versions of IP and on open connections, too; nobody else's are."""
    words = lambda network: ("drop_packets", "--set", f"network={network}")
    need([scene.status(scene.thief), scene.status(scene.thief, NEW_SHOP)] == [200, 200], "the thief gets in")
    need("let through → dropped" in scene.right(*words(THIEF), "--survey") and scene.ruleset() == scene.before, "a survey changes nothing")
    long = subprocess.Popen(["ip", "netns", "exec", scene.thief, sys.executable, "-u", "-c", ASK, SHOP, str(PORT), "2", "shop.example.com"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    need(long.stdout.readline() == "200\n", "a connection that stays open")
    need(scene.right(*words(THIEF), "--act") == "in effect\n", "it says that it is in effect")
    long.stdin.write("\n")
    long.stdin.flush()
    need(long.stdout.readline() == "0\n", "the open connection hangs")
    long.wait(20)
    need([scene.status(scene.thief), scene.status(scene.thief, NEW_SHOP), scene.status(scene.customer)] == [0, 200, 200], "dropped, but not by its other address, and nobody else's")
    need(scene.others() == scene.before, "others' rules", scene.ruleset())
    # An address as IPv6 has it is the same one.
    need("dropped already" in scene.right(*words(f"::ffff:{THIEF}"), "--survey"), "IPv4 written as IPv6")
    scene.right(*words("fd00:78:1::/64"), "--act")
    need(scene.status(scene.thief, NEW_SHOP) == 0, "by its other address, too")
    # Whoever is in a network that is dropped stays dropped when the network isn't any more, and the other way round.
    scene.right(*words("10.78.1.0/25"), "--act")
    scene.right(*words(THIEF), "--undo")
    need(scene.status(scene.thief) == 0, "its network is dropped still")
    scene.right(*words("10.78.1.0/25"), "--undo")
    need(scene.status(scene.thief) == 200 and scene.run(*words(THIEF), "--check").returncode == 10, "it passes again")
    scene.right(*words("fd00:78:1::/64"), "--undo")
    need(scene.status(scene.thief, NEW_SHOP) == 200, "and by its other address")
    need(scene.ruleset() == scene.before, "the rules are to the letter what they were", scene.ruleset())
    # What the host says to itself passes by whatever address it has.
    scene.right(*words(SHOP), "--act")
    need(subprocess.run([sys.executable, "-c", ASK, SHOP, str(PORT), "1", "shop.example.com"], capture_output=True, text=True).stdout == "200\n", "the host reaches itself")
    # Somebody takes our table away: that is told, and done again it is back.
    subprocess.run(["nft", "delete", "table", "inet", "magewarden"], check=True)
    need(scene.run(*words(SHOP), "--check").returncode == 10, "what was taken away is told")
    scene.right(*words(SHOP), "--act")
    scene.right(*words(SHOP), "--undo")
    scene.refused((*words("10.78.1.128/25"), "--act"), "a proxy")
    scene.refused((*words("10.78.2.0/24"), "--act"), f"{CUSTOMER} is never dropped here")
    need(scene.ruleset() == scene.before, "the rules are what they were", scene.ruleset())
    # The same by an administrator without a helper.
    (scene.folder / "host.toml").write_text(scene.host[:scene.host.index("[root]")] + "[nftables]\n")
    scene.right(*words(THIEF), "--act", before=())
    need(scene.status(scene.thief) == 0, "dropped by root itself")
    need(scene.run(*words(THIEF), "--check").returncode == 1, "without root there is nothing to be seen")
    scene.right(*words(THIEF), "--undo", before=())
    (scene.folder / "host.toml").write_text(scene.host)
    shutil.chown(scene.folder / "vault", "nobody")
    need(scene.ruleset() == scene.before, "the rules are what they were", scene.ruleset())


def web_server(scene, helper):
    """nginx is changed by the helper, by rules alone; its own account can't write what nginx reads."""
    words, was = ("close_website", "--set", "website=second"), scene.file()
    shown = lambda: scene.status(scene.customer, host="us.example.com")
    scene.right(*words, "--act")
    need((shown(), scene.status(scene.customer)) == (503, 200), "a website is closed, the other isn't")
    done = subprocess.run([*NOBODY, "sh", "-c", f"echo x >> {scene.include}/http.conf"], capture_output=True)
    need(done.returncode != 0 and scene.file()[2] == 0, "the file is root's")
    scene.right("block_network", "--set", f"network={THIEF}", "--act")
    need((scene.status(scene.thief), scene.status(scene.customer)) == (403, 200), "an address is refused")
    scene.right(*words, "--undo")
    need((shown(), scene.status(scene.thief)) == (200, 403), "only the website is open again")
    scene.right("block_network", "--set", f"network={THIEF}", "--undo")
    need(scene.status(scene.thief) == 200 and scene.file()[0] == was[0], "open, and the file has the bytes it had")
    was, text = scene.file(), scene.conf.read_text()
    scene.conf.write_text(text + "nonsense on;\n")
    scene.refused((*words, "--act"), "the root helper can't do test_nginx", "unknown directive")
    need(scene.file() == was and shown() == 200, "somebody's mistake: nothing changes")
    scene.conf.write_text(text)
    scene.right(*words, "--undo")
    scene.right(*words, "--act")
    scene.right(*words, "--undo")
    need(scene.file() == was, "undone: content, mode, owner and time", (scene.file()[1:], was[1:]))
    # Root's stores are others: the file would be another one.
    stores = scene.folder / "stores.toml"
    stores.write_text(STORES.replace('store = "us_store"\n', 'store = "us_store"\nactive = false\n').replace('"us.example.com"', '"uk.example.com"'))
    restart(helper)
    helper.raw(b'{"operation":"list_networks"}\n')
    stores.write_text(STORES)
    scene.refused((*words, "--act"), "writes another file")
    need(shown() == 200, "nothing is closed")
    restart(helper)
    scene.right(*words, "--undo")
    need(scene.file()[0] == was[0], "as it was")
    # Whoever may write what nginx reads as root is root: then it does nothing for anybody.
    for path, owner, mode in ((scene.include, "nobody", 0o755), (scene.include, "root", 0o777), (scene.include / "http.conf", "nobody", 0o644), (scene.include / "server.conf", "root", 0o666)):
        usual = 0o755 if path == scene.include else 0o644
        shutil.chown(path, owner)
        path.chmod(mode)
        for asked in ('{"operation":"test_nginx"}', '{"operation":"reload_nginx"}', '{"operation":"put_rules","rules":[]}'):
            told = helper.raw(asked.encode() + b"\n")
            need(told["reply"] == "refused" and "isn't root's alone" in told["why"], f"{path} of {owner}, {mode:o}: {asked}", told)
        shutil.chown(path, "root")
        path.chmod(usual)


def restart(helper):
    helper.process.kill()
    helper.process.wait()


def refusals(scene, helper):
    """Whoever isn't the account, and whatever isn't on the list."""
    listed = b'{"operation":"list_networks"}\n'
    need(helper.raw(listed) == {"reply": "networks", "networks": []}, "the account that may ask")
    other = helper.raw(b'{"operation":"add_network","network":"10.78.1.2"}\n', ["setpriv", "--reuid=www-data", "--regid=nogroup", "--clear-groups"])
    need(other["reply"] == "refused" and "isn't the one that may ask" in other["why"], "another account", other)
    chance = random.Random(5)
    good = [b'{"operation":"add_network","network":"10.78.1.2"}\n', b'{"operation":"put_rules","rules":["view fr"]}\n']
    bad = [b'{"operation":"run","program":["/bin/sh"]}\n', b'{"operation":"test_nginx","program":["/bin/sh"]}\n', b'{"operation":"add_network","network":"10.78.1.2 } ; flush ruleset ; #"}\n',
           b'{"operation":"put_rules","rules":["view fr\\n}"]}\n', b'{"operation":"put_rules","rules":["include /etc/shadow"]}\n', b"\n", b"", b"\0\n", b"GET / HTTP/1.1\r\n\r\n", b"[" * 9000 + b"\n",
           b"x" * 300_000, listed + listed, listed[:-1], b'{"operation":"add_network","network":"0.0.0.0/0"}\n']
    for _ in range(60):
        bent = bytearray(chance.choice(good))
        for _ in range(1 + chance.randrange(3)):
            # Into what no request has: none of them is one by chance.
            bent[chance.randrange(2, 14)] = chance.choice(b"\x00\xff\x1b<{[")
        bad.append(bytes(bent))
    for one in bad:
        if one.endswith(b"\n") or len(one) > 1000:
            told = helper.raw(one)
            need(told is None or told["reply"] == "refused", f"refused: {one[:80]}", told)
    # Whoever begins and doesn't go on holds nobody up for long.
    begun = time.monotonic()
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(helper.path))
        slow.sendall(listed[:9])
        need(helper.raw(listed)["reply"] == "networks" and time.monotonic() - begun < 5, "the next one is heard")
    need(scene.ruleset() == scene.before, "nothing changed")
    said = helper.err.read_text()
    need("of account 33: refused" in said and "list_networks: 0 networks" in said and "\x1b" not in said and "\0" not in said, "it says whom it refused and what it did", said[-2000:])
    # Settings that somebody else may write, and no socket at all.
    for change, words in ((lambda: scene.settings.chmod(0o664), "isn't root's alone"), (lambda: shutil.chown(scene.settings, "nobody"), "isn't root's alone"), (lambda: None, "is no Unix socket")):
        change()
        done = subprocess.run(helper.words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20)
        need(done.returncode == 1 and words in done.stderr, f"it doesn't start: {words}", done.stderr)
        shutil.chown(scene.settings, "root")
        scene.settings.chmod(0o644)


def kills(scene, helper):
    """The helper is killed while it acts; what it left is told, and both ways lead out of it. Gives how often it answered nobody any more."""
    chance, cut = random.Random(3), 0
    was = scene.file()
    for turn in range(KILLS):
        words = ("drop_packets", "--set", f"network={THIEF}") if turn % 2 else ("close_website", "--set", "website=second")
        undoing = turn % 3 == 2
        if undoing:
            scene.right(*words, "--act")
        helper.raw(b'{"operation":"list_networks"}\n')
        acting = subprocess.Popen([*NOBODY, str(scene.program), "respond", *words, "--host", str(scene.folder / "host.toml"), "--stores", str(scene.folder / "stores.toml"),
                                   "--vault", str(scene.folder / "vault"), "--undo" if undoing else "--act"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        time.sleep(chance.random() * (0.15 if turn % 2 else 0.5))
        restart(helper)
        said = acting.communicate(timeout=120)[1]
        cut += "ended before it answered" in said
        told = scene.run(*words, "--check")
        need(told.returncode in (0, 10) and "in effect" in told.stdout, "what it left is described", told.stdout + told.stderr)
        if turn % 4 < 2:
            scene.right(*words, "--act")
            need(scene.right(*words, "--check") == "in effect\n", "done after all")
        undone = scene.run(*words, "--undo")
        need(undone.returncode == 0 or "nothing is kept" in undone.stderr, "undone", undone.stdout + undone.stderr)
        need(scene.ruleset() == scene.before, f"turn {turn}: the rules are what they were", scene.ruleset())
        need(scene.file() == was, f"turn {turn}: nginx's file is what it was", scene.file())
        need((scene.status(scene.thief), scene.status(scene.customer, host="us.example.com")) == (200, 200), f"turn {turn}: all pass")
    return cut


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    if os.geteuid() != 0:
        raise SystemExit("root_helper.py needs to be root: it makes network namespaces and is the helper")
    if len(sys.argv) == 2:
        raise SystemExit(outside(magewarden))
    with stage("root-helper") as (started, folder):
        scene = Scene(magewarden, folder, started, sys.argv[2:])
        with Activated(scene.program, folder, scene.settings) as helper:
            for part in (drops, web_server, refusals):
                part(scene, helper)
            cut = kills(scene, helper)
        print(f"4 passed, 0 failed (packets, web server, refusals, kills: {KILLS}, {cut} of them in the middle of an answer, {helper.begun} starts)")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Hosts with agents and the server they report to: let in by a word that works once, renewed, removed, through a server that is killed.

usage: agent.py MAGEWARDEN

Everything listens on 127.0.0.1. Two hosts with folders of their own; a word is used twice, kept too long in mind, and taken to another
server; one host is removed while it reports; the server is killed and comes back; garbage, silence and another authority's certificate
are brought to the listener meanwhile.
"""
import json
import os
import pathlib
import signal
import socket
import ssl
import stat
import subprocess
import sys
import time

from shared import free_port, need, page, stage, wait_for

HOUR = 3_600_000_000


class Scene:
    """A server and its hosts, each in a folder of its own."""

    def __init__(self, magewarden, folder, started):
        self.magewarden, self.folder, self.started = str(magewarden), folder, started
        self.port, self.agents = free_port(), free_port()
        self.log = folder / "access.log"
        self.log.write_text('192.0.2.1 - - [05/Aug/2026:10:15:30 +0000] "GET / HTTP/1.1" 200 1 "-" "x"\n')
        (folder / "host.toml").write_text("")
        (folder / "policy.toml").write_text('people = 2\n[never]\nnetworks = ["192.0.2.0/24"]\n')
        self.data = folder / "data"

    def up(self):
        with open(self.folder / "up.err", "a") as err:
            up = subprocess.Popen([self.magewarden, "up", "--data", str(self.data), "--log", str(self.log), "--port", str(self.port), "--agents", f"127.0.0.1:{self.agents}"],
                                  stdout=subprocess.DEVNULL, stderr=err)
        self.started.append(up)
        wait_for("the console", 60, lambda: "<main" in page(self.port))
        return up

    def agent(self, *words, code=0):
        done = subprocess.run([self.magewarden, "agent", *map(str, words)], capture_output=True, text=True, timeout=60)
        need(done.returncode == code, f"agent {' '.join(map(str, words))}: {done.returncode}", done.stdout + done.stderr)
        return done.stdout + done.stderr

    def invite(self, name, data=None):
        return self.agent("invite", name, "--data", data or self.data).strip()

    def enrol(self, word, host, code=0):
        return self.agent("enrol", "--server", f"https://127.0.0.1:{self.agents}", "--invitation", word, "--data", self.folder / host, code=code)

    def identity(self, host):
        return json.loads((self.folder / host / "agent.identity").read_text())

    def run(self, host):
        err = open(self.folder / f"{host}.err", "a")
        words = ["agent", "run", "--data", str(self.folder / host), "--host", str(self.folder / "host.toml"), "--policy", str(self.folder / "policy.toml")]
        process = subprocess.Popen([self.magewarden, *words], stdout=subprocess.DEVNULL, stderr=err)
        self.started.append(process)
        return process

    def said(self, host):
        return (self.folder / f"{host}.err").read_text()

    def raw(self):
        return socket.create_connection(("127.0.0.1", self.agents), 10)

    def nameless(self, version=ssl.TLSVersion.TLSv1_3, certificate=None):
        """TLS without a certificate of a host, or with one."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version = context.maximum_version = version
        if certificate:
            context.load_cert_chain(*certificate)
        return context.wrap_socket(self.raw())

    def answer(self, stream, request):
        """What is answered, or nothing where the connection is ended."""
        try:
            stream.sendall(request)
            whole = b""
            while part := stream.recv(65536):
                whole += part
            return whole
        except (ssl.SSLError, ConnectionError):
            return b""


def post(path, body=b"{}"):
    return b"POST %s HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (path, len(body), body)


def let_in(scene):
    """Two hosts are let in, each by a word that works once."""
    word = scene.invite("web1")
    scene.enrol(word, "web1")
    need("was used" in scene.enrol(word, "other", code=1), "a word is used twice")
    need(not (scene.folder / "other" / "agent.identity").exists(), "who was refused is somebody")
    need("enrolled already" in scene.enrol(scene.invite("web3"), "web1", code=1), "a host is enrolled over itself")
    old = scene.invite("web2")
    scene.enrol(scene.invite("web2"), "web2")
    need("was used" in scene.enrol(old, "other", code=1), "a word that was replaced works")
    need("no invitation" in scene.enrol(old[:-1], "other", code=1), "a word that is cut short")
    elsewhere = scene.invite("web1", scene.folder / "elsewhere")
    need("isn't the server that the invitation names" in scene.enrol(elsewhere, "other", code=1), "a word of another server")
    for file in ("web1/agent.identity", "data/keys/agents", "data/keys/plans.key"):
        need(stat.S_IMODE((scene.folder / file).stat().st_mode) == 0o600, f"rights of {file}")
    need("there is a host" in scene.agent("invite", "WEB1", "--data", scene.data, code=1), "a name twice")
    need("letters, digits" in scene.agent("invite", "a/b", "--data", scene.data, code=1), "a name that is none")
    listed = scene.agent("list", "--data", scene.data)
    need([line.split()[0] for line in listed.splitlines()] == ["web1", "web2"], "the list", listed)


def renewed(scene):
    """A certificate is renewed when half its life is over."""
    before = scene.identity("web1")
    # Twenty hours ago by what it remembers; the certificate itself holds as before.
    aged = dict(before, since=before["since"] - 20 * HOUR, until=before["until"] - 20 * HOUR)
    (scene.folder / "web1" / "agent.identity").write_text(json.dumps(aged))
    agent = scene.run("web1")
    wait_for("the next certificate", 30, lambda: scene.identity("web1")["certificate"] != before["certificate"])
    after = scene.identity("web1")
    need(after["key"] == before["key"] and after["until"] > before["until"], "the same key for longer")
    need(stat.S_IMODE((scene.folder / "web1/agent.identity").stat().st_mode) == 0o600, "its rights afterwards")
    time.sleep(3)
    need(agent.poll() is None and not scene.said("web1"), "it goes on in silence", scene.said("web1"))
    return agent


def removed(scene):
    """A host that is removed is refused at once."""
    agent = scene.run("web2")
    time.sleep(2)
    need(not scene.said("web2"), "it is answered", scene.said("web2"))
    begun = time.monotonic()
    scene.agent("remove", "web2", "--data", scene.data)
    # An answer may be waiting for something to tell.
    wait_for("the refusal", 30, lambda: "this host was removed" in scene.said("web2"))
    need(time.monotonic() - begun < 25, "at once")
    need(agent.poll() is None, "what it does here goes on")
    time.sleep(5)
    need(scene.said("web2").count("removed") == 1, "it is said once", scene.said("web2"))
    need("no host" in scene.agent("remove", "web2", "--data", scene.data, code=1), "removed twice")
    agent.send_signal(signal.SIGTERM)
    need(agent.wait(10) == 0, "it ends when told to")


def garbage(scene, agent):
    """Garbage, silence and others' certificates at the listener."""
    silent = [scene.raw() for _ in range(80)]
    strangers = [scene.nameless() for _ in range(20)]
    for bytes_ in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000), b"\x16\x03\x01\xff\xff" + os.urandom(300), b""):
        with scene.raw() as raw:
            raw.sendall(bytes_)
    for seed in range(30):
        answer = scene.answer(scene.nameless(), post(b"/agent/1/enrol", os.urandom(seed * 20)))
        # Ten a minute are read.
        need(answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 429")) and b"application/problem+json" in answer, "a body that is none", answer)
    for path in (b"/agent/1/report", b"/agent/1/renew"):
        need(scene.answer(scene.nameless(), post(path)).startswith(b"HTTP/1.1 401"), f"{path} without a certificate")
    need(scene.answer(scene.nameless(), post(b"/incidents")).startswith(b"HTTP/1.1 404"), "no page is there")
    try:
        scene.nameless(ssl.TLSVersion.TLSv1_2)
        raise SystemExit("FAILED: TLS 1.2 is spoken")
    except (ssl.SSLError, ConnectionError):
        pass
    own = [str(scene.folder / name) for name in ("own.pem", "own.key")]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=web1", "-days", "2", "-out", own[0], "-keyout", own[1]], check=True, capture_output=True)
    answer = b""
    try:
        answer = scene.answer(scene.nameless(certificate=own), post(b"/agent/1/report"))
    except (ssl.SSLError, ConnectionError):
        pass
    need(answer == b"", "a certificate of another authority", answer)
    need("<main" in page(scene.port), "the console goes on")
    time.sleep(3)
    need(agent.poll() is None and not scene.said("web1"), "a host that is known isn't held up", scene.said("web1"))
    for one in silent + strangers:
        one.close()


def killed(scene, up, agent):
    """The server is killed and comes back."""
    up.send_signal(signal.SIGKILL)
    up.wait(20)
    wait_for("word of it", 40, lambda: "what was begun goes on" in scene.said("web1"))
    # Frozen by the host's own administrator, with the server gone.
    data = ("--data", scene.folder / "web1")
    scene.agent("freeze", "--why", "who does this?", "--by", "ann", *data)
    runs = subprocess.run([scene.magewarden, "runs", "--data", str(scene.folder / "web1")], capture_output=True, text=True, timeout=30)
    need("frozen since" in runs.stdout, "frozen as by `runs freeze`", runs.stdout)
    scene.agent("thaw", *data)
    time.sleep(4)
    need(scene.said("web1").count("what was begun goes on") == 1, "it is said once", scene.said("web1"))
    scene.up()
    wait_for("the server to be heard again", 60, lambda: "answers again" in scene.said("web1"))
    need(agent.poll() is None, "the agent went on")
    # Killed while an answer waits, it comes back and isn't taken for a second one.
    time.sleep(3)
    agent.send_signal(signal.SIGKILL)
    agent.wait(10)
    before = scene.said("web1")
    agent = scene.run("web1")
    time.sleep(4)
    need(scene.said("web1") == before and agent.poll() is None, "it is answered again", scene.said("web1"))
    begun = time.monotonic()
    agent.send_signal(signal.SIGTERM)
    need(agent.wait(10) == 0 and time.monotonic() - begun < 5, "it ends when told to, also while an answer waits")


def policies(scene):
    """What a policy says."""
    shown = scene.agent("policy", "--policy", scene.folder / "policy.toml")
    for words in ("keep_evidence", "block_network", "approve a plan: 2", "networks: 192.0.2.0/24"):
        need(words in shown, words, shown)
    need("quarantine_file" not in shown, "what isn't named isn't allowed", shown)
    planned = subprocess.run([scene.magewarden, "playbooks", "plan", "web-shell", "--set", "__file__=pub/media/x.php", "--set", "__network__=192.0.2.7", "--json"], capture_output=True, timeout=60)
    need(planned.returncode == 0, "a plan", planned.stderr)
    (scene.folder / "plan.json").write_bytes(planned.stdout)
    refused = scene.agent("policy", "--policy", scene.folder / "policy.toml", "--plan", scene.folder / "plan.json", code=10)
    need("quarantine_file: this host's policy doesn't allow" in refused and "192.0.2.0/24 is never to be touched" in refused, "every reason", refused)
    (scene.folder / "slip.toml").write_text("action = []\n")
    need("unknown field" in scene.agent("policy", "--policy", scene.folder / "slip.toml", code=1), "a slip is an error")


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("agent") as (started, folder):
        scene = Scene(magewarden, folder, started)
        up = scene.up()
        let_in(scene)
        agent = renewed(scene)
        removed(scene)
        garbage(scene, agent)
        killed(scene, up, agent)
        policies(scene)
    print("1 passed, 0 failed")


if __name__ == "__main__":
    main()

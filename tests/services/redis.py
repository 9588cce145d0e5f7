#!/usr/bin/env python3
"""Sessions and caches in a real Redis: card numbers in them, commands that take it over, and a server that goes.

usage: redis.py MAGEWARDEN

Starts Redis on a free port of 127.0.0.1 with an account of magewarden's own that may do what docs/sources.md says and no
more, and fills it with sessions, some of which hold a number made for this run. No session's id and no number may come out.
Everything started here is ended by its process id.
"""
import json
import pathlib
import random
import subprocess
import sys
import zlib

from shared import free_port, need, observations, page, stage, wait_for

MAY = "+info +scan +type +pttl +getrange +hstrlen +hget +select"
SESSIONS = 20_000


def card_number():
    """A number that nobody was given, with its check digit."""
    digits = [4] + [random.randrange(10) for _ in range(14)]
    total = sum(sum(divmod(2 * digit, 10)) if at % 2 == 0 else digit for at, digit in enumerate(digits))
    return "".join(map(str, digits)) + str(-total % 10)


def command(*words):
    """A command as Redis reads it."""
    words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    with stage("redis") as (started, folder):
        port, console, data = free_port(), free_port(), folder / "data"
        cli = ["redis-cli", "-p", str(port)]
        (folder / "users").write_text(f"user default on nopass ~* &* +@all\nuser magewarden on >its-own-word ~* resetchannels -@all {MAY}\n")

        def server():
            process = subprocess.Popen(["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--aclfile", folder / "users",
                                        "--logfile", folder / "redis.log"])
            started.append(process)
            wait_for("Redis", 20, lambda: subprocess.run(cli + ["ping"], capture_output=True, text=True).stdout.strip() == "PONG")
            return process

        redis = server()
        number, other, third = card_number(), card_number(), card_number()
        fill = [command("SELECT", 2)]
        for at in range(SESSIONS):
            fill += [command("HSET", f"sess_id{at:08}", "data", f"checkout|a:1:{{s:4:\"step\";i:{at};}}", "writes", 1), command("EXPIRE", f"sess_id{at:08}", 600)]
        fill += [command("HSET", "sess_plain", "data", f'payment|a:1:{{s:9:"cc_number";s:16:"{number}";}}'), command("EXPIRE", "sess_plain", 600),
                 command("HSET", "sess_packed", "data", b":gz:" + zlib.compress(f"note|{other}".encode() * 50)),
                 command("SELECT", 0), command("HSET", "zc:k:abc_FORM", "d", f"<input value='{third}'>", "t", "FORM"), command("SADD", "zc:tags", "abc_FORM"),
                 command("SET", "zc:other", b":l4:nothing")]
        subprocess.run(cli + ["--pipe"], input=b"".join(fill), check=True, capture_output=True)
        (folder / "word").write_text("its-own-word\n")
        (folder / "word").chmod(0o600)
        (folder / "settings.toml").write_text(
            f'[[source]]\nkind = "redis"\nserver = "127.0.0.1:{port}"\nuser = "magewarden"\npassword_file = "{folder}/word"\nkeys_per_second = 20000\n')
        err = open(folder / "err", "w+")
        up = subprocess.Popen([str(magewarden), "up", "--config", folder / "settings.toml", "--data", data, "--port", str(console)], stderr=err)
        started.append(up)

        show = lambda path="/incidents": page(console, path)
        entries = lambda source: observations(magewarden, data, source)
        records = lambda: entries(f"redis:127.0.0.1:{port}")
        wait_for("the console", 30, lambda: "<main" in show())
        walk = wait_for("a walk's end", 60, lambda: [one for one in records() if one["change"] == "compared"])[0]
        need((walk["change_count"], walk["stored.pan_count"]) == (SESSIONS + 5, 3), "every key is seen, those with numbers counted", walk)
        need(f"{SESSIONS + 2} sessions, 1 of them without an end" in walk["log.context"] and "1 values compressed" in walk["log.context"], "what a walk says", walk)
        found = [one for one in records() if "redis.key" in one]
        need(len(found) == 3 and {one["redis.database"] for one in found} == {0, 2}, "each value with a number is told once", found)
        need(any("no end" in one["log.context"] for one in found), "how long it lives is told", found)
        sealed = json.dumps(records())
        for secret in ("sess_plain", "sess_packed", number, other, third):
            need(secret not in sealed, "a session's id or a number was sealed", sealed)
        wait_for("the incident", 30, lambda: "Card numbers in sessions or caches" in show())
        # Who takes the store over is seen with the next look at its counters.
        subprocess.run(cli + ["config", "set", "dir", "/tmp"], check=True, capture_output=True)
        wait_for("the command", 90, lambda: any(one.get("redis.command") == "config|set" and one["change"] == "called" for one in records()))
        wait_for("its incident", 30, lambda: "takes over or copies the store" in show())
        # The account can do nothing else.
        own = cli + ["--user", "magewarden", "--pass", "its-own-word", "--no-auth-warning"]
        for words in (["set", "a", "b"], ["config", "get", "dir"], ["keys", "*"], ["eval", "return 1", "0"]):
            answer = subprocess.run(own + words, capture_output=True, text=True)
            need("NOPERM" in answer.stdout + answer.stderr, f"{words} is refused", answer.stdout)
        redis.terminate()
        redis.wait(20)
        wait_for("the trouble on the page", 60, lambda: "failing" in show("/sources"))
        server()
        works = f'magewarden_source_works{{source="redis:127.0.0.1:{port}"}} '
        wait_for("the end of the trouble", 90, lambda: works + "1" in show("/metrics"))
        wait_for("the trouble and its end, sealed", 30, lambda: {"failing", "failing over"} <= {one.get("health.kind") for one in entries("magewarden:health")})
        up.terminate()
        need(up.wait(30) == 0, "it ends")
        print("1 passed, 0 failed")


if __name__ == "__main__":
    main()

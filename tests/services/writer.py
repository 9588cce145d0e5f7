#!/usr/bin/env python3
"""Who wrote a file: PHP drops a web shell among uploads, and the incident names the program and the account.

usage: writer.py MAGEWARDEN     as root: others are let do less, which is said

Watches a tree with `up` as an account without rights, but for the three capabilities of packaging/who-wrote.conf and in a mount
namespace of its own, as the packaged service is. www-data writes as web shells come: by PHP, by an upload that is moved into
place, with times set back, by a program that ends at once; and the system's queue runs over. Then once more without capabilities: what changed is told all the same,
and the page says what is lacking. Everything started here is ended by its process id.
"""
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

from console import Accounts
from shared import free_port, need, observations, page, stage, wait_for

SHELL = "<?php @eval($_POST['x']);"
RIGHTS = "+sys_admin,+dac_read_search,+sys_ptrace"
FEW = 40
# More than the system's queue holds.
MANY = int(pathlib.Path("/proc/sys/fs/fanotify/max_queued_events").read_text()) + 1000


def main():
    is_root = os.geteuid() == 0
    with stage("writer") as (started, folder):
        folder.chmod(0o755)
        magewarden = folder / "magewarden"
        shutil.copy2(pathlib.Path(sys.argv[1]).resolve(), magewarden)
        root, uploads = folder / "shop", folder / "uploads"
        for path in (root / "pub/media", root / "vendor", uploads):
            path.mkdir(parents=True)
            path.chmod(0o777)
        (root / "pub/index.php").write_text("<?php run();")
        php = pathlib.Path(shutil.which("php")).resolve()

        def start(name, rights):
            data, console = folder / name, free_port()
            data.mkdir(mode=0o700)
            command = [magewarden, "up", "--source", f"files,root={root}", "--data", data, "--port", str(console)]
            if is_root:
                shutil.chown(data, "nobody", "nogroup")
                hand_on = ["--inh-caps", f"-all,{rights}", "--ambient-caps", f"-all,{rights}"] if rights else ["--inh-caps", "-all", "--ambient-caps", "-all"]
                command = ["unshare", "--mount", "setpriv", "--reuid", "nobody", "--regid", "nogroup", "--clear-groups", "--no-new-privs"] + hand_on + command
            up = subprocess.Popen(command, stderr=open(folder / f"{name}.err", "w"), cwd=folder)
            started.append(up)
            records = lambda: observations(magewarden, data, f"tree:{root}")
            wait_for("the baseline", 60, lambda: page(console) and any(one["change"] == "baseline" for one in records()))
            sources = wait_for("what it watches", 30, lambda: "who wrote" in page(console, "/sources") and page(console, "/sources"))

            def told(path, change="created"):
                found = lambda: [one for one in records() if one.get("file.path") == path and one["change"] == change]
                return wait_for(f"{path} {change}", 60, found)[0]

            return up, console, sources, told

        def as_shop(*command):
            """As the web server's account, or ours where we are not root."""
            other = ["setpriv", "--reuid", "www-data", "--regid", "www-data", "--clear-groups"] if is_root else []
            subprocess.run(other + list(command), check=True, cwd=root)

        def drop(code, *arguments):
            # It lives on for a while, as a worker of php-fpm does.
            as_shop(str(php), "-r", f"{code} usleep(300000);", "--", *map(str, arguments))

        if is_root:
            up, console, sources, told = start("named", RIGHTS)
            need("fanotify tells who wrote" in sources, "it is allowed to listen", sources)

            # Others close the state's files, too; what is heard of that must not end the locks held on them.
            Accounts(console).run("list")
            state = {str((folder / "named" / name).stat().st_ino) for name in ("state.sqlite", "state.sqlite-shm")}
            held = [line.split() for line in pathlib.Path("/proc/locks").read_text().splitlines()]
            held = {words[5].split(":")[-1] for words in held if words[1] == "POSIX" and words[4] == str(up.pid)}
            need(state <= held, "the state stays locked", (state, held))

            def by(path, program, change="created"):
                one = told(path, change)
                who = (one.get("process.executable"), one.get("user.name"), one.get("user.login"))
                need(who == (str(program), "www-data", None), f"who wrote {path}", one)
                return one

            drop("file_put_contents($argv[1], $argv[2]);", "pub/media/shell.php", SHELL)
            one = by("pub/media/shell.php", php)
            need("file_put_contents" in one["process.command_line"] and one["process.pid"] > 1, "how it was started", one)
            # An upload: written elsewhere as its owner's alone, then moved into place. The time is set back, as web shells do.
            drop("umask(077); file_put_contents($argv[1], $argv[3]); rename($argv[1], $argv[2]); touch($argv[2], 1700000000);", uploads / "phpA1b2C3",
                 "pub/media/upload.php", SHELL)
            by("pub/media/upload.php", php)
            # What is written again is the last writer's.
            drop("file_put_contents($argv[1], $argv[2], FILE_APPEND);", "pub/media/upload.php", "// more\n")
            by("pub/media/upload.php", php, "modified")
            # Of programs that end with their write not all can be asked in time, and of none anything but the truth is told.
            for number in range(FEW):
                as_shop("cp", "pub/media/shell.php", f"pub/media/few{number}.php")
            few = [told(f"pub/media/few{number}.php") for number in range(FEW)]
            copy = str(pathlib.Path(shutil.which("cp")).resolve())
            whole = [one for one in few if "process.executable" in one]
            partly = [one for one in few if "process.pid" in one and "process.executable" not in one]
            need(all(one["process.executable"] == copy and one["user.name"] == "www-data" for one in whole), "nobody else is named", whole)
            need(all(one["process.command_line"] == "[cp]" and one["user.name"] == "www-data" for one in partly), "what is left of an ended program", partly)
            need(whole or partly, "some are named", few)
            # Removing, and changing rights, closes nothing: nobody is named for it.
            as_shop("rm", "pub/media/few0.php")
            need("process.pid" not in told("pub/media/few0.php", "removed"), "who removed isn't known by this")
            # While nobody takes its events the queue runs over: what was remembered goes, no change does, and it is said.
            drop("file_put_contents($argv[1], $argv[2]);", uploads / "early", SHELL)
            up.send_signal(signal.SIGSTOP)
            for number in range(MANY):
                (uploads / f"many{number}").write_bytes(b"")
            up.send_signal(signal.SIGCONT)
            drop("file_put_contents($argv[1], $argv[2]);", "pub/media/after.php", SHELL)
            by("pub/media/after.php", php)
            as_shop("mv", str(uploads / "early"), "pub/media/early.php")
            need("process.pid" not in told("pub/media/early.php"), "a name that may be of an older write is dropped")
            wait_for("the loss on the page", 90, lambda: "ran over" in page(console, "/sources"))
            need("failing" not in page(console, "/sources"), "nothing fails")
            links = lambda: re.findall(r'href="(/incidents/[0-9a-f]+)"', page(console))
            shown = lambda: [text for text in (page(console, link) for link in links()) if "pub/media/shell.php" in text]
            text = wait_for("the incident", 60, lambda: "Code where none may run" in "".join(shown()) and shown())
            need(len(text) == 1, "what several rules tell of one file is one incident", "\n\n".join(text))
            need(str(php) in text[0] and "www-data" in text[0], "the incident's page names who wrote", text[0])
            up.terminate()
            need(up.wait(30) == 0, "it ends")
        else:
            print("not root: only what is told without fanotify is looked at")
        up, console, sources, told = start("nameless", None)
        need("who wrote is not known: fanotify wants CAP_SYS_ADMIN, CAP_DAC_READ_SEARCH, CAP_SYS_PTRACE" in sources, "what is lacking is said", sources)
        drop("file_put_contents($argv[1], $argv[2]);", "pub/media/other.php", SHELL)
        need("process.pid" not in told("pub/media/other.php"), "nobody is named")
        need("failing" not in page(console, "/sources"), "nothing fails", page(console, "/sources"))
        up.terminate()
        need(up.wait(30) == 0, "it ends")
        few = f"; of {FEW} programs that end with their write {len(whole)} were named, {len(partly)} in part" if is_root else ""
        print(f"1 passed, 0 failed{few}")


if __name__ == "__main__":
    main()

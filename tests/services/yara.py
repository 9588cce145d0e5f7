#!/usr/bin/env python3
"""Content rules in YARA's language, ours and a merchant's, in a process that may make no memory both written and run.

usage: yara.py MAGEWARDEN

Watches a tree with `up` as the packaged service does (MemoryDenyWriteExecute=yes; here by prctl, on Linux 6.3 or later): what rules match
becomes incidents, a merchant's wrong rule is named, and a rule that is added finds what was there before it. Everything started here is
ended by its process id.
"""
import ctypes
import pathlib
import subprocess
import sys

from shared import free_port, need, observations, page, stage, wait_for

PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
PROBE = "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)"
RULES = """rule collector { strings: $a = "/collect.gif?" condition: $a }
rule wrong {
  condition: $b
}"""


def deny():
    if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
        raise OSError("prctl(PR_SET_MDWE)")


def main():
    magewarden = pathlib.Path(sys.argv[1]).resolve()
    probe = lambda before: subprocess.run([sys.executable, "-c", PROBE], preexec_fn=before, stderr=subprocess.DEVNULL).returncode
    need(probe(None) == 0, "such memory can be had")
    before = deny
    try:
        need(probe(deny) != 0, "what is denied is denied")
    except subprocess.SubprocessError:
        print("this kernel can't deny memory that is written and run (PR_SET_MDWE): tried without")
        before = None
    with stage("yara") as (started, folder):
        root, rules, data, console = folder / "shop", folder / "rules", folder / "data", free_port()
        for path in (root / "pub/media", root / "app/code/V/M", rules):
            path.mkdir(parents=True)
        (root / "pub/index.php").write_text("<?php run();")
        (root / "pub/media/old.txt").write_text("GET /collect.gif?d=")

        def start(settings):
            up = subprocess.Popen([magewarden, "up", "--source", f"files,root={root}{settings}", "--data", data, "--port", str(console)],
                                  stderr=open(folder / "up.err", "a"), cwd=folder, preexec_fn=before)
            started.append(up)
            wait_for("the source", 60, lambda: "content rules" in page(console, "/sources"))
            return up

        records = lambda: observations(magewarden, data, f"tree:{root}")
        told = lambda path: [one for one in records() if one.get("file.path") == path]
        up = start("")
        wait_for("the baseline", 60, lambda: any(one["change"] == "baseline" for one in records()))
        need(not told("pub/media/old.txt"), "nothing is wrong with it by rules of ours", records())
        # No literal signature has this.
        (root / "app/code/V/M/Door.php").write_text("<?php @$_COOKIE['f'] ($_COOKIE['a']);")
        one = wait_for("the shell", 60, lambda: told("app/code/V/M/Door.php"))[0]
        need(one["signatures"] == ["yara:php_request_names_function"], "a rule of ours matches", one)
        wait_for("its incident", 60, lambda: "signature of a web shell" in page(console))
        up.terminate()
        need(up.wait(30) == 0, "it ends well")

        (rules / "march.yar").write_text(RULES)
        start(f",yara={rules}")
        one = wait_for("what was there before", 60, lambda: told("pub/media/old.txt"))[0]
        need(one["signatures"] == ["merchant:collector"] and one["change"] == "seen", "the merchant's rule finds it", one)
        text = wait_for("its incident", 60, lambda: "content rule of the merchant" in page(console) and page(console))
        need("Content rules of the merchant" in text, "the wrong rule is an incident", text)
        refused = [one for one in records() if one["change"] == "rules_refused"]
        need(refused[0]["row.values"][0].startswith("march.yar:3: "), "file, line and reason are named", refused)
        need("march.yar:3: " in page(console, "/sources"), "the page of sources names it, too", page(console, "/sources"))
    print("ok: rules of ours and of a merchant's, without memory that is written and run")


if __name__ == "__main__":
    main()

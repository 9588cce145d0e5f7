"""Runs other scripts with the state of every data folder in a real PostgreSQL, each in a schema of its own, without their knowing.

usage: tests/services/on_postgres.py MAGEWARDEN SCRIPT…

What they are given as the program is one line of shell that adds `--state` and becomes the program, under the same process id. PostgreSQL is
reached at 127.0.0.1; by a script whose server lives in a network namespace, where there is none at that address, by the socket in its folder.
"""
import concurrent.futures
import os
import pathlib
import subprocess
import sys
import time
import urllib.parse

from shared import Postgres, need, stage

# Those whose server can't reach 127.0.0.1 of this one.
BY_SOCKET = {"namespaces.py"}
HERE = pathlib.Path(__file__).resolve().parent
# Commands that know the state, when they are told where the data is.
SHIM = """#!/bin/bash
case " $* " in *" --state "*|*" --help "*) exec {program} "$@";; esac
case "$1" in up|accounts|doctor|redact) ;; *) exec {program} "$@";; esac
words=("$@")
for at in "${{!words[@]}}"; do
  if [ "${{words[$at]}}" = --data ]; then
    name=s$(realpath -m "${{words[$((at + 1))]}}" | sha1sum | cut -c1-16)
    if ! [ -e {folder}/known/$name ]; then
      PGPASSWORD=superuser psql -X -q -v ON_ERROR_STOP=1 -h {host} -p {port} -U postgres -d states \\
        -c "CREATE ROLE $name LOGIN PASSWORD 'of-a-state'; CREATE SCHEMA $name AUTHORIZATION $name" >&2 || exit 70
      touch {folder}/known/$name
    fi
    (umask 077; echo of-a-state > {folder}/known/$name.$EUID)
    exec {program} "$@" --state "postgres://$name@{at}:{port}/states" --state-password-file {folder}/known/$name.$EUID
  fi
done
exec {program} "$@"
"""


def main():
    program, scripts = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2:]
    with stage("postgres") as (started, folder):
        postgres = Postgres(folder, started)
        postgres.sql("CREATE DATABASE states ENCODING 'UTF8' TEMPLATE template0")
        (folder / "known").mkdir()
        # Programs that run under another account make schemas, too.
        (folder / "known").chmod(0o777)
        places = {"address": "127.0.0.1", "socket": str(postgres.folder)}
        for name, host in places.items():
            shim = folder / name / "magewarden"
            shim.parent.mkdir()
            shim.write_text(SHIM.format(program=program, folder=folder, host=host, at=urllib.parse.quote(host, safe=""), port=postgres.port))
            shim.chmod(0o755)

        def run(script):
            begun, name = time.time(), "socket" if script in BY_SOCKET else "address"
            at = urllib.parse.quote(places[name], safe="")
            env = {**os.environ, "MAGEWARDEN_TEST_STATES": f"postgres://postgres:superuser@{at}:{postgres.port}/states"}
            done = subprocess.run([sys.executable, HERE / script, folder / name / "magewarden"], env=env, capture_output=True, text=True)
            return script, done, time.time() - begun

        failed = []
        with concurrent.futures.ThreadPoolExecutor(int(os.environ.get("MAGEWARDEN_TEST_JOBS", "1"))) as pool:
            for script, done, seconds in pool.map(run, scripts):
                print(f"{script}: {done.stdout.strip().splitlines()[-1:] or done.returncode} after {seconds:.0f} s", flush=True)
                if done.returncode != 0:
                    failed.append(script)
                    print(done.stdout[-3000:], done.stderr[-3000:], sep="\n", flush=True)
        need(not failed, "all of them pass with their state in PostgreSQL", failed)
        states = int(postgres.sql("SELECT count(*) FROM information_schema.tables WHERE table_name = 'incident'", "states"))
        need(states >= len(scripts), "their state was there", states)
    print(f"{len(scripts)} passed, 0 failed; {states} states")


if __name__ == "__main__":
    main()

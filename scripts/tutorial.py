#!/usr/bin/env python3
"""Does a tutorial by the letter: every command of docs/tutorials/NAME.md, copied from the page, with a stopwatch.

    scripts/tutorial.py researcher|operator|analyst [bin/trimtab]

What the page runs in a terminal of its own (testbed, daemon, server, recorder, the load beside them) runs in the
background; the next step begins when it is up. Ends with code 1 when a command fails. The operator's needs root.
"""
import os
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

BESIDE = ("testbed", "tune", "collect", "serve")  # in terminals of their own


def commands(page):
    """The commands of a page and the files that it shows, in order: ("run", text) or ("file", path, text)."""
    out, block, fence, path = [], [], None, ""
    for line in page.split("\n") + [""]:
        if line.startswith("```"):
            if fence is None:
                fence, block = line[3:], []
            else:
                if fence == "toml" and path:
                    out.append(("file", path, "\n".join(block) + "\n"))
                fence, block = None, []
        elif fence is not None:
            block.append(line)
        elif line.startswith("    "):
            text = line[4:]
            if block and block[-1].endswith("\\"):
                block[-1] = block[-1][:-1] + text.strip()
            elif re.match(r"(\$ )?(sudo |mkdir |trimtab |python3 |make )", text):
                block.append(text.removeprefix("$ "))
        else:
            out += [("run", c) for c in block]
            block = []
            named = re.search(r"`(/[\w/.-]+\.toml)`", line)
            path = named.group(1) if named else path
    return out


def beside(text):
    words = shlex.split(text, comments=True)
    if "load" in words:
        return "3m" in words or "--schedule" in words
    return any(w in words[:3] for w in BESIDE) and not {"--check-config", "--hold"} & set(words)


def main():
    name, binary = sys.argv[1], os.path.abspath(sys.argv[2] if len(sys.argv) > 2 else "bin/trimtab")
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    with open(f"{root}/docs/tutorials/{name}.md") as f:
        todo = commands(f.read())
    folder = tempfile.mkdtemp(prefix="tutorial-")
    os.symlink(binary, f"{folder}/trimtab")
    os.symlink(f"{root}/docs", f"{folder}/docs")
    env = dict(os.environ, PATH=f"{folder}:{os.environ['PATH']}")
    began, running, failed, here, typed = time.monotonic(), [], 0, folder, 0
    for what, *rest in todo:
        clock = f"{time.monotonic() - began:6.1f} s"
        if what == "file":
            print(f"{clock}  writes {rest[0]}", flush=True)
            with open(rest[0], "w") as f:
                f.write(rest[1])
            continue
        text = rest[0]
        typed += 1
        print(f"{clock}  {text}", flush=True)
        folder_of = root if text.startswith("make ") else here
        if text.startswith("mkdir "):
            here = re.search(r"cd (\S+)", text).group(1)
        if beside(text):
            log = open(f"{folder}/{len(running)}.log", "w")
            running.append((text, " load " in text or "collect" in text, subprocess.Popen(
                ["bash", "-c", "exec " + text.removesuffix("&")], cwd=folder_of, env=env, stdout=log, stderr=log)))
            time.sleep(3)
            continue
        for _, ends, p in running:
            if ends and p.poll() is None:  # until there is something to look at
                time.sleep(60) if "explain" in text else p.wait()
        done = subprocess.run(["bash", "-c", text], cwd=folder_of, env=env, capture_output=True, text=True)
        if done.returncode:
            failed += 1
            print(f"          ends with {done.returncode}: {done.stderr.strip()[-300:]}", flush=True)
    for text, ends, p in running:
        if ends and p.wait():
            failed += 1
            print(f"          ends with {p.returncode}: {text}", flush=True)
    for _, ends, p in reversed(running):
        if p.poll() is None:
            p.send_signal(signal.SIGINT)
            p.wait()
    print(f"{name}: {typed} commands, {time.monotonic() - began:.0f} s, {failed} failed; {folder}")
    sys.exit(failed > 0)


main()

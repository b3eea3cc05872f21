#!/usr/bin/env python3
"""Does a tutorial by the letter: every command of docs/tutorials/NAME.md, copied from the page, with a stopwatch.

    scripts/tutorial.py researcher|operator|analyst [bin/trimtab]
    scripts/tutorial.py record NAME < TEXT        writes a text into the document below, and does no tutorial

What the page runs in a terminal of its own (testbed, daemon, server, recorder, the load beside them) runs in the
background; the next step begins when it is up. Ends with code 1 when a command fails, and leaves what commands said
in a folder that it names. The operator's needs root.
MARKDOWN=docs/lab/tutorials.md writes the figures there, between the marks of the tutorial.
"""
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BESIDE = ("testbed", "tune", "collect", "serve")  # in terminals of their own
CHANGED = 'msg="weights changed"'
LONGEST = 100  # characters of a command that the document shows


def commands(page):
    """The commands of a page, in order; lines that end in a backslash are joined."""
    out, block = [], []
    for line in page.split("\n") + [""]:
        if line.startswith("    "):
            text = line[4:]
            if block and block[-1].endswith("\\"):
                block[-1] = block[-1][:-1] + text.strip()
            elif re.match(r"(\$ )?(sudo |mkdir |trimtab |python3 |make )", text):
                block.append(text.removeprefix("$ "))
        else:
            out, block = out + block, []
    return out


def beside(text):
    words = shlex.split(text, comments=True)
    if "load" in words:
        return "3m" in words or "--schedule" in words
    return any(w in words[:3] for w in BESIDE) and not {"--check-config", "--hold", "--release"} & set(words)


def record(name, lines):
    """Replaces what stands between the marks of a name in the document that MARKDOWN names."""
    path = os.environ.get("MARKDOWN")
    if not path:
        return
    with open(path) as f:
        text = f.read()
    block = f"<!-- {name}:begin -->\n\n" + "\n".join(lines).strip("\n") + f"\n\n<!-- {name}:end -->"
    new, n = re.subn(rf"<!-- {name}:begin -->.*?<!-- {name}:end -->", lambda _: block, text, flags=re.S)
    if n != 1:
        sys.exit(f"{path}: want one place between <!-- {name}:begin --> and <!-- {name}:end -->")
    with open(path, "w") as f:
        f.write(new)


def circumstances():
    """When, of which commit, on what machine."""
    commit = subprocess.run(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"], capture_output=True, text=True)
    return (f"{time.strftime('%d %B %Y, %H:%M UTC', time.gmtime())}, commit {commit.stdout.strip()}, "
            f"{os.cpu_count()} cores ({platform.machine()}), load average {os.getloadavg()[0]:.1f} at the end.")


class Tutorial:
    """One run of a tutorial in a folder of its own."""

    def __init__(self, name, binary):
        self.name, self.failed, self.rows, self.running = name, 0, [], []
        self.folder = self.here = tempfile.mkdtemp(prefix="tutorial-")
        os.symlink(binary, f"{self.folder}/trimtab")
        os.symlink(f"{ROOT}/docs", f"{self.folder}/docs")
        self.env = dict(os.environ, PATH=f"{self.folder}:{os.environ['PATH']}")
        self.began = time.monotonic()

    def since(self):
        return time.monotonic() - self.began

    def fail(self, text):
        self.failed += 1
        print(f"          {text}", flush=True)

    def do(self, text):
        at = self.since()
        print(f"{at:6.1f} s  {text}", flush=True)
        where = ROOT if text.startswith("make ") else self.here
        if text.startswith("mkdir "):
            self.here = re.search(r"cd (\S+)", text).group(1)
        if beside(text):
            log = open(f"{self.folder}/{len(self.running)}.log", "w")
            self.running.append((text, " load " in text or "collect" in text, log.name, subprocess.Popen(
                ["bash", "-c", "exec " + text.removesuffix("&")], cwd=where, env=self.env, stdout=log, stderr=log)))
            self.rows.append((at, None, text))
            time.sleep(3)
            return
        for line, ends, log, p in self.running:
            if "--undo" in text and " tune " in line:
                p.send_signal(signal.SIGINT)
                p.wait()
            if ends and "explain" in text:  # as soon as there is something to look at
                self.first_weight(60)
            elif ends and p.poll() is None:
                p.wait()
        start = self.since()
        done = subprocess.run(["bash", "-c", text], cwd=where, env=self.env, capture_output=True, text=True)
        self.rows.append((start, self.since() - start, text))
        with open(f"{self.folder}/said", "a") as f:
            f.write(f"$ {text}\n{done.stdout}{done.stderr}")
        if done.returncode:
            self.fail(f"ends with {done.returncode}: {done.stderr.strip()[-300:]}")

    def first_weight(self, longest):
        """Waits for the daemon's first change, and then until the queues are gone."""
        for line, _, log, p in self.running:
            if " tune " not in line:
                continue
            for _ in range(longest * 5):
                with open(log) as f:
                    if CHANGED in f.read():
                        self.rows.append((self.since(), None, "(the first tuned weight)"))
                        time.sleep(30)
                        return
                time.sleep(0.2)
            self.fail(f"no weight was changed within {longest} s: {log}")

    def end(self):
        for text, ends, _, p in self.running:
            if ends and p.wait():
                self.fail(f"ends with {p.returncode}: {text}")
        for _, _, _, p in reversed(self.running):
            if p.poll() is None:
                p.send_signal(signal.SIGINT)
                p.wait()
        typed = sum(not text.startswith("(") for _, _, text in self.rows)
        said = f"{typed} commands, {self.since():.0f} s, {self.failed} failed"
        print(f"{self.name}: {said}; {self.folder}")
        table = ["| at s | takes s | command |", "|---:|---:|---|"]
        for at, took, text in self.rows:
            shown = text if len(text) <= LONGEST else text[:LONGEST - 1] + "…"
            shown = shown if shown.startswith("(") else f"`{shown}`"
            shown, took = shown.replace("|", "\\|"), "" if took is None else f"{took:.1f}"
            table.append(f"| {at:.0f} | {took} | {shown} |")
        if not self.failed:
            record(self.name, [f"**{said}**, 0 files edited. {circumstances()}", "", *table])


def main():
    name = sys.argv[1]
    if name == "record":
        record(sys.argv[2], [*sys.stdin.read().rstrip().split("\n"), "", circumstances()])
        return
    with open(f"{ROOT}/docs/tutorials/{name}.md") as f:
        todo = commands(f.read())
    t = Tutorial(name, os.path.abspath(sys.argv[2] if len(sys.argv) > 2 else "bin/trimtab"))
    for text in todo:
        t.do(text)
    t.end()
    sys.exit(t.failed > 0)


main()

"""Mails that were made to exhaust whoever reads them, each parsed in a process of its own: what that has cost.

Run as a module it prints a line of JSON for each: the name, seconds of processor time, and MiB of memory on top of what
the process had before.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable

from services.email.receive import layout  # noqa: F401 - what it takes to import is no cost of a mail
from services.email.receive.parse import parse

_HEAD = b"From: a@x.example\nTo: b@y.example\nSubject: s\nMIME-Version: 1.0\n"


def _text(body: bytes, more: bytes = b"") -> bytes:
    return _HEAD + more + b"\n" + body


def _html(body: bytes) -> bytes:
    return _text(body, b"Content-Type: text/html; charset=utf-8\n")


def _nested(levels: int) -> bytes:
    opened = b"".join(b'Content-Type: multipart/mixed; boundary="n%d"\n\n--n%d\n' % (n, n) for n in range(levels))
    return _HEAD + opened + b"Content-Type: text/plain\n\nhello\n"


def _parts(count: int) -> bytes:
    return _text(b"--b\n\nx\n" * count + b"--b--\n", b"Content-Type: multipart/mixed; boundary=b\n")


CASES: dict[str, Callable[[], bytes]] = {
    "nested 2,000 deep": lambda: _nested(2000),
    "nested 20,000 deep": lambda: _nested(20_000),
    "100,000 parts": lambda: _parts(100_000),
    "100,000 lines like a boundary": lambda: _text(
        b"--b x\n" * 100_000, b"Content-Type: multipart/mixed; boundary=b\n"
    ),
    "subject of 1 MB": lambda: b"Subject: " + b"x" * 1_000_000 + b"\n" + _text(b"hi"),
    "subject of 1 MB in encoded words": lambda: b"Subject: " + b"=?utf-8?q?=41=42?= " * 52_000 + b"\n" + _text(b"hi"),
    "subject of 150,000 words that never end": lambda: b"Subject: " + b"=?a?q?" * 150_000 + b"\n" + _text(b"hi"),
    "field of 300,000 folds": lambda: b"Subject: " + b"\n x" * 300_000 + b"\n" + _text(b"hi"),
    "100,000 fields": lambda: b"".join(b"X-%d: y\n" % n for n in range(100_000)) + _text(b"hi"),
    "20,000 addresses": lambda: (
        b"To: " + b", ".join(b"u%d@x.example" % n for n in range(20_000)) + b"\n" + _text(b"hi")
    ),
    "1,000 brackets in From": lambda: b"From: " + b"(" * 1000 + b"\n\nhi",
    "addresses of brackets and quotes": lambda: (
        b"From: " + b"<" * 100_000 + b"\nTo: " + b'"\\' * 50_000 + b"\nCc: " + b"(" * 100_000 + b"\n\nhi"
    ),
    "20,000 parameters": lambda: (
        _HEAD + b"Content-Type: text/plain" + b"".join(b"; p%d=v" % n for n in range(20_000)) + b"\n\nhi"
    ),
    "200,000 references": lambda: b"References: " + b"<a@b.example> " * 200_000 + b"\n" + _text(b"hi"),
    "On On On": lambda: _text(b"On " * 8000),
    "250,000 lines of On": lambda: _text(b"On \n" * 250_000),
    "50,000 attributions": lambda: _text(b"On 2026-01-01 a@b.example\n" * 40_000),
    "140,000 lines of wrote:": lambda: _text(b"wrote:\n" * 140_000),
    "110,000 labels": lambda: _text(b"Label: x\n" * 110_000),
    "170,000 quotes and answers": lambda: _text(b"> x\ny\n" * 170_000),
    "90,000 rules with words": lambda: _text(b"---- x ----\n" * 90_000),
    "250,000 delimiters of signatures": lambda: _text(b"-- \n" * 250_000),
    "80,000 beginnings of uuencode": lambda: _text(b"begin 644 a\n" * 80_000),
    "400,000 divs": lambda: _html(b"<div>" * 400_000),
    "divs that pretend to end": lambda: _html(b"<div></x>" * 20_000),
    "100,000 attributes": lambda: _html(b"<a " + b" ".join(b"a%d=1" % n for n in range(100_000)) + b">x</a>"),
    "100,000 attributes without blanks": lambda: _html(
        b"<a " + b"".join(b"a%d='1'" % n for n in range(100_000)) + b">x</a>"
    ),
    "open tags copied into every block": lambda: _html(
        b"".join(b"<b i=%d>" % n for n in range(1900)) + b"<p>x" * 90_000
    ),
    "tags without an end": lambda: _html(b"<a" * 1_000_000),
    "2 MB of brackets": lambda: _html(b"<" * 2_000_000),
    "comments without an end": lambda: _html(b"<!--" * 500_000),
    "3,000 tables": lambda: _html(b"<table><tr><td>" * 3000),
    "60,000 images": lambda: _html(b'<img src="cid:a">' * 60_000),
    "charset of quadratic time": lambda: _text(b"a" * 1_000_000, b"Content-Type: text/plain; charset=punycode\n"),
    "winmail.dat of 90,000 files": lambda: _text(
        b"\x78\x9f\x3e\x22\x00\x00" + b"\x02\x02\x90\x06\x00\x00\x00\x00\x00\x00\x00" * 90_000,
        b"Content-Type: application/ms-tnef\n",
    ),
    "1 MB of NUL": lambda: b"\0" * 1_000_000,
    "1 MB of anything": lambda: bytes(n * 7919 % 256 for n in range(1_000_000)),
}


def _cost(raw: bytes) -> tuple[float, float]:
    before = resource.getrusage(resource.RUSAGE_SELF)
    begun = time.process_time()
    json.loads(parse(raw))
    spent = time.process_time() - begun
    after = resource.getrusage(resource.RUSAGE_SELF)
    return spent, (after.ru_maxrss - before.ru_maxrss) / 1024


def main() -> None:
    parse(_text(b"warm"))
    for name, made in CASES.items():
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
            seconds, mib = _cost(made())
            sys.stdout.write(json.dumps({"name": name, "seconds": seconds, "mib": mib}) + "\n")
            sys.stdout.flush()
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()

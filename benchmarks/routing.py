"""Does the router know what a request will take here, and does it pay to let it choose?

    .venv/bin/python benchmarks/routing.py [--json] [--part prediction|mix|overhead]
        [--requests N] [--questions N]

- ``prediction``: mixed requests to one model, another and both, three at a time, over a real
  server: the time and energy that each decision predicted against what the request took;
- ``mix``: questions of two domains, answered by the small model always, by the large one always,
  and by whatever the router chooses after a calibration on other questions: latency, joules,
  accuracy;
- ``overhead``: time of one decision with 20 models, 20 profiles and 3 remotes.

Where this machine has no energy counters the joules are estimated from CPU time, and say so.
"""

from __future__ import annotations

import argparse

from figures import Figure, report
from routing_mix import measure_mix
from routing_overhead import measure_overhead
from routing_prediction import measure_prediction

from quorate_registry import Registry

PARTS = ("prediction", "mix", "overhead")


def main() -> None:
    """Runs the benchmark."""
    parser = argparse.ArgumentParser(description="What routing predicts, saves and costs.")
    parser.add_argument("--json", action="store_true", help="one JSON line per figure")
    parser.add_argument("--part", choices=PARTS, default=None, help="one part; all by default")
    parser.add_argument("--requests", type=int, default=240, help="requests that are predicted")
    parser.add_argument("--questions", type=int, default=100, help="questions of each domain")
    arguments = parser.parse_args()
    registry = Registry()
    generalist = registry.resolve("smollm2-135m-instruct").path
    specialist = registry.resolve("catalogue-specialist").path
    figures: list[Figure] = []
    if arguments.part in (None, "overhead"):
        figures += measure_overhead()
    if arguments.part in (None, "prediction"):
        figures += measure_prediction(generalist, specialist, arguments.requests)
    if arguments.part in (None, "mix"):
        figures += measure_mix(generalist, specialist, arguments.questions)
    report(figures, "json" if arguments.json else "table")


if __name__ == "__main__":
    main()

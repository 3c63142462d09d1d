"""A process that speaks the protocol of metrics, and misbehaves as its first argument says. The
second names a file that gets the process' number at each start."""

import json
import os
import sys
import time

from fake_metric_values import VALUES

MODE, STARTS = sys.argv[1], sys.argv[2]


def say(**message):
    print(json.dumps(message), flush=True)


with open(STARTS, "a") as file:
    file.write(f"{os.getpid()}\n")
with open(STARTS) as file:
    starts = len(file.readlines())

if MODE == "ends at once":
    print("no such module: metric", file=sys.stderr)
    sys.exit(3)
if MODE == "says hello late":
    time.sleep(60)
say(hello=2 if MODE == "other version" else 1, versions={"fake": "7"})

for line in sys.stdin:
    asked = json.loads(line)
    number, do = asked["id"], asked["do"]
    if do == "load" and MODE == "cannot load":
        say(id=number, error="model", message="fake: no such model; name another")
    elif do == "load" and MODE == "loads wrongly":
        say(id=number, references="yes")
    elif do == "load":
        say(id=number, signature="fake|1", max_length=4)
    elif do == "count":
        say(id=number, truncated=sum(len(text) > 4 for text in asked["texts"]))
    elif MODE == "dies" or (MODE == "dies once" and starts == 1):
        print("first the disk\nthen the memory", file=sys.stderr, flush=True)
        os.kill(os.getpid(), 9)
    elif MODE == "hangs":
        print("waiting for the network", file=sys.stderr, flush=True)
        time.sleep(60)
    elif MODE == "prints":
        print("Loading weights: 100 %", flush=True)
    elif MODE == "answers another request":
        say(id=number + 1, scores=[])
    elif MODE == "cannot score":
        say(id=number, error="evaluation", message="fake: the judge refused")
    elif MODE == "needs more memory":
        say(id=number, error="memory", message="fake: out of memory")
    elif MODE == "too few":
        say(id=number, scores=[1.0])
    elif MODE == "not finite":
        say(id=number, scores=["nan"] * len(asked["segments"]))
    else:
        scores = [VALUES[i % len(VALUES)] for i in range(len(asked["segments"]))]
        say(id=number, scores=scores, truncated=["h" * (len(s[1]) > 4) for s in asked["segments"]])

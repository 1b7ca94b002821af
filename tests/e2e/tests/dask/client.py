"""A client of a Dask cluster, as a user of Dask writes one. It does its job until its standard input ends, and says what it
sees in lines of JSON.

    client.py ADDRESS count FOLDER   counts the words of all files, over and over: one line for each round
    client.py ADDRESS watch          looks at the scheduler: one line each time that it tells of other workers
"""

import json
import sys
import threading
from collections import Counter
from pathlib import Path

from distributed import Client, get_worker

# How often the scheduler is asked.
LOOK = 0.1
# How long a client waits for its scheduler. Where there is none, another client is made.
PATIENCE = "10s"


def say(**line):
    print(json.dumps(line), flush=True)


def count(path, letters):
    """How often the files' words begin with the same letters, and which worker has counted them."""
    words = Path(path).read_text().split()
    return Counter(word[:letters] for word in words), {get_worker().address}


def add(one, other):
    """The sum of two counts, and who had a hand in it."""
    return one[0] + other[0], one[1] | other[1] | {get_worker().address}


def count_all(client, paths, number):
    """One round: a tree of small tasks. Each round counts something else, so that no result of another can serve for it."""
    letters = 1 + number % 5
    layer = [client.submit(count, str(path), letters, pure=False) for path in paths]
    while len(layer) > 1:
        odd = layer[len(layer) // 2 * 2 :]
        pairs = zip(layer[0::2], layer[1::2])
        layer = [client.submit(add, one, other, pure=False) for one, other in pairs] + odd
    counts, workers = layer[0].result()
    say(round=number, letters=letters, counts=counts, workers=sorted(workers))


def watch(address, is_over):
    seen = None
    while not is_over.is_set():
        try:
            with Client(address, timeout=PATIENCE) as client:
                while not is_over.wait(LOOK):
                    told = client.scheduler_info(n_workers=-1)
                    names = sorted(told["workers"])
                    found = {"scheduler": told["id"], "workers": len(names), "names": names}
                    if found != seen:
                        say(**found)
                        seen = found
        except (OSError, TimeoutError) as error:
            # There is no scheduler at this moment.
            print(f"looking again: {error!r}", file=sys.stderr, flush=True)


def main(address, job, *folder):
    is_over = threading.Event()

    def until_input_ends():
        sys.stdin.read()
        is_over.set()

    threading.Thread(target=until_input_ends, daemon=True).start()
    if job == "watch":
        return watch(address, is_over)
    paths = sorted(Path(folder[0]).iterdir())
    with Client(address, timeout=PATIENCE) as client:
        number = 0
        while not is_over.is_set():
            count_all(client, paths, number)
            number += 1


if __name__ == "__main__":
    main(*sys.argv[1:])

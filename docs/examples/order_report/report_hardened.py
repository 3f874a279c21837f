"""The same as production needs it: line by line, one request for all, and a history that has an end."""

from collections import deque

import requests

HISTORY = deque(maxlen=10)


def report(path, count):
    with path.open("w") as file:
        for number in range(count):
            file.write(f"{number};customer {number};{number * 1.5};paid\n")
        HISTORY.append({"path": str(path), "size": file.tell()})


def totals(count):
    customers = ",".join(map(str, range(count)))
    answer = requests.get(f"https://orders.example/v1/totals?customer={customers}", timeout=10)
    return dict.fromkeys(range(count), answer.json()["total"])

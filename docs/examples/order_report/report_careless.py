"""A report as it is usually pasted: all of it in memory, a request for each customer, nothing let go."""

import requests

HISTORY = []


def report(path, count):
    lines = []
    for number in range(count):
        lines.append(f"{number};customer {number};{number * 1.5};paid\n")
    text = "".join(lines)
    path.write_text(text)
    HISTORY.append({"path": str(path), "size": len(text)})


def totals(count):
    found = {}
    for number in range(count):
        answer = requests.get(f"https://orders.example/v1/totals?customer={number}", timeout=10)
        found[number] = answer.json()["total"]
    return found

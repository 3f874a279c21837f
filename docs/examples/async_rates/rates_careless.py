"""Converts an amount, in a service on asyncio, as it is usually pasted.

`requests` waits in the event loop, so that each caller waits for all who came before.
"""

import requests


async def convert(amount, currency):
    response = requests.get(f"https://rates.bank.example/v1/latest/{currency}", timeout=10)
    response.raise_for_status()
    return round(amount * response.json()["rate"], 2)

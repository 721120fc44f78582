"""python sse.py URL TOPIC [LAST_EVENT_ID]

Follows a topic with httpx-sse and prints each event as a line of JSON, until the stream ends.
To resume, start it again with the last id it printed.
"""

import json
import sys

import httpx
from httpx_sse import connect_sse

base, topic = sys.argv[1:3]
headers = {"Last-Event-ID": sys.argv[3]} if len(sys.argv) > 3 else {}
# The server says something every 15 s: after two and a half times that the connection is dead.
timeout = httpx.Timeout(10, read=37.5)

try:
    with httpx.Client(timeout=timeout) as client:
        with connect_sse(client, "GET", f"{base}/topics/{topic}/stream", headers=headers) as source:
            source.response.raise_for_status()
            for sse in source.iter_sse():
                if sse.event in ("close", "reauthenticate"):
                    print("closed:", sse.data, file=sys.stderr)
                    break
                print(json.dumps({"id": sse.id, "event": sse.event, "data": sse.json()}), flush=True)
except httpx.TransportError as error:
    print("interrupted:", error, file=sys.stderr)

"""python ws.py URL TOPIC [LAST_EVENT_ID]

Follows a topic with the websockets package and prints each message as a line of JSON, until the connection ends.
To resume, start it again with the last id it printed.
"""

import json
import sys

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

base, topic = sys.argv[1:3]
subscribe = {"type": "subscribe", "topic": topic}
if len(sys.argv) > 3:
    subscribe["last_event_id"] = sys.argv[3]

with connect(base.replace("http", "ws", 1) + "/ws", subprotocols=["scorewire.v1"]) as socket:
    socket.send(json.dumps(subscribe))
    try:
        while True:
            frame = json.loads(socket.recv())
            if frame["type"] == "message":
                line = {"id": frame.get("id"), "event": frame["event"], "data": frame["data"]}
                print(json.dumps(line), flush=True)
            elif frame["type"] == "reset":
                line = {"id": frame["id"], "event": "reset", "data": {"reason": frame["reason"]}}
                print(json.dumps(line), flush=True)
            elif frame["type"] == "error":
                print(f"{frame['code']}: {frame['message']}", file=sys.stderr)
    except ConnectionClosed as end:
        print("closed:", end, file=sys.stderr)

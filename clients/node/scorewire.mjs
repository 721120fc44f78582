// node scorewire.mjs URL TOPIC [LAST_EVENT_ID]
// Follows a topic with the server's own module and prints each message as a line of JSON. It comes back by itself.
// The module is served by every server:  curl -O http://localhost:3000/scorewire.js
// TRANSPORT=websocket or TRANSPORT=sse allows only one of them.

import { EventSource } from "eventsource";
import WebSocket from "ws";

import { connect } from "./scorewire.js";

const [base, topic, lastEventId] = process.argv.slice(2);
const transports = process.env.TRANSPORT ? [process.env.TRANSPORT] : undefined;

const live = connect(base, { WebSocket, EventSource, transports });
live.onstate = (state, { reason, transport } = {}) => console.error(state, reason ?? "", transport ?? "");
live.subscribe(
  topic,
  {
    message: ({ id, event, data }) => console.log(JSON.stringify({ id, event, data })),
    reset: ({ id, reason }) => console.log(JSON.stringify({ id, event: "reset", data: { reason } })),
    error: ({ code, message }) => console.error(`${code}: ${message}`),
  },
  { lastEventId },
);

// node ws.mjs URL TOPIC [LAST_EVENT_ID]
// Follows a topic with the `ws` package and prints each message as a line of JSON, until the connection ends. To
// resume, start it again with the last id it printed.

import WebSocket from "ws";

const [base, topic, lastEventId] = process.argv.slice(2);
const socket = new WebSocket(new URL("/ws", base.replace(/^http/, "ws")), "scorewire.v1");

socket.on("open", () => {
  socket.send(JSON.stringify({ type: "subscribe", topic, last_event_id: lastEventId }));
});
socket.on("message", (text) => {
  const { type, id, event, data, reason, code, message } = JSON.parse(text);
  if (type === "message") console.log(JSON.stringify({ id, event, data }));
  else if (type === "reset") console.log(JSON.stringify({ id, event: "reset", data: { reason } }));
  else if (type === "error") console.error(`${code}: ${message}`);
});
socket.on("error", ({ message }) => console.error(message));
socket.on("close", (code, reason) => {
  console.error(`closed: ${code} ${reason}`);
  process.exit(0);
});

// node eventsource.mjs URL TOPIC [LAST_EVENT_ID]
// Follows a topic with the `eventsource` package and prints each event as a line of JSON. After a break the package
// comes back by itself, with the last id in the header Last-Event-ID.

import { EventSource } from "eventsource";

const [base, topic, lastEventId] = process.argv.slice(2);
const url = new URL(`/topics/${topic}/stream`, base);
if (lastEventId) url.searchParams.set("last_event_id", lastEventId);

const source = new EventSource(url);
for (const name of ["snapshot", "top", "update", "remove", "reset"]) {
  source.addEventListener(name, ({ lastEventId: id, type: event, data }) => {
    console.log(JSON.stringify({ id, event, data: JSON.parse(data) }));
  });
}
source.addEventListener("close", ({ data }) => {
  if (!JSON.parse(data).reconnect) source.close();
});
source.onerror = ({ message }) => console.error("interrupted:", message ?? "the stream ended");

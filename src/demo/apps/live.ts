/** Sample app: a chat over WebSocket and a clock over server-sent events. */

import { listen } from "./listen.ts";
import { pageResponse } from "./page.ts";

const MESSAGE_CHARS_MAX = 280;
const ROOM = "room";

const server = listen({
  fetch(request, server) {
    const { pathname } = new URL(request.url);
    if (pathname === "/")
      return pageResponse({ title: "live · Paastis demo", body: BODY, script: SCRIPT });
    if (pathname === "/clock") return clock(request, server);
    if (pathname !== "/chat") return new Response("There is nothing here.\n", { status: 404 });
    if (server.upgrade(request, { data: undefined })) return;
    return new Response("This address speaks WebSocket.\n", {
      status: 426,
      headers: { upgrade: "websocket" },
    });
  },
  websocket: {
    idleTimeout: 0,
    open(socket) {
      socket.subscribe(ROOM);
      announce();
    },
    message(_socket, message) {
      server.publish(ROOM, JSON.stringify({ said: String(message).slice(0, MESSAGE_CHARS_MAX) }));
    },
    close: announce,
  },
});

/** Tells everybody how many are here. */
function announce(): void {
  server.publish(ROOM, JSON.stringify({ here: server.subscriberCount(ROOM) }));
}

/** One event each second, for as long as somebody listens. */
function clock(request: Request, server: Bun.Server<undefined>): Response {
  server.timeout(request, 0);
  async function* ticks() {
    yield "retry: 1000\n\n";
    while (!request.signal.aborted) {
      yield `data: ${new Date().toISOString()}\n\n`;
      await Bun.sleep(1000);
    }
  }
  return new Response(ticks(), {
    headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
  });
}

const BODY = `
  <h1>As long as you <i>listen</i>…</h1>
  <p>…this app is in use, and is not put to sleep: both connections below go through Paastis. Close the page,
  and 30 seconds later the terminal says that it sleeps.</p>
  <div class="cards">
    <section class="card"><h2>Server-sent events</h2>
      <time class="big" id="clock">--:--:--</time>
      <small class="state" id="clock-state">connecting</small></section>
    <section class="card"><h2>WebSocket</h2>
      <small class="state" id="chat-state">connecting</small>
      <ul class="log" id="messages" aria-live="polite"></ul>
      <form id="chat"><input name="text" maxlength="${MESSAGE_CHARS_MAX}" autocomplete="off"
        placeholder="Say something" aria-label="Message" required><button>Send</button></form></section>
  </div>`;

const SCRIPT = `
  const at = (id) => document.getElementById(id);
  const state = (id, on, text) => { at(id).toggleAttribute("data-on", on); at(id).textContent = text; };

  const ticks = new EventSource("/clock");
  ticks.onopen = () => state("clock-state", true, "connected");
  ticks.onerror = () => state("clock-state", false, "connecting again");
  ticks.onmessage = ({ data }) => { at("clock").textContent = new Date(data).toLocaleTimeString(); };

  let socket;
  function connect() {
    socket = new WebSocket(location.origin.replace("http", "ws") + "/chat");
    socket.onmessage = ({ data }) => {
      const { here, said } = JSON.parse(data);
      if (here) return state("chat-state", true, "connected, " + here + (here === 1 ? " page" : " pages") + " open");
      const line = document.createElement("li");
      line.textContent = said;
      at("messages").append(line);
      line.scrollIntoView({ block: "nearest" });
    };
    socket.onclose = () => { state("chat-state", false, "connecting again"); setTimeout(connect, 1000); };
  }
  connect();
  at("chat").onsubmit = (event) => {
    event.preventDefault();
    const { text } = event.target.elements;
    if (socket.readyState !== WebSocket.OPEN || text.value === "") return;
    socket.send(text.value);
    text.value = "";
  };
`;

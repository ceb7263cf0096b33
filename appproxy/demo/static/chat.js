"use strict";

// One WebSocket to this host; whatever comes over it is text, never markup.

const log = document.getElementById("log");
const form = document.getElementById("form");
const text = document.getElementById("text");
const send = document.getElementById("send");
const state = document.getElementById("state");
const KEPT_LINES = 500;
const RETRY_MILLISECONDS = 3000;
const RETRIES = 5;

let socket;
let failures = 0;

function part(tag, className, content) {
  const element = document.createElement(tag);
  element.className = className;
  element.textContent = content;
  return element;
}

function show(line) {
  const item = document.createElement("li");
  if (line.kind === "note") {
    item.append(part("span", "note", `${line.name} ${line.text}`));
    state.textContent = line.people === 1 ? "Connected. You are alone here." : `Connected. ${line.people} connections.`;
  } else {
    const initials = part("span", `initials c${Number(line.colour)}`, line.initials);
    initials.setAttribute("aria-hidden", "true");
    const words = document.createElement("div");
    words.append(part("b", "", line.name), part("div", "", line.text));
    item.append(initials, words);
  }
  log.append(item);
  while (log.children.length > KEPT_LINES) log.firstChild.remove();
  log.scrollTop = log.scrollHeight;
}

function enabled(yes) {
  text.disabled = !yes;
  send.disabled = !yes;
}

function connect() {
  socket = new WebSocket(`wss://${location.host}/socket`);
  socket.onopen = () => {
    failures = 0;
    log.replaceChildren();
    state.textContent = "Connected";
    enabled(true);
    text.focus();
  };
  socket.onmessage = (event) => show(JSON.parse(event.data));
  socket.onclose = () => {
    enabled(false);
    failures += 1;
    const again = failures <= RETRIES;
    state.textContent = again ? "Disconnected. Trying again." : "Disconnected. Reload this page to sign in again.";
    if (again) setTimeout(connect, RETRY_MILLISECONDS * failures);
  };
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (text.value.trim() && socket.readyState === WebSocket.OPEN) socket.send(text.value);
  text.value = "";
});

connect();

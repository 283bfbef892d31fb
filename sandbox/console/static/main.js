// Puts the page together: what flows in from the sandbox goes to the inbox, the two sides and the record list.

import * as api from "./api.js";
import { Agent } from "./agent.js";
import { Customer } from "./customer.js";
import { toast } from "./dom.js";
import { Inbox } from "./inbox.js";
import { Records } from "./records.js";
import { Threads } from "./threads.js";

const THEMES = ["auto", "light", "dark"];
const NARROW = 1180; // px: below, the records start hidden
const byId = (id) => document.getElementById(id);

async function start() {
  const world = await api.getWorld();
  const inbox = new Inbox(world.prefix);
  const customer = new Customer(byId("customer"));
  const agent = new Agent(byId("agent"));
  const records = new Records(byId("records"), (topic) => inbox.split(topic), () => agent.conversation);
  let shown = null;
  const threads = new Threads(byId("threads"), inbox, (thread) => {
    const other = thread?.key !== shown || thread?.conversation !== agent.conversation;
    shown = thread?.key;
    document.documentElement.style.setProperty("--channel", thread?.channel.colour ?? "#4f46e5");
    const real = thread ? !thread.channel.actions : !world.channels.some((channel) => channel.actions);
    document.body.classList.toggle("real", real);
    customer.select(thread, real);
    agent.select(thread);
    if (other && records.only.checked) records.redraw();
  });
  threads.setChannels(world.channels);
  await Promise.all(world.channels.map((channel) => threads.refresh(channel.name)));
  threads.draw();

  api.follow({
    records(list) {
      for (const record of list) inbox.apply(record);
      records.add(list);
      threads.draw();
    },
    changed(channel) {
      threads.refresh(channel).catch((problem) => toast(problem.message));
      if (customer.thread?.channel.name === channel) customer.refresh();
    },
    connection(up) {
      byId("connection").textContent = up ? "live" : "not connected";
      byId("connection").classList.toggle("up", up);
    },
  });

  document.addEventListener("keydown", (event) => {
    if (!event.altKey || event.ctrlKey || event.metaKey) return;
    const target = { Digit1: threads, Digit2: customer.pane, Digit3: agent.pane, Digit4: records.words }[event.code];
    if (!target) return;
    event.preventDefault();
    target.focus();
  });
}

function themes() {
  const set = (theme) => {
    document.documentElement.style.setProperty("color-scheme", theme === "auto" ? "light dark" : theme);
    byId("theme").textContent = `Theme: ${theme}`;
    localStorage.setItem("theme", theme);
  };
  const now = () => localStorage.getItem("theme") ?? "auto";
  set(now());
  byId("theme").addEventListener("click", () => set(THEMES[(THEMES.indexOf(now()) + 1) % THEMES.length]));
}

function recordsToggle() {
  const button = byId("toggle-records");
  const show = (wanted) => {
    document.body.classList.toggle("no-records", !wanted);
    button.setAttribute("aria-expanded", String(wanted));
  };
  show(window.innerWidth >= NARROW);
  button.addEventListener("click", () => show(document.body.classList.contains("no-records")));
}

themes();
recordsToggle();
start().catch((problem) => toast(problem.message));

// Puts the page together: what flows in from the sandbox goes to the inbox, the two sides and the tools.

import * as api from "./api.js";
import { Agent } from "./agent.js";
import { CommandEditor } from "./command.js";
import { Customer } from "./customer.js";
import { h, toast } from "./dom.js";
import { Inbox } from "./inbox.js";
import { Records } from "./records.js";
import { Scenarios } from "./scenarios.js";
import { Threads } from "./threads.js";
import { Tools } from "./tools.js";
import { Way } from "./way.js";

const THEMES = ["auto", "light", "dark"];
const NARROW = 1180; // px: below, the tools start hidden
const byId = (id) => document.getElementById(id);

async function start() {
  const world = await api.getWorld();
  const inbox = new Inbox(world.prefix);
  const split = (topic) => inbox.split(topic);
  const tools = new Tools(byId("tools"), { records: "Records", way: "Message", command: "Command", scenarios: "Scenarios" });
  const open = (name) => {
    showTools(true);
    showView("tools");
    tools.show(name);
  };
  const customer = new Customer(byId("customer"));
  const agent = new Agent(byId("agent"), world.errors, (conversation, message) => {
    way.show(conversation, message, namesOf(agent.thread.person));
    open("way");
  });
  const records = new Records(tools.panels.records, split, () => agent.conversation);
  const command = new CommandEditor(tools.panels.command);
  const scenarios = new Scenarios(tools.panels.scenarios);
  const way = new Way(tools.panels.way, world, () => records.kept, split, (channel, record) => {
    command.edit(channel, record);
    open("command");
  });
  let shown = null;
  const choose = (thread) => {
    const other = thread?.key !== shown || thread?.conversation !== agent.conversation;
    shown = thread?.key;
    document.documentElement.style.setProperty("--channel", thread?.channel.colour ?? "#4f46e5");
    const real = thread ? !thread.channel.actions : !world.channels.some((channel) => channel.actions);
    document.body.classList.toggle("real", real);
    customer.select(thread, real);
    agent.select(thread);
    command.select(agent.conversation);
    scenarios.select(thread);
    if (other && records.only.checked) records.redraw();
  };
  const threads = new Threads(byId("threads"), inbox, choose, () => showView(document.body.classList.contains("real") ? "agent" : "customer"));
  threads.setChannels(world.channels);
  await Promise.all(world.channels.map((channel) => threads.refresh(channel.name)));
  threads.draw();

  api.follow({
    records(list) {
      for (const record of list) inbox.apply(record);
      records.add(list);
      threads.draw();
      way.refresh();
    },
    changed(channel) {
      threads.refresh(channel).catch((problem) => toast(problem.message));
      if (customer.thread?.channel.name !== channel) return;
      customer.refresh();
      scenarios.refresh();
    },
    connection(up) {
      byId("connection").textContent = up ? "live" : "not connected";
      byId("connection").classList.toggle("up", up);
    },
  });

  document.addEventListener("keydown", (event) => {
    if (!event.altKey || event.ctrlKey || event.metaKey) return;
    const [view, target] = { Digit1: ["threads", threads], Digit2: ["customer", customer.pane], Digit3: ["agent", agent.pane], Digit4: ["tools", records.words] }[event.code] ?? [];
    if (!target) return;
    event.preventDefault();
    if (view === "tools") open("records");
    showView(view);
    target.focus();
  });
}

/** How the provider may call somebody in its requests. */
const namesOf = (person) => (person ? [person.id, person.detail.replace(/^[+@]/, "")] : []);

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

function showTools(wanted) {
  document.body.classList.toggle("no-tools", !wanted);
  byId("toggle-tools").setAttribute("aria-expanded", String(wanted));
}

/** On a phone one of the four is shown at a time. */
function showView(name) {
  document.body.dataset.view = name;
  for (const button of byId("views").children) button.setAttribute("aria-current", String(button.dataset.view === name));
}

function frame() {
  showTools(window.innerWidth >= NARROW);
  byId("toggle-tools").addEventListener("click", () => showTools(document.body.classList.contains("no-tools")));
  showView("threads");
  byId("views").addEventListener("click", ({ target }) => target.dataset.view && showView(target.dataset.view));
}

/** Without the world there is nothing to show but why. */
function failed(problem) {
  const again = h("button", { type: "button", class: "primary", text: "Try again", on: { click: () => location.reload() } });
  const main = document.querySelector("main");
  for (const pane of main.children) pane.hidden = true;
  main.append(h("div", { class: "broken", role: "alert" }, h("h2", { text: "The console could not start" }), h("p", { text: problem.message }), again));
}

themes();
frame();
start().catch(failed);

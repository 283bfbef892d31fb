// The console's HTTP interface. Every function throws an Error whose message is a sentence for the person.

async function request(method, path, body, headers) {
  let answer;
  try {
    answer = await fetch(path, { method, body, headers });
  } catch {
    throw new Error("The sandbox does not answer. Is it still running?");
  }
  const result = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(result.error ?? `The console answered ${answer.status}.`);
  return result;
}

const JSON_BODY = { "Content-Type": "application/json" };
const part = encodeURIComponent;
const people = (channel) => `/api/channels/${part(channel)}/people`;

export const getWorld = () => request("GET", "/api/world");
export const getPeople = (channel) => request("GET", people(channel));
export const addPerson = (channel, name) => request("POST", people(channel), JSON.stringify({ name }), JSON_BODY);
export const getView = (channel, person) => request("GET", `${people(channel)}/${part(person)}`);

export const command = (channel, type, fields) =>
  request("POST", `/api/channels/${part(channel)}/commands`, JSON.stringify({ type, ...fields }), JSON_BODY);

/** What the service says would become of a command: its answer, also where that is a refusal. */
export async function preflight(channel, type, fields) {
  try {
    const answer = await fetch(`/api/channels/${part(channel)}/preflight`, { method: "POST", body: JSON.stringify({ type, ...fields }), headers: JSON_BODY });
    return await answer.json();
  } catch {
    throw new Error("The service does not answer. Is it still running?");
  }
}

const provider = (channel, what) => `/api/channels/${part(channel)}/${what}`;
export const getScenarios = (channel) => request("GET", provider(channel, "scenarios"));
export const runScenario = (channel, name, person) =>
  request("POST", provider(channel, `scenarios/${part(name)}`), JSON.stringify({ person }), JSON_BODY);
export const endScenarios = (channel) => request("DELETE", provider(channel, "scenarios"));
export const reconnect = (channel) => request("POST", provider(channel, "reconnect"));
export const getCalls = (channel) => request("GET", provider(channel, "calls"));
export const getTemplates = (channel) => request("GET", provider(channel, "templates"));

export const storeFile = (file) =>
  request("POST", "/api/files", file, {
    "Content-Type": file.type || "application/octet-stream",
    "X-Filename": part(file.name),
  });

/** Let a person do something; a file goes with it as a form. */
export function act(channel, person, action, fields, file) {
  const path = `${people(channel)}/${part(person)}/${part(action)}`;
  if (!file) return request("POST", path, JSON.stringify(fields), JSON_BODY);
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value) form.append(name, value);
  form.append("file", file);
  return request("POST", path, form);
}

const named = (path, name) => `${path}${path.includes("?") ? "&" : "?"}name=${part(name)}`;
export const blobUrl = (key, name) => named(`/api/blobs/${key.split("/").map(part).join("/")}`, name);
export const simulatorFileUrl = (channel, id, name) => named(`/api/channels/${part(channel)}/files?id=${part(id)}`, name);

/** Follow what happens; reconnects by itself. `handlers`: `records` (list), `changed` (channel), `connection` (boolean). */
export function follow(handlers) {
  const events = new EventSource("/api/events");
  let run = null;
  events.addEventListener("hello", (event) => {
    if (run !== null && run !== event.data) location.reload(); // another sandbox: nothing on the page is true any more
    run = event.data;
    handlers.connection(true);
  });
  events.addEventListener("records", (event) => handlers.records(JSON.parse(event.data)));
  events.addEventListener("changed", (event) => handlers.changed(event.data));
  events.addEventListener("error", () => handlers.connection(false));
}

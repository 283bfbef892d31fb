// One message as it is shown, on either side. What to show is plain data, so that only what changed is drawn anew.

import { bytes, clock, h, icon, iconButton } from "./dom.js";
import { linked, linkTo, safeUrl } from "./links.js";

const EMOJI = ["👍", "🔥", "🎉", "😁", "👏", "🤔"];
const LABELS = { reply: "Reply", react: "React", edit: "Edit", delete: "Delete", way: "The way it went" };
const TICKS = { queued: "◌", deferred: "◔", accepted: "✓", sent: "✓", delivered: "✓✓", read: "✓✓", played: "✓✓", uncertain: "?", "partly sent": "◑" };

/**
 * A bubble. `data`: id, right, author, time, text, files [{kind, name, size, url, status}], buttons [[{title, data, url}]],
 * quote {id, text}, reactions [{emoji, own}], state, edited, deleted, hints, problems, again (what the button says that
 * sends it again, or null), actions; of a mail also subject, html and folded [{label, text}].
 * `act(name, data, argument)` hears of what the person does with it.
 */
export function bubble(data, act) {
  if (data.notice) return h("li", { class: "notice", text: data.text });
  const content = data.deleted ? [h("p", { class: "text gone", text: "Deleted" })] : contentOf(data, act);
  const about = `${data.author ?? (data.right ? "Me" : "Them")}, ${clock(data.time)}`;
  return h(
    "li",
    { class: `message ${data.right ? "right" : "left"}`, "data-id": data.id },
    h(
      "article",
      { class: "bubble", "aria-label": about },
      data.author && !data.right ? h("p", { class: "author", text: data.author }) : null,
      ...content,
      h("footer", {}, data.edited && !data.deleted ? "edited " : null, h("time", { text: clock(data.time) }), stateOf(data)),
    ),
    data.reactions.length ? reactionsOf(data, act) : null,
    ...data.hints.map((text) => h("p", { class: "hint", text })),
    ...data.problems.map((text) => h("p", { class: "problem", text })),
    data.again ? h("button", { type: "button", class: "again", on: { click: () => act("again", data) } }, icon("again"), data.again) : null,
    data.actions.length ? toolbar(data, act) : null,
  );
}

function contentOf(data, act) {
  return [
    data.forwarded ? h("p", { class: "forwarded", text: data.forwarded }) : null,
    data.quote ? h("button", { type: "button", class: "quote", title: "Show the message", on: { click: () => act("show", data, data.quote.id) } }, data.quote.text) : null,
    data.subject ? h("p", { class: "subject", dir: "auto", text: data.subject }) : null,
    ...data.files.map(fileOf),
    data.text ? h("p", { class: "text", dir: "auto" }, linked(data.text)) : null,
    ...(data.folded ?? []).map(({ label, text }) => h("details", { class: "folded" }, h("summary", { text: label }), h("p", { class: "text", dir: "auto" }, linked(text)))),
    data.html ? h("details", { class: "folded" }, h("summary", { text: "HTML" }), frameOf(data.html)) : null,
    ...data.buttons.map((row) => h("div", { class: "keyboard" }, row.map((button) => keyOf(button, data, act)))),
  ];
}

/** Somebody's html in a document of its own, which runs nothing and loads nothing: no permission, and the page's own policy. */
function frameOf(html) {
  return h("iframe", { class: "html", sandbox: "", srcdoc: html, title: "The mail as html" });
}

function keyOf(button, data, act) {
  if (button.url) return linkTo(button.url, `${button.title} ↗`, { class: "key" });
  const press = button.data !== null && button.data !== undefined && act ? () => act("press", data, button) : null;
  return h("button", { type: "button", class: "key", disabled: !press, text: button.title, on: press ? { click: press } : {} });
}

function fileOf(given) {
  const elsewhere = given.url && !given.url.startsWith("/"); // named by a command; the page shows only its own files
  const file = elsewhere ? { ...given, kind: "file", url: safeUrl(given.url) } : given;
  if (file.url && file.kind === "image") {
    const image = h("img", { src: file.url, alt: file.name, loading: "lazy" });
    image.addEventListener("error", () => link.replaceChildren(icon("file"), file.name));
    const link = h("a", { class: "picture", href: file.url, target: "_blank", rel: "noreferrer" }, image);
    return link;
  }
  if (file.url && file.kind === "video") return h("video", { src: file.url, controls: true, preload: "metadata", "aria-label": file.name });
  if (file.url && file.kind === "audio") return h("audio", { src: file.url, controls: true, preload: "metadata", "aria-label": file.name });
  const words = [h("span", { class: "name", text: file.name }), h("span", { class: "size", text: file.status ?? (file.size ? bytes(file.size) : "") })];
  if (!file.url) return h("p", { class: "file" }, icon("file"), ...words);
  return h("a", { class: "file", href: file.url, download: file.name }, icon("file"), ...words);
}

function stateOf(data) {
  if (!data.state) return null;
  return h("span", { class: `state ${data.state.replace(" ", "-")}` }, h("span", { "aria-hidden": "true", text: `${TICKS[data.state] ?? "✕"} ` }), data.state);
}

function reactionsOf(data, act) {
  const shown = data.reactions.map((reaction) => {
    const takeBack = reaction.own && data.actions.includes("react");
    if (!takeBack) return h("span", { class: "reaction", text: reaction.emoji });
    const label = `Take back ${reaction.emoji}`;
    return h("button", { type: "button", class: "reaction own", title: label, "aria-label": label, text: reaction.emoji, on: { click: () => act("react", data, "") } });
  });
  return h("div", { class: "reactions", role: "group", "aria-label": "Reactions" }, shown);
}

function toolbar(data, act) {
  const faces = h("div", { class: "faces", hidden: true, role: "group", "aria-label": "Emoji" });
  faces.append(...EMOJI.map((emoji) => h("button", { type: "button", text: emoji, "aria-label": `React with ${emoji}`, on: { click: () => ((faces.hidden = true), act("react", data, emoji)) } })));
  const buttons = data.actions.map((name) =>
    iconButton(name, LABELS[name], () => (name === "react" ? (faces.hidden = !faces.hidden) : act(name, data))),
  );
  return h("div", { class: "toolbar", role: "toolbar", "aria-label": "Message" }, buttons, faces);
}

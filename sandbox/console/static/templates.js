// The template picker: choose one, fill in what it leaves open, see how it reads.

import * as api from "./api.js";
import { choices, h, openDialog } from "./dom.js";

/** Lets somebody choose a template of the conversation's account; the content of a command, or null. */
export async function pickTemplate(conversation) {
  const all = await api.getTemplates(conversation.channel);
  const templates = all.filter((template) => template.account_id === conversation.account);
  return new Promise((resolve) => {
    let content = null;
    const place = h("div", { class: "templates" });
    const dialog = openDialog("Send a template", place, { class: "wide" });
    dialog.addEventListener("close", () => resolve(content));
    const send = (chosen) => {
      content = chosen;
      dialog.close();
    };
    const list = () => place.replaceChildren(listOf(templates, (template) => place.replaceChildren(filledIn(template, send, list))));
    list();
  });
}

function listOf(templates, choose) {
  if (!templates.length) return h("p", { class: "hint", text: "The account has no templates." });
  return h("ul", {}, templates.map((template) => {
    const sendable = template.status === "APPROVED";
    return h("li", {},
      h("button", { type: "button", class: "template-row", disabled: !sendable, on: { click: () => choose(template) } },
        h("b", { text: template.name }),
        h("span", { class: "facts", text: [template.language, template.category, template.status].join(" · ").toLowerCase() }),
        h("span", { class: "words", text: bodyOf(template) })));
  }));
}

function filledIn(template, send, back) {
  const inputs = template.parameters.map((name) => h("input", { type: "text", required: true, maxlength: 1000, "aria-label": `Parameter ${name}`, placeholder: `{{${name}}}` }));
  const values = () => Object.fromEntries(template.parameters.map((name, index) => [name, inputs[index].value]));
  const preview = h("p", { class: "preview-text", dir: "auto" });
  const draw = () => (preview.textContent = read(template, values()));
  const submit = (event) => {
    event.preventDefault();
    send(contentOf(template, values()));
  };
  const form = h("form", { on: { submit, input: draw } }, h("h3", { text: template.name }), inputs, preview, choices("Send", back));
  draw();
  return form;
}

const bodyOf = (template) => template.components.filter((part) => part.type === "BODY").map((part) => part.text).join("\n");

/** The body with its parameters; what is not filled in yet stays as it stands in the template. */
function read(template, values) {
  return bodyOf(template).replace(/\{\{\s*(\w+)\s*\}\}/g, (whole, name) => values[name] || whole);
}

/** As `message.send` takes it: positional parameters as a list, named ones as a mapping. */
function contentOf(template, values) {
  const { name, language, category } = template;
  const positional = template.parameters.every((parameter) => /^\d+$/.test(parameter));
  const parameters = !template.parameters.length ? undefined : positional ? template.parameters.map((key) => values[key]) : values;
  return { kind: "template", name, language, category: category?.toLowerCase(), parameters, text: read(template, values) };
}

// The right column: one tool at a time, each behind a tab.

import { h } from "./dom.js";

export class Tools {
  /** `titles`: tab titles by name. `panels` has an element for each, to be filled by whoever knows what goes there. */
  constructor(root, titles) {
    this.tabs = new Map();
    this.panels = {};
    const tablist = h("div", { class: "tabs", role: "tablist", "aria-label": "Tools", on: { keydown: (event) => this.#key(event) } });
    for (const [name, title] of Object.entries(titles)) {
      const tab = h("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `tool-${name}`, text: title, on: { click: () => this.show(name) } });
      this.tabs.set(name, tab);
      this.panels[name] = h("div", { class: `tool ${name}`, role: "tabpanel", id: `tool-${name}`, "aria-labelledby": `tab-${name}`, tabindex: "-1" });
    }
    tablist.append(...this.tabs.values());
    root.replaceChildren(tablist, ...Object.values(this.panels));
    this.show(Object.keys(titles)[0]);
  }

  show(name) {
    this.shown = name;
    for (const [each, tab] of this.tabs) {
      tab.setAttribute("aria-selected", String(each === name));
      tab.tabIndex = each === name ? 0 : -1;
      this.panels[each].hidden = each !== name;
    }
  }

  #key(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const names = [...this.tabs.keys()];
    this.show(names[(names.indexOf(this.shown) + step + names.length) % names.length]);
    this.tabs.get(this.shown).focus();
  }
}

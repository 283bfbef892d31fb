// A chat as one of its two sides sees it: header, messages, composer. Customer and agent are two of these.

import { bubble } from "./bubble.js";
import { bytes, h, icon, iconButton, reconcile, toast } from "./dom.js";

const NEAR = 80; // px from the end that still count as the end

export class ChatPane {
  /**
   * `root`: the section. `options`: `name` (Customer, Agent), `placeholder`, `send({text, files, replyTo, edit})` async,
   * `act(name, bubble, argument)` async, `typing(boolean)`, `tools` (elements beside the composer).
   */
  constructor(root, options) {
    this.options = options;
    this.files = [];
    this.shown = 0; // bubbles
    this.context = null; // {kind: "reply" | "edit", bubble}
    this.header = h("header", { class: "pane-head" });
    this.list = h("ol", { class: "messages" });
    this.typingDots = h("p", { class: "typing", hidden: true, role: "status" }, h("span"), h("span"), h("span"), h("b", { text: "typing" }));
    this.empty = h("p", { class: "empty" });
    this.composer = this.#composer();
    const label = { role: "log", "aria-label": `${options.name}: conversation`, tabindex: "0" };
    this.scroll = h("div", { class: "scroll", ...label, on: { scroll: () => this.#scrolled() } }, this.empty, this.list, this.typingDots);
    this.newest = h("button", { type: "button", class: "newest", hidden: true, on: { click: () => this.toEnd() } }, icon("newest"), "Newest");
    this.pinned = true; // the newest message is in sight, and stays there
    this.top = 0;
    this.unseen = 0;
    new ResizeObserver(() => this.#keepEnd()).observe(this.list);
    new ResizeObserver(() => this.#keepEnd()).observe(this.scroll);
    root.replaceChildren(this.header, h("div", { class: "between" }, this.scroll, this.newest), this.composer);
    root.addEventListener("dragover", (event) => event.preventDefault());
    root.addEventListener("drop", (event) => {
      event.preventDefault();
      this.#attach(event.dataTransfer.files);
    });
  }

  #composer() {
    const { name, placeholder, tools = [] } = this.options;
    this.about = h("div", { class: "context", hidden: true });
    this.chips = h("div", { class: "chips" });
    this.picker = h("input", { type: "file", multiple: true, hidden: true, "aria-label": `${name}: files`, on: { change: () => this.#attach(this.picker.files) } });
    this.input = h("textarea", { rows: "1", placeholder, "aria-label": `${name}: message`, on: { keydown: (event) => this.#key(event), input: () => this.#typed(), paste: (event) => this.#attach(event.clipboardData.files) } });
    const attach = iconButton("attach", "Attach files", () => this.picker.click());
    this.button = h("button", { type: "submit", class: "send", title: "Send (Enter)", "aria-label": `${name}: send` }, icon("send"));
    this.reason = h("p", { class: "reason", hidden: true });
    this.line = h("div", { class: "line" }, attach, ...tools, this.picker, this.input, this.button);
    return h(
      "form",
      { class: "composer", on: { submit: (event) => (event.preventDefault(), this.#send()) } },
      this.about,
      this.chips,
      this.reason,
      this.line,
    );
  }

  /** Show these bubbles (data of `bubble`); `typing`: whether the other side is. */
  show(bubbles, typing, emptyText) {
    const before = this.shown;
    reconcile(this.list, bubbles, (data) => data.id, (data) => bubble(data, (...deed) => this.#act(...deed)));
    this.empty.textContent = bubbles.length ? "" : emptyText;
    this.typingDots.hidden = !typing;
    this.shown = bubbles.length;
    if (!this.pinned) this.unseen += Math.max(0, bubbles.length - before);
    this.#keepEnd();
  }

  toEnd() {
    this.pinned = true;
    this.#keepEnd();
  }

  /** Whoever is at the end stays there while messages come and pictures load; who reads further up is left there. */
  #keepEnd() {
    if (this.pinned) this.scroll.scrollTop = this.scroll.scrollHeight;
    this.#sayNewest();
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroll;
    const near = scrollHeight - scrollTop - clientHeight < NEAR;
    // What grows below moves the end away without anybody having scrolled.
    if (near || scrollTop < this.top) this.pinned = near;
    this.top = scrollTop;
    this.#sayNewest();
  }

  #sayNewest() {
    if (this.pinned) this.unseen = 0;
    this.newest.hidden = this.pinned;
    this.newest.lastChild.textContent = this.unseen ? `${this.unseen} new` : "Newest";
  }

  /** `reason` why nothing can be written now, or null. */
  enable(reason) {
    this.composer.classList.toggle("off", reason !== null);
    for (const control of this.line.querySelectorAll("button, textarea, input")) control.disabled = reason !== null;
    this.reason.hidden = reason === null;
    this.reason.textContent = reason ?? "";
  }

  /** Forget what was being written: another conversation is shown. */
  reset() {
    this.#forget();
    this.shown = 0;
    this.toEnd();
  }

  #forget() {
    this.input.value = "";
    this.files = [];
    this.#setContext(null);
    this.#drawChips();
    this.#grow();
  }

  focus() {
    this.input.focus();
  }

  async #act(name, data, argument) {
    if (name === "show") {
      this.list.querySelector(`[data-id="${CSS.escape(argument)}"]`)?.scrollIntoView({ block: "center", behavior: "smooth" });
    } else if (name === "reply" || name === "edit") {
      this.#setContext({ kind: name, bubble: data });
    } else {
      await this.#try(() => this.options.act(name, data, argument));
    }
  }

  #setContext(context) {
    this.context = context;
    this.about.hidden = context === null;
    if (context === null) return;
    if (context.kind === "edit") this.input.value = context.bubble.text;
    this.about.replaceChildren(
      h("b", { text: context.kind === "edit" ? "Editing" : "Replying to" }),
      h("span", { text: context.bubble.text || context.bubble.files[0]?.name || "a message" }),
      iconButton("close", "Cancel (Esc)", () => this.#cancel()),
    );
    this.#grow();
    this.focus();
  }

  #cancel() {
    if (this.context?.kind === "edit") this.input.value = "";
    this.#setContext(null);
    this.focus();
  }

  #key(event) {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      this.#send();
    } else if (event.key === "Escape" && this.context) {
      this.#cancel();
    }
  }

  #typed() {
    this.#grow();
    this.options.typing?.(this.input.value !== "");
  }

  #grow() {
    this.input.style.setProperty("height", "auto");
    this.input.style.setProperty("height", `${Math.min(this.input.scrollHeight, 160)}px`);
  }

  #attach(files) {
    this.files.push(...files);
    this.picker.value = "";
    this.#drawChips();
    if (files.length) this.focus();
  }

  #drawChips() {
    const chip = (file) => {
      const remove = iconButton("close", `Remove ${file.name}`, () => {
        this.files = this.files.filter((one) => one !== file);
        this.#drawChips();
      });
      return h("span", { class: "chip" }, `${file.name} · ${bytes(file.size)}`, remove);
    };
    this.chips.replaceChildren(...this.files.map(chip));
  }

  async #send() {
    const text = this.input.value.trim();
    if (!text && !this.files.length) return;
    const files = this.files;
    const replyTo = this.context?.kind === "reply" ? this.context.bubble : null;
    const edit = this.context?.kind === "edit" ? this.context.bubble : null;
    this.#forget();
    this.options.typing?.(false);
    const done = await this.#try(() => this.options.send({ text, files, replyTo, edit }));
    if (!done && !this.input.value) {
      this.input.value = text; // nothing that was written is lost
      this.#grow();
    }
    this.toEnd();
  }

  async #try(work) {
    try {
      await work();
      return true;
    } catch (problem) {
      toast(problem.message);
      return false;
    }
  }
}

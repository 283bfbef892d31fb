// What a mail has besides its text: a line for the subject, and html where somebody wants to write it.

import { h, iconButton } from "./dom.js";

export class MailLines {
  /** `name` of the side; `placeholder` says what becomes of a mail without a subject. The lines stand in `root`. */
  constructor(name, placeholder) {
    this.subject = h("input", { type: "text", class: "keyboard-line", maxlength: "900", placeholder, "aria-label": `${name}: subject` });
    this.html = h("textarea", { class: "html-lines", hidden: true, rows: "3", placeholder: "<p>The same as html</p>", "aria-label": `${name}: html` });
    this.root = h("div", { class: "mail-lines", hidden: true }, this.subject, this.html);
    this.toggle = iconButton("edit", `${name}: write html, too`, () => {
      this.html.hidden = !this.html.hidden;
      if (!this.html.hidden) this.html.focus();
    });
    this.toggle.hidden = true;
  }

  show(shown) {
    this.root.hidden = this.toggle.hidden = !shown;
  }

  /** What was written, for a mail; the lines are empty afterwards. */
  take() {
    const written = { subject: this.subject.value.trim() || undefined, html: this.html.value.trim() || undefined };
    this.clear();
    return written;
  }

  clear() {
    this.subject.value = this.html.value = "";
    this.html.hidden = true;
  }
}

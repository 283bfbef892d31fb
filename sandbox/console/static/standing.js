// Where a conversation stands, above the agent's composer: the window's last hours, what is left of the quota, and why
// nothing can be written. All of it is the conversation's record on the state feed, and the clock.

import { h, icon } from "./dom.js";
import { sentence } from "./inbox.js";

export class Standing {
  /** `errors`: sentences by code; `template()` opens the picker. */
  constructor(errors, template) {
    this.errors = errors;
    this.window = h("span", { class: "window" });
    this.quotaText = h("span", { id: "quota-text" });
    this.meter = h("meter", { "aria-labelledby": "quota-text", min: 0 });
    this.quota = h("span", { class: "quota", hidden: true }, this.meter, this.quotaText);
    this.template = h("button", { type: "button", class: "quiet template", on: { click: template } }, icon("template"), "Template");
    this.root = h("div", { class: "standing", role: "group", "aria-label": "What the conversation takes" }, this.window, this.quota, this.template);
  }

  /** Show it as it is now; returns why no text can be written, or null. */
  show(conversation, channel, now = Date.now()) {
    const state = conversation?.state ?? null;
    const frame = state?.window && !state.window.unknown ? state.window : null;
    const left = frame?.open && frame.expires_at ? Date.parse(frame.expires_at) - now : null;
    this.window.textContent = !frame ? "" : !frame.open ? "Window closed" : left === null ? "Window open" : left > 0 ? `Window open for ${span(left)}` : "Window closed";
    this.window.classList.toggle("ending", left !== null && left < 3_600_000);
    this.#showQuota(frame);
    this.template.hidden = !conversation || !channel?.templates || state?.allowed.template === false;
    this.root.hidden = !this.window.textContent && this.quota.hidden && this.template.hidden;
    if (!conversation) return "The contact has to write first.";
    if (!state) return null;
    const codes = left !== null && left <= 0 ? ["window_closed"] : state.allowed.text ? [] : state.reasons;
    if (!codes?.length) return state.allowed.text ? null : "The channel takes no message now.";
    return codes.map((code) => sentence(this.errors[code] ?? { detail: code })).join(" ");
  }

  #showQuota(frame) {
    this.quota.hidden = !frame?.quota_limit;
    if (this.quota.hidden) return;
    const used = frame.quota_used ?? 0;
    this.meter.max = frame.quota_limit;
    this.meter.value = used;
    this.quotaText.textContent = `${used} of ${frame.quota_limit} messages used`;
  }
}

/** `23:59:07`, from milliseconds. */
function span(ms) {
  const seconds = Math.floor(ms / 1_000);
  const two = (number) => String(number).padStart(2, "0");
  return `${Math.floor(seconds / 3_600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
}

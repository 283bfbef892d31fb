// Addresses in somebody's text become links; the text itself stays text.

import { h } from "./dom.js";

const ADDRESS = /\bhttps?:\/\/[^\s<>"]+/giu;
const AFTER = /[.,;:!?)\]}'"»”]+$/u; // what rather belongs to the sentence around it

/** Only http(s) addresses are links; anything else a customer could think of goes nowhere. */
export function safeUrl(url) {
  try {
    return ["http:", "https:"].includes(new URL(url).protocol) ? url : null;
  } catch {
    return null;
  }
}

/** A link that opens in a page of its own, which does not learn where it was opened. */
export function linkTo(url, text, props = {}) {
  return h("a", { href: safeUrl(url), target: "_blank", rel: "noreferrer noopener", text, ...props });
}

/** The text as nodes, with its addresses as links. */
export function linked(text) {
  const nodes = [];
  let end = 0;
  for (const found of text.matchAll(ADDRESS)) {
    const url = found[0].replace(AFTER, "");
    if (!safeUrl(url)) continue;
    nodes.push(text.slice(end, found.index), linkTo(url, url));
    end = found.index + url.length;
  }
  return [...nodes, text.slice(end)].filter((node) => node !== "");
}

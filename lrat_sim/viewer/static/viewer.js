// Keys, and filters that apply themselves. Without this file everything can still be read, filtered and followed.
"use strict";

const all = (selector) => [...document.querySelectorAll(selector)];
const one = (selector) => document.querySelector(selector);

// the keyboard's place in a list is the focus itself, so that Enter, screen readers and the eye agree
function row(step) {
  const links = all("[data-row] [data-open]");
  if (!links.length) return false;
  const here = links.indexOf(document.activeElement);
  const next = here < 0 ? (step > 0 ? 0 : links.length - 1) : Math.min(Math.max(here + step, 0), links.length - 1);
  links[next].focus({ preventScroll: true });
  links[next].closest("[data-row]").scrollIntoView({ block: "nearest" });
  return true;
}

function turn(step) {
  const turns = all("[data-turn]");
  if (!turns.length) return;
  let here = turns.indexOf(document.activeElement?.closest("[data-turn]"));
  if (here < 0) {
    // none has the focus: begin at the one that is read
    const top = window.innerHeight / 3;
    here = turns.findLastIndex((each) => each.getBoundingClientRect().top < top);
    if (step < 0 && here >= 0) here += 1;
  }
  go(turns[Math.min(Math.max(here + step, 0), turns.length - 1)]);
}

function go(target) {
  if (!target) return;
  target.focus({ preventScroll: true });
  target.scrollIntoView({ block: "start" });
}

function search() {
  const field = one("[data-search]");
  field?.focus();
  field?.select();
}

function back() {
  const up = one("[data-up]");
  const from = document.referrer && new URL(document.referrer).origin === location.origin;
  if (from && history.length > 1) history.back();
  else if (up) up.click();
}

function toggleKeys() {
  const keys = one("#keys");
  if (keys.open) keys.close();
  else keys.showModal();
}

const KEYS = {
  "/": search,
  j: () => row(1),
  k: () => row(-1),
  ArrowDown: () => row(1),
  ArrowUp: () => row(-1),
  "[": () => turn(-1),
  "]": () => turn(1),
  p: () => go(one("[data-divergence]")),
  "<": () => one("[data-previous]")?.click(),
  ">": () => one("[data-next]")?.click(),
  r: () => location.reload(),
  "?": toggleKeys,
  Escape: back,
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || one("#keys").open) return;
  const field = event.target.closest("input, select, textarea");
  if (field) {
    if (event.key !== "Escape") return;
    event.preventDefault(); // which would empty a search field
    field.blur();
    return;
  }
  const action = KEYS[event.key];
  if (!action) return;
  if (action() !== false) event.preventDefault(); // a page without rows scrolls with the arrows
});

all("[data-filters] select").forEach((select) => {
  select.addEventListener("change", () => select.form.requestSubmit());
});

// an empty field is no filter, and has no place in the address
all("[data-filters]").forEach((form) => {
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) if (!value) event.formData.delete(name);
  });
});

all("[data-keys]").forEach((button) => {
  button.hidden = false;
  button.addEventListener("click", toggleKeys);
});

// a link to a turn moves the keyboard there, too
function arrive() {
  const target = location.hash.length > 1 ? document.getElementById(decodeURIComponent(location.hash.slice(1))) : null;
  if (target?.matches("[data-turn], [data-divergence]")) target.focus({ preventScroll: true });
}
window.addEventListener("hashchange", arrive);
arrive();

// Shows the plant: one card a machine, grouped by site. Elements are kept and only
// what changed is written, so that focus and selection stay.

import { display, textOf } from "./plant.js";
import { ageText, ageTone } from "./age.js";
import { sparkline } from "./sparkline.js";

const tones = { Running: "run", Idle: "idle", Stopped: "stop", Maintenance: "care" };
const doors = { rest: "REST", mqtt: "MQTT", opcua: "OPC UA", import: "Import" };
const shownSignals = 10;

// make builds an element with a class, a text and children.
export function make(tag, className = "", text = "", ...children) {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text) e.textContent = text;
  e.append(...children);
  return e;
}

// write sets a text only if it differs.
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// pill shows a state as colour and text.
export function pill(element, text, tone) {
  write(element, text);
  if (element.dataset.tone !== tone) element.dataset.tone = tone;
}

// View owns the cards under root.
export class View {
  constructor(root) {
    this.root = root;
    this.cards = new Map();
    this.sites = new Map();
    this.words = [];
  }

  // filter shows only machines in which every word is found.
  filter(text) {
    this.words = text.toLowerCase().split(/\s+/).filter(Boolean);
    for (const card of this.cards.values()) this.place(card);
    this.hideEmptySites();
  }

  // render brings the cards up to date with the plant.
  render(plant, now) {
    for (const [address, card] of this.cards) {
      if (!plant.machines.has(address)) {
        card.element.remove();
        this.cards.delete(address);
      }
    }
    for (const machine of plant.machines.values()) this.renderMachine(machine, now);
    this.hideEmptySites();
  }

  // tick lets ages count up between answers, and without any.
  tick(now) {
    for (const card of this.cards.values()) this.renderAge(card, now);
  }

  renderMachine(machine, now) {
    let card = this.cards.get(machine.address);
    if (!card) {
      card = newCard(machine);
      this.cards.set(machine.address, card);
      insertSorted(this.site(machine.siteID).grid, card.element, machine.id);
    }
    card.machine = machine;
    write(card.name, machine.name);
    pill(card.status, machine.status || "no status", tones[machine.status] ?? "none");
    renderDoors(card, machine.sources);
    renderSignals(card, machine, now);
    this.renderAge(card, now);
    this.place(card);
  }

  renderAge(card, now) {
    const age = now - card.machine.receivedAt;
    write(card.age, Number.isNaN(age) ? "no data yet" : `${ageText(age)} ago`);
    card.age.dataset.tone = ageTone(age);
  }

  place(card) {
    const m = card.machine;
    const text = [m.id, m.name, m.siteID, m.status, ...m.sources, ...m.sources.map((s) => doors[s] ?? "")];
    const haystack = text.join(" ").toLowerCase();
    card.element.hidden = !this.words.every((w) => haystack.includes(w));
  }

  site(id) {
    if (!this.sites.has(id)) {
      const grid = make("div", "grid");
      const section = make("section", "site", "", make("h2", "", id), grid);
      section.setAttribute("aria-label", `site ${id}`);
      insertSorted(this.root, section, id);
      this.sites.set(id, { section, grid });
    }
    return this.sites.get(id);
  }

  hideEmptySites() {
    for (const { section, grid } of this.sites.values()) {
      section.hidden = [...grid.children].every((c) => c.hidden);
    }
  }
}

const { compare } = new Intl.Collator("en", { numeric: true });

// insertSorted finds the place by halving: a machine may have thousands of signals.
function insertSorted(parent, element, key) {
  element.dataset.key = key;
  const list = parent.children;
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compare(list[middle].dataset.key, key) > 0) high = middle;
    else low = middle + 1;
  }
  parent.insertBefore(element, list[low] ?? null);
}

function newCard(machine) {
  const name = make("span", "name");
  const status = make("span", "pill");
  const sources = make("span", "doors");
  const age = make("span", "age");
  const rows = make("tbody");
  const more = make("button", "link more");
  more.type = "button";
  more.hidden = true;
  const table = make("table", "signals", "", make("caption", "sr", `Signals of ${machine.id}`), rows);
  const element = make("article", "card", "",
    make("div", "card-head", "", make("h3", "", machine.id), status),
    make("div", "card-sub", "", name, sources, age),
    table, more);
  element.dataset.machine = machine.address;
  const card = { element, name, status, sources, age, rows, more, machine, lines: new Map(), all: false };
  more.addEventListener("click", () => {
    card.all = !card.all;
    fold(card);
  });
  return card;
}

function renderDoors(card, sources) {
  const text = sources.map((s) => doors[s] ?? s).join(" ");
  if (card.sources.dataset.text === text) return;
  card.sources.dataset.text = text;
  card.sources.replaceChildren(...sources.map((s) => {
    const badge = make("span", "door", doors[s] ?? s);
    badge.dataset.door = s;
    return badge;
  }));
}

function renderSignals(card, machine, now) {
  for (const signal of machine.signals.values()) {
    let line = card.lines.get(signal.name);
    if (!line) {
      line = newLine(signal);
      card.lines.set(signal.name, line);
      insertSorted(card.rows, line.row, signal.name);
    }
    renderLine(line, signal, now);
  }
  fold(card);
}

function newLine(signal) {
  const plot = make("td", "plot");
  const quality = make("span", "quality");
  const number = make("span", "number");
  const unit = make("td", "unit");
  const head = make("th");
  head.append(...breakable(signal.name));
  head.scope = "row";
  const row = make("tr", "", "", head, plot, make("td", "value", "", quality, number), unit);
  row.dataset.signal = signal.name;
  return { row, plot, quality, number, unit };
}

// breakable lets long names break after a dot or an underscore.
function breakable(name) {
  return name.split(/(?<=[._])/).flatMap((part, i) => (i ? [document.createElement("wbr"), part] : [part]));
}

function renderLine(line, signal, now) {
  write(line.number, display(signal));
  write(line.unit, signal.unit);
  write(line.quality, signal.quality === "good" ? "" : signal.quality);
  line.row.dataset.quality = signal.quality;
  line.number.toggleAttribute("data-empty", signal.value === null);
  line.number.title = `${textOf(signal.value)} at ${signal.timestamp}`;
  sparkline(line.plot, signal.series, now);
}

// fold shows the first signals of a machine, or all that were asked for.
function fold(card) {
  const rows = [...card.rows.children];
  rows.forEach((row, i) => { row.hidden = !card.all && i >= shownSignals; });
  card.more.hidden = rows.length <= shownSignals;
  write(card.more, card.all ? "Show fewer" : `Show all ${rows.length} signals`);
  card.more.setAttribute("aria-expanded", String(card.all));
}

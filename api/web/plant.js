// What is known of the plant: the machines, their newest values, and the values
// that were seen while the page is open.

const seriesLength = 240; // points of a sparkline
const rateWindow = 10_000; // milliseconds
const byName = new Intl.Collator("en", { numeric: true }).compare;

// Plant is brought up to date with whole lists, as the server has them.
export class Plant {
  constructor() {
    this.machines = new Map();
    this.seen = []; // {at, count} of the polls within the window
    this.polls = 0;
  }

  // update takes the items of /api/v1/equipment and /api/v1/latest.
  update(equipment, latest, now) {
    const machines = new Map();
    const machine = (siteID, id) => {
      const address = `${siteID}~${id}`;
      if (!machines.has(address)) {
        const signals = this.machines.get(address)?.signals ?? new Map();
        machines.set(address, { address, siteID, id, name: "", sources: [], status: "", receivedAt: NaN, signals });
      }
      return machines.get(address);
    };
    for (const e of equipment) {
      if (e.level !== "work_unit") continue;
      const m = machine(e.site_id, e.id);
      m.name = e.name ?? "";
      m.sources = e.sources ?? [];
      m.receivedAt = Date.parse(e.last_received_at ?? "");
    }
    let changed = 0;
    for (const l of latest) {
      const m = machine(l.site_id, l.machine_id);
      m.receivedAt = later(m.receivedAt, Date.parse(l.received_at));
      if (!m.sources.includes(l.source)) m.sources = [...m.sources, l.source];
      if (l.signal === "status") m.status = textOf(l.value);
      else if (take(m.signals, l)) changed++;
    }
    this.machines = new Map([...machines].sort(([, a], [, b]) => byName(a.siteID, b.siteID) || byName(a.id, b.id)));
    this.count(changed, now);
  }

  // count notes how many values were new at this poll. All are at the first.
  count(changed, now) {
    if (this.polls++ > 0) this.seen.push({ at: now, count: changed });
    else this.seen.push({ at: now, count: 0 });
    while (this.seen.length > 2 && now - this.seen[0].at > rateWindow) this.seen.shift();
  }

  // rate is how many new values a second were seen, NaN before the second poll.
  rate() {
    if (this.seen.length < 2) return NaN;
    const span = (this.seen.at(-1).at - this.seen[0].at) / 1000;
    return this.seen.slice(1).reduce((sum, s) => sum + s.count, 0) / span;
  }
}

// take brings a signal up to date and tells whether its value is new.
function take(signals, l) {
  const known = signals.get(l.signal);
  const time = Date.parse(l.timestamp);
  const signal = known ?? { name: l.signal, series: [], decimals: 0 };
  const isNew = !known || known.recordID !== l.record_id || known.timestamp !== l.timestamp;
  signal.value = l.value;
  signal.unit = l.unit ?? "";
  signal.quality = l.quality ?? "good";
  signal.timestamp = l.timestamp;
  signal.recordID = l.record_id;
  if (isNew) {
    signals.set(l.signal, signal);
    signal.decimals = Math.max(signal.decimals, decimalsOf(l.value));
    const number = numberOf(l.value);
    if (Number.isFinite(number) && signal.quality !== "bad") signal.series.push({ time, number });
    if (signal.series.length > seriesLength) signal.series.shift();
  }
  return isNew;
}

function later(a, b) {
  if (Number.isNaN(a)) return b;
  return Number.isNaN(b) ? a : Math.max(a, b);
}

// numberOf is what a sparkline draws of a value; NaN if it has no number.
function numberOf(value) {
  if (typeof value === "boolean") return value ? 1 : 0;
  return value?.number ?? NaN;
}

function decimalsOf(value) {
  const text = value?.text ?? "";
  if (/e/i.test(text) || !text.includes(".")) return 0;
  return Math.min(text.length - text.indexOf(".") - 1, 6);
}

// textOf is a value in words.
export function textOf(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "object" && "text" in value) return value.text;
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

// display is a value as the page shows it: numbers of one signal have as many
// decimals as the most exact one seen, so that they stand in line.
export function display(signal) {
  const { value, decimals } = signal;
  if (value === null || value === undefined) return "no value";
  if (value.text === undefined) return textOf(value);
  const { number, text } = value;
  if (/e/i.test(text) || text.replace(/\D/g, "").length > 15) {
    return text.length > 15 && !Number.isInteger(number) ? number.toPrecision(7) : text;
  }
  return number.toFixed(Math.max(decimals, Math.min(decimalsOf(value), 6)));
}

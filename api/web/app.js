// The live page: takes the key, asks the server every second, and shows what it
// says. It pauses while it is hidden, and says so while the server is away.

import { AnswerError, get, list } from "./api.js";
import { Plant } from "./plant.js";
import { View, make, pill, write } from "./view.js";

const pollEvery = 1000; // milliseconds
const slowEvery = 5; // polls between two looks at readiness and quarantine
const keyName = "plantgate.key";

const $ = (id) => document.getElementById(id);
const plant = new Plant();
const view = new View($("sites"));
const clock = { skew: 0 };
let key = "";
let polls = 0;
let timer = 0;
let running = false;
let lastAnswer = NaN;

// now is the server's time: ages must not depend on this computer's clock.
const now = () => Date.now() + clock.skew;

// setClock learns the server's clock, which the header Date gives in whole seconds.
function setClock(serverTime) {
  if (Number.isNaN(serverTime)) return;
  const low = serverTime - Date.now();
  if (clock.skew < low || clock.skew > low + 1000) clock.skew = low + 500;
}

// takeKey reads the key of the address (#key=…), and removes it from there.
function takeKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) {
    history.replaceState(null, "", location.pathname + location.search);
    sessionStorage.setItem(keyName, given.trim());
  }
  key = sessionStorage.getItem(keyName) ?? "";
  $("key-form").hidden = Boolean(key);
  $("forget").hidden = !key;
}

function askForKey(why) {
  sessionStorage.removeItem(keyName);
  takeKey();
  say(why);
  $("key").focus();
}

// say puts a text into the banner, or empties it.
function say(text, tone = "warn") {
  write($("banner"), text);
  $("banner").dataset.tone = tone;
}

async function poll() {
  timer = 0;
  if (running || document.hidden) return;
  running = true;
  let wait = pollEvery;
  try {
    if (polls++ % slowEvery === 0) await pollServer();
    if (key) await pollPlant();
    lastAnswer = Date.now();
    document.body.classList.remove("away");
  } catch (error) {
    wait = explain(error);
  } finally {
    running = false;
  }
  schedule(wait);
}

function schedule(wait) {
  clearTimeout(timer);
  timer = document.hidden ? 0 : setTimeout(poll, wait);
}

async function pollPlant() {
  const used = key;
  const [equipment, latest] = await Promise.all([
    list("/api/v1/equipment?level=work_unit", used),
    list("/api/v1/latest", used),
  ]);
  if (used !== key) return;
  setClock(latest.clock);
  plant.update(equipment.items, latest.items, now());
  view.render(plant, now());
  write($("machines"), String(plant.machines.size));
  const rate = plant.rate();
  write($("rate"), Number.isNaN(rate) ? "–" : rate.toFixed(1));
  $("empty").hidden = plant.machines.size > 0;
  $("tools").hidden = plant.machines.size === 0;
  say(latest.more || equipment.more ? "There are more machines and signals than this page shows." : "", "info");
}

async function pollServer() {
  const ready = await get("/readyz", "");
  setClock(ready.clock);
  showReadiness(ready.body);
  if (key) await pollQuarantine();
}

function showReadiness(body) {
  const tone = { ready: "run", degraded: "idle", unready: "stop" };
  const state = body?.status ?? "unknown";
  pill($("server"), state, tone[state] ?? "none");
  $("server").title = body?.store?.detail ?? "";
  const connections = (body?.adapters ?? []).map((a) => {
    const dot = make("span", "dot");
    dot.dataset.tone = a.state === "running" ? "run" : "idle";
    return make("li", "", "", dot, `${a.name} (${a.door === "opcua" ? "OPC UA" : a.door.toUpperCase()}) ${a.state.replace("_", " ")}`);
  });
  $("connections").replaceChildren(...connections);
}

// pollQuarantine counts open items; a key may lack the right to see them.
async function pollQuarantine() {
  try {
    const open = await list("/api/v1/quarantine?state=open", key, 1);
    write($("quarantine"), open.more ? `${open.items.length}+` : String(open.items.length));
    $("quarantine").classList.toggle("attention", open.items.length > 0);
  } catch (error) {
    if (!(error instanceof AnswerError) || error.status !== 403) throw error;
    write($("quarantine"), "–");
  }
}

// explain tells the user what went wrong and returns how long to wait.
function explain(error) {
  if (!(error instanceof AnswerError)) {
    document.body.classList.add("away");
    pill($("server"), "no answer", "stop");
    const since = Number.isNaN(lastAnswer) ? "" : ` since ${new Date(lastAnswer).toLocaleTimeString()}`;
    say(`No answer from the server${since}. What stands below is the last that was known.`, "bad");
    polls = 0;
    return pollEvery;
  }
  switch (error.status) {
    case 401:
      askForKey("The server does not know this key. It may have expired or been withdrawn.");
      break;
    case 403:
      say(`This key may not read the plant: ${error.message}.`);
      break;
    default:
      document.body.classList.add("away");
      say(`The server answered ${error.status}: ${error.message}.`, "bad");
  }
  return Math.max(error.retryAfter * 1000, pollEvery);
}

function start() {
  takeKey();
  if (!key) $("key").focus();
  $("key-form").addEventListener("submit", (event) => {
    event.preventDefault();
    sessionStorage.setItem(keyName, $("key").value.trim());
    $("key").value = "";
    say("");
    takeKey();
    polls = 0;
    schedule(0);
  });
  $("forget").addEventListener("click", () => {
    sessionStorage.removeItem(keyName);
    location.reload();
  });
  $("filter").addEventListener("input", () => view.filter($("filter").value));
  addEventListener("hashchange", () => {
    takeKey();
    polls = 0;
    schedule(0);
  });
  document.addEventListener("visibilitychange", () => schedule(0));
  setInterval(() => view.tick(now()), 500);
  poll();
}

start();

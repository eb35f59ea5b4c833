// Looks at a running plantgate with a real browser and fails if something is amiss:
//   - the live page shows machines of all three doors, and their values move;
//   - the key is gone from the address bar;
//   - Swagger UI loads, and "Try it out" with a key on GET /api/v1/equipment gets 200;
//   - no page asks for anything outside the server, and none breaks its own policy.
//
//   node page.mjs https://127.0.0.1:8443 KEY [folder for screenshots]
//
// The demo's own CA is not in the browser's store, so certificates are not checked.
// Environment: CHROMIUM (default /usr/bin/chromium). Exit: 0 all well, 1 not, 2 usage.

import { mkdir } from "node:fs/promises";
import path from "node:path";
import { chromium } from "playwright-core";

const [base, key, folder] = process.argv.slice(2);
if (!base || !key) {
  console.error("usage: node page.mjs URL KEY [FOLDER]");
  process.exit(2);
}
const origin = new URL(base).origin;
const patience = 30_000; // milliseconds for what takes a few seconds

const flags = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync",
  "--ignore-certificate-errors",
];

let passed = 0;
let failed = 0;

async function check(name, fn) {
  try {
    await fn();
    passed++;
    console.log(`ok    ${name}`);
  } catch (error) {
    failed++;
    console.log(`FAIL  ${name}: ${error.message}`);
  }
}

function expect(condition, message) {
  if (!condition) throw new Error(message);
}

// open makes a page that notes every request elsewhere and every error.
async function open(browser, options = {}) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true, viewport: { width: 1360, height: 900 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(patience);
  const foreign = [];
  const errors = [];
  page.on("request", (r) => {
    const url = new URL(r.url());
    if (!["data:", "blob:"].includes(url.protocol) && url.origin !== origin) foreign.push(r.url());
  });
  page.on("pageerror", (e) => errors.push(e.message));
  page.on("console", (m) => { if (m.type() === "error") errors.push(m.text()); });
  return { context, page, foreign, errors };
}

async function picture(page, name) {
  if (!folder) return;
  await mkdir(folder, { recursive: true });
  await page.screenshot({ path: path.join(folder, `${name}.png`) });
}

// values reads every number on the live page.
function values(page) {
  return page.$$eval(".card tr", (rows) => Object.fromEntries(rows.map((r) => [
    `${r.closest(".card").dataset.machine} ${r.dataset.signal}`, r.querySelector(".number").textContent,
  ])));
}

async function livePage(browser) {
  const { context, page, foreign, errors } = await open(browser);
  await page.goto(`${base}/#key=${encodeURIComponent(key)}`);

  await check("live page: the key is not left in the address bar", async () => {
    await page.waitForFunction(() => !location.href.includes("key="));
  });
  for (const door of ["rest", "mqtt", "opcua"]) {
    await check(`live page: machines of the door ${door}`, async () => {
      await page.waitForSelector(`.card .door[data-door="${door}"]`);
    });
    await check(`live page: values of the door ${door} move`, async () => {
      const ofDoor = (all, cards) => Object.entries(all).filter(([name]) => cards.includes(name.split(" ")[0]));
      const cards = await page.$$eval(`.card:has(.door[data-door="${door}"])`, (list) => list.map((c) => c.dataset.machine));
      const before = JSON.stringify(ofDoor(await values(page), cards));
      const end = Date.now() + patience;
      while (JSON.stringify(ofDoor(await values(page), cards)) === before) {
        expect(Date.now() < end, `no value changed within ${patience / 1000} s`);
        await page.waitForTimeout(250);
      }
    });
  }
  await check("live page: statuses are words", async () => {
    const texts = await page.$$eval(".card .pill", (list) => list.map((e) => e.textContent));
    expect(texts.some((t) => ["Running", "Idle", "Stopped", "Maintenance"].includes(t)), `only ${texts.join(", ")}`);
  });
  await check("live page: the filter works by keyboard", async () => {
    await page.focus("#filter");
    await page.keyboard.type("opc ua");
    await page.waitForFunction(() => [...document.querySelectorAll(".card")].filter((c) => !c.hidden)
      .every((c) => c.querySelector('[data-door="opcua"]')));
    await page.fill("#filter", "");
  });
  await picture(page, "light");
  await check("live page: nothing from elsewhere, no error", async () => {
    expect(foreign.length === 0, `asked for ${foreign.join(", ")}`);
    expect(errors.length === 0, errors.join("; "));
  });
  await context.close();

  await check("live page: asks for the key again if it is wrong", async () => {
    const other = await open(browser);
    await other.page.goto(`${base}/#key=this-key-does-not-exist`);
    await other.page.waitForSelector("#key-form:not([hidden])");
    expect((await other.page.textContent("#banner")).includes("key"), "the banner says nothing of the key");
    await other.page.fill("#key", key);
    await other.page.keyboard.press("Enter");
    await other.page.waitForSelector(".card");
    await other.context.close();
  });
}

async function pictures(browser) {
  const looks = { dark: { colorScheme: "dark" }, narrow: { viewport: { width: 390, height: 844 } } };
  for (const [name, options] of Object.entries(looks)) {
    await check(`live page: ${name}`, async () => {
      const { context, page } = await open(browser, options);
      await page.goto(`${base}/#key=${encodeURIComponent(key)}`);
      await page.waitForSelector(".card");
      await page.waitForTimeout(folder ? 8000 : 0);
      await picture(page, name);
      const [content, window] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
      expect(content <= window, `${content} pixels wide in a window of ${window}`);
      await context.close();
    });
  }
}

async function swaggerUI(browser) {
  const { context, page, foreign, errors } = await open(browser);
  await check("Swagger UI: loads", async () => {
    await page.goto(`${base}/swagger/`);
    await page.waitForSelector(".swagger-ui .opblock");
  });
  await check("Swagger UI: Try it out with a key on GET /api/v1/equipment answers 200", async () => {
    await page.click(".swagger-ui .btn.authorize");
    await page.fill(".swagger-ui .auth-container input", key);
    await page.click(".swagger-ui .auth-btn-wrapper .authorize");
    await page.click(".swagger-ui .auth-btn-wrapper .btn-done");
    const block = page.locator(".opblock-get", { has: page.locator('[data-path="/api/v1/equipment"]') });
    await block.locator(".opblock-summary").click();
    const tryOut = block.locator(".try-out__btn");
    if ((await tryOut.textContent()).includes("Try it out")) await tryOut.click();
    const answer = page.waitForResponse((r) => new URL(r.url()).pathname === "/api/v1/equipment");
    await block.locator("button.execute").click();
    const response = await answer;
    expect(response.status() === 200, `status ${response.status()}`);
    expect((await response.json()).items.length > 0, "no equipment in the answer");
    await block.locator(".live-responses-table .response-col_status", { hasText: "200" }).waitFor();
  });
  await picture(page, "swagger");
  await check("Swagger UI: nothing from elsewhere, no error", async () => {
    expect(foreign.length === 0, `asked for ${foreign.join(", ")}`);
    expect(errors.length === 0, errors.join("; "));
  });
  await context.close();
}

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: flags });
try {
  await livePage(browser);
  await pictures(browser);
  await swaggerUI(browser);
} finally {
  await browser.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0;

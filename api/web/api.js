// Calls of plantgate's HTTP interface.

const timeout = 8000; // milliseconds
const pageSize = 1000;
const maxPages = 20;

// AnswerError is an answer that is not what was asked for. Without any answer
// fetch throws errors of its own.
export class AnswerError extends Error {
  constructor(status, detail, retryAfter) {
    super(detail);
    this.status = status;
    this.retryAfter = retryAfter; // seconds; 0 if the server said nothing
  }
}

// exactNumbers keeps the digits of values: a 64-bit integer is no double.
function exactNumbers(name, value, context) {
  if (name !== "value" || typeof value !== "number") return value;
  return { number: value, text: context?.source ?? String(value) };
}

// get returns the status, the body and the server's clock (milliseconds).
export async function get(path, key) {
  const headers = { Accept: "application/json" };
  if (key) headers["x-api-key"] = key;
  const response = await fetch(path, {
    headers,
    cache: "no-store",
    credentials: "omit",
    signal: AbortSignal.timeout(timeout),
  });
  const text = await response.text();
  let body = null;
  try {
    body = JSON.parse(text, exactNumbers);
  } catch {
    // A proxy's error page, perhaps: the status says enough.
  }
  return {
    status: response.status,
    body,
    clock: Date.parse(response.headers.get("date") ?? ""),
    retryAfter: Number(response.headers.get("retry-after")) || 0,
  };
}

// list returns the items of all pages of a list and whether there are more.
export async function list(path, key, pages = maxPages) {
  const items = [];
  let cursor = null;
  let clock = NaN;
  for (let i = 0; i < pages; i++) {
    const query = new URLSearchParams({ limit: pageSize });
    if (cursor) query.set("cursor", cursor);
    const answer = await get(`${path}${path.includes("?") ? "&" : "?"}${query}`, key);
    if (answer.status !== 200 || !Array.isArray(answer.body?.items)) {
      throw new AnswerError(answer.status, answer.body?.detail ?? `status ${answer.status}`, answer.retryAfter);
    }
    items.push(...answer.body.items);
    cursor = answer.body.next_cursor;
    clock = answer.clock;
    if (!cursor) break;
  }
  return { items, more: Boolean(cursor), clock };
}

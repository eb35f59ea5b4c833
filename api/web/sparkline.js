// Small plots of the values that were seen while the page is open.

const svg = "http://www.w3.org/2000/svg";
const width = 96;
const height = 24;
const margin = 3;
const shortest = 30_000; // milliseconds from the left edge to now, at first
const longest = 120_000; // and in the end

// sparkline draws the series into the cell; text and single values have none.
export function sparkline(cell, series, now) {
  // All plots have the same scale of time, which grows with the time seen.
  const span = Math.min(Math.max(performance.now(), shortest), longest);
  const from = now - span;
  const visible = series.filter((p) => p.time >= from);
  if (visible.length < 2) {
    if (cell.firstChild) cell.replaceChildren();
    return;
  }
  const plot = cell.firstChild ?? cell.appendChild(newPlot());
  const [line, dot] = plot.children;
  const low = Math.min(...visible.map((p) => p.number));
  const high = Math.max(...visible.map((p) => p.number));
  const x = (p) => margin + (Math.min(p.time - from, span) / span) * (width - 2 * margin);
  const y = (p) => (high === low ? height / 2 : height - margin - ((p.number - low) / (high - low)) * (height - 2 * margin));
  // Steps: a value holds until the next one is told, which may be minutes.
  const steps = visible.flatMap((p, i) => (i ? [[x(p), y(visible[i - 1])], [x(p), y(p)]] : [[x(p), y(p)]]));
  line.setAttribute("points", steps.map((xy) => xy.map((n) => n.toFixed(1)).join(",")).join(" "));
  const last = visible.at(-1);
  dot.setAttribute("cx", x(last).toFixed(1));
  dot.setAttribute("cy", y(last).toFixed(1));
}

function newPlot() {
  const plot = document.createElementNS(svg, "svg");
  plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
  plot.setAttribute("class", "spark");
  plot.setAttribute("aria-hidden", "true");
  const line = document.createElementNS(svg, "polyline");
  const dot = document.createElementNS(svg, "circle");
  dot.setAttribute("r", "1.8");
  plot.append(line, dot);
  return plot;
}

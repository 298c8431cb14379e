"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const { classes, sizes, cuts, rows: given } = data;
const $ = (id) => document.getElementById(id);
const HUGE = 1e299; // beyond it a risk is infinite
const MARKS = ["keep", "relabel", "drop", "protect"];
const KEYS = { k: "keep", r: "relabel", d: "drop", p: "protect", u: "" };

// Elements. Whatever comes from the data becomes text, never markup.
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}
const make = (tag, attributes = {}, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const number = (text, name = "number") => make("td", { class: name }, text);
const option = (value, text, selected = false) => make("option", { value, selected }, text);
// A table of headings, the first one to the left, and of rows.
function fillTable(table, headings, lines) {
  const cells = headings.map((heading, i) => make("th", { scope: "col", class: i ? "number" : null }, heading));
  table.replaceChildren(make("thead", {}, make("tr", {}, ...cells)), make("tbody", {}, ...lines));
}
// Of a long name its beginning and its end.
function short(name, most) {
  const letters = [...String(name)];
  const half = Math.floor(most / 2);
  return letters.length <= most ? String(name)
    : `${letters.slice(0, half).join("")}…${letters.slice(half + 1 - most).join("")}`;
}
// A label that breaks between its words, not inside them.
function named(label) {
  const name = short(classes[label], 100);
  const words = name.match(/[^\s_./-]*[\s_./-]?/g).filter(Boolean);
  const parts = words.map((word) => make("span", { class: word.length > 16 ? null : "word" }, word));
  const title = name === classes[label] ? null : classes[label];
  return make("span", { title }, ...parts.flatMap((part) => [part, make("wbr")]));
}
// A command that breaks between its words, not at the hyphens of an option.
function showCommand(id, command) {
  $(id).replaceChildren(...command.split(" ").flatMap((word, i) => [i ? " " : "", make("span", { class: "part" }, word)]));
}

// Numbers as people read them.
const count = (n) => n.toLocaleString("en-US");
const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);
function percent(p) {
  const value = 100 * p;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  if (value > 99.9 && value < 100) return "> 99.9 %";
  return `${value.toFixed(value < 10 || value > 90 ? 1 : 0)} %`;
}
function nats(risk) {
  if (Math.abs(risk) >= HUGE) return risk > 0 ? "∞" : "−∞";
  return risk.toFixed(2).replace("-", "−");
}

// The samples.
const own = data.own || [];
const rows = given.id.map((id, i) => ({
  id,
  rank: given.rank[i],
  order: given.order[i],
  place: given.place[i], // in its class
  risk: given.risk[i],
  probability: given.probability ? given.probability[i] : null,
  percentile: Math.floor((1000 * (data.n_samples - given.order[i])) / data.n_samples) / 10,
  label: given.label[i],
  likely: given.likely ? given.likely[i] : given.label[i],
  text: given.text ? given.text[i] : null,
  near: given.near ? given.near[i] : [],
  own: own.map((_, j) => given.own[j][i]),
}));
for (const row of rows) {
  row.found = [row.id, row.text, classes[row.label], ...row.own].join("\n").toLowerCase();
}

// The review, kept in the browser where it lets us.
const store = `smilearn-review-${data.key}`;
let review = {};
let keeps = true;
try {
  review = JSON.parse(localStorage.getItem(store)) || {};
} catch {
  keeps = false;
}
function saveReview() {
  try {
    localStorage.setItem(store, JSON.stringify(review));
  } catch {
    keeps = false;
  }
  showReview();
}
const keyOf = (row) => `#${row.id}`; // "__proto__" may be an id
function mark(row, action, label = row.likely === row.label ? null : row.likely) {
  if (action) review[keyOf(row)] = { action, label: action === "relabel" ? label : null };
  else delete review[keyOf(row)];
  saveReview();
}
const marked = (row) => review[keyOf(row)] ?? null;

// What is shown, and in which order.
const all = { label: null, likely: null, from: -Infinity, to: Infinity, query: "", marked: "" };
const state = { ...all, scope: "overall", sort: "rank", down: false, limit: 50, open: new Set() };
const overall = () => state.scope === "overall";
const COLUMNS = [
  { key: "rank", name: "Rank", number: true, show: (r) => String(overall() ? r.rank : r.place),
    value: (r) => (overall() ? r.order : r.place * data.n_samples + r.order) },
  { key: "probability", name: "Probability", number: true, show: (r) => percent(r.probability),
    there: Boolean(given.probability) },
  { key: "percentile", name: "Percentile", number: true, show: (r) => r.percentile.toFixed(1), down: true },
  { key: "risk", name: "Risk", number: true, show: (r) => nats(r.risk), down: true },
  { key: "label", name: "Label", show: (r) => named(r.label) },
  { key: "likely", name: "Likelier label", show: (r) => (r.likely === r.label ? "the same" : named(r.likely)),
    there: Boolean(given.likely) },
  { key: "text", name: "Text", show: textOf, there: Boolean(given.text) },
  { key: "id", name: "Id", off: Boolean(given.text), show: (r) => short(r.id, 100) },
  ...own.map((name, j) => ({ key: `own${j}`, name, value: (r) => r.own[j] ?? "", show: (r) => String(r.own[j] ?? ""),
    number: given.own[j].every((value) => value === null || typeof value === "number") })),
  { key: "review", name: "Review", show: reviewOf, value: (r) => (marked(r) ? marked(r).action : "") },
].filter((column) => column.there !== false);
for (const column of COLUMNS) {
  column.value ??= (row) => row[column.key];
  column.show ??= column.value;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), "en", { numeric: true });
}
function matching() {
  const query = state.query.toLowerCase();
  const found = rows.filter((row) =>
    (state.label === null || row.label === state.label) &&
    (state.likely === null || row.likely === state.likely) &&
    row.risk >= state.from && row.risk < state.to &&
    (!query || row.found.includes(query)) &&
    (!state.marked || Boolean(marked(row)) === (state.marked === "any")));
  const { value } = COLUMNS.find((column) => column.key === state.sort);
  const sign = state.down ? -1 : 1;
  return found.sort((a, b) => sign * compare(value(a), value(b)) || a.order - b.order);
}
function goes(row) {
  const share = Number($("share").value) / 100;
  if (row.place === sizes[row.label]) return false; // each class keeps its safest
  if ($("by-class").checked) return row.place <= Math.floor(share * sizes[row.label] + 1e-9);
  return row.order <= Math.floor(share * data.n_samples + 1e-9);
}

// Cells of the table of samples.
function textOf(row) {
  const attributes = { type: "button", class: "text", "aria-expanded": String(state.open.has(row.id)) };
  return make("button", { ...attributes, onclick: () => toggle(row) }, row.text);
}
function toggle(row) {
  if (!state.open.delete(row.id)) state.open.add(row.id);
  showRows(row.id);
}
function detailOf(row, width) {
  const lines = [["Id", row.id], ...own.map((name, j) => [name, String(row.own[j] ?? "")])];
  const sides = [["Nearest with this label", row.label], ["Nearest with the likelier label", row.likely]];
  sides.forEach(([words, label], side) => {
    if (row.near[side] >= 0) lines.push([`${words} (${classes[label]})`, data.pool[row.near[side]]]);
  });
  const list = lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
  return make("tr", { class: "detail", role: "row" }, make("td", { colspan: width, role: "cell" }, make("dl", {}, ...list)));
}
function reviewOf(row) {
  const { action = "", label = null } = marked(row) || {};
  const change = (event) => {
    mark(row, event.target.value);
    showRows(row.id);
  };
  const options = ["", ...MARKS].map((name) => option(name, name || "–", name === action));
  const box = make("span", { class: "review" },
    make("select", { "aria-label": `Review of ${row.id}`, onchange: change }, ...options));
  if (action !== "relabel") return box;
  const others = classes.flatMap((name, i) =>
    (sizes[i] && i !== row.label && (classes.length <= 200 || i === row.likely) ? [option(i, name, i === label)] : []));
  const relabel = (event) => mark(row, "relabel", event.target.value === "" ? null : Number(event.target.value));
  box.append(make("select", { "aria-label": `New label of ${row.id}`, onchange: relabel },
    option("", "new label?"), ...others));
  return box;
}

// The table of samples.
function headingOf(column) {
  const sorted = state.sort === column.key;
  const sort = () => {
    state.down = sorted ? !state.down : Boolean(column.down);
    state.sort = column.key;
    showRows();
    $("rows").querySelector(`thead [data-key="${column.key}"]`).focus();
  };
  const arrow = make("span", { "aria-hidden": "true" }, sorted ? (state.down ? " ↓" : " ↑") : "");
  const order = sorted ? (state.down ? "descending" : "ascending") : null;
  return make("th", { scope: "col", role: "columnheader", class: column.number ? "number" : null, "aria-sort": order },
    make("button", { type: "button", "data-key": column.key, onclick: sort }, column.name, arrow));
}
function lineOf(row, columns) {
  const mine = marked(row);
  const names = [goes(row) && "goes", mine && `marked ${mine.action}`, state.open.has(row.id) && "open"];
  const cells = columns.map((column) => {
    const tag = column.key === "rank" && goes(row) ? make("span", { class: "tag" }, "cut") : null;
    const name = `${column.key}${column.number ? " number" : ""}`;
    return make("td", { class: name, role: "cell", "data-name": column.name }, column.show(row), tag);
  });
  return make("tr", { role: "row", tabindex: "-1", "data-id": row.id, class: names.filter(Boolean).join(" ") }, ...cells);
}
function showRows(focused = null) {
  const found = matching();
  const columns = COLUMNS.filter((column) => !column.off);
  const table = $("rows");
  table.querySelector("thead").replaceChildren(make("tr", { role: "row" }, ...columns.map(headingOf)));
  const lines = found.slice(0, state.limit).flatMap((row) =>
    (state.open.has(row.id) ? [lineOf(row, columns), detailOf(row, columns.length)] : [lineOf(row, columns)]));
  const none = make("tr", { class: "detail" }, make("td", { colspan: columns.length }, "No sample is like that."));
  table.querySelector("tbody").replaceChildren(...(lines.length ? lines : [none]));
  const shown = Math.min(state.limit, found.length);
  const words = [`${count(shown)} of ${count(found.length)} ${found.length < rows.length ? "that match" : "samples"}`];
  if (rows.length < data.n_samples) {
    words.push(`; this report lists ${count(rows.length)} of ${count(data.n_samples)} samples`);
  }
  if (data.cut) words.push(`. Texts are cut after ${count(data.cut)} characters`);
  $("status").textContent = `${words.join("")}.`;
  $("more").hidden = shown === found.length;
  $("reset").disabled = Object.keys(all).every((name) => state[name] === all[name]);
  const line = lines.find((tr) => tr.dataset.id === focused);
  if (line) focusRow(line);
  else if (lines.length) lines[0].tabIndex = 0;
}
function focusRow(line) {
  for (const other of $("rows").querySelectorAll('tr[tabindex="0"]')) other.tabIndex = -1;
  line.tabIndex = 0;
  line.focus();
}
$("rows").addEventListener("keydown", (event) => {
  const line = event.target;
  if (!line.dataset.id || event.ctrlKey || event.metaKey || event.altKey) return;
  const row = rows.find((each) => each.id === line.dataset.id);
  const lines = [...$("rows").querySelectorAll("tr[data-id]")];
  const next = lines[lines.indexOf(line) + (event.key === "ArrowUp" ? -1 : 1)];
  const key = event.key.toLowerCase();
  if (key === "arrowdown" || key === "arrowup") {
    if (next) focusRow(next);
  } else if (key === "enter") toggle(row);
  else if (key in KEYS) {
    mark(row, KEYS[key]);
    const isDone = next && KEYS[key] && KEYS[key] !== "relabel";
    showRows(isDone ? next.dataset.id : row.id);
  } else return;
  event.preventDefault();
});
$("rows").addEventListener("click", (event) => {
  const line = event.target.closest("tr[data-id]");
  if (line && !event.target.closest("button, select")) focusRow(line);
});

// Filters.
function filter(changes) {
  Object.assign(state, changes, { limit: 50 });
  for (const name of ["label", "likely"]) $(name).value = state[name] ?? "";
  for (const name of ["from", "to"]) $(name).value = Number.isFinite(state[name]) ? state[name] : "";
  $("search").value = state.query;
  $("marked").value = state.marked;
  showRows();
  showClasses();
  showMatrix();
  showHistogram();
}
const valueOf = (event, empty) => (event.target.value === "" ? empty : Number(event.target.value));
for (const name of ["label", "likely"]) {
  const there = classes.flatMap((label, i) => (name === "likely" || sizes[i] ? [option(i, label)] : []));
  $(name).append(option("", "all"), ...there);
  $(name).addEventListener("change", (event) => filter({ [name]: valueOf(event, null) }));
}
$("from").addEventListener("change", (event) => filter({ from: valueOf(event, -Infinity) }));
$("to").addEventListener("change", (event) => filter({ to: valueOf(event, Infinity) }));
$("marked").addEventListener("change", (event) => filter({ marked: event.target.value }));
$("search").addEventListener("input", (event) => {
  Object.assign(state, { query: event.target.value, limit: 50 });
  showRows();
});
$("scope").addEventListener("change", (event) => {
  Object.assign(state, { scope: event.target.value, sort: "rank", down: false });
  showRows();
});
$("reset").addEventListener("click", () => filter(all));
$("more").addEventListener("click", () => {
  state.limit += 100;
  showRows();
});
$("likely-box").hidden = !given.likely;
for (const column of COLUMNS) {
  const change = (event) => {
    column.off = !event.target.checked;
    showRows();
  };
  const box = make("input", { type: "checkbox", checked: !column.off, onchange: change });
  $("chooser").append(make("label", { class: "check" }, box, ` ${column.name}`));
}

// Charts.
const bars = data.histogram;
const nBins = bars.edges.length - 1;
const colour = (group) => (group < bars.labels.length ? `c${group}` : "c-rest");
// A picture with a frame: its size, its margins, and lines across at some values.
function framed(box, caption, left, most, values, show) {
  const [width, height, top, low, right] = [Math.max(280, box.clientWidth), 220, 12, 40, 12];
  const y = (value) => top + (height - top - low) * (1 - value / most);
  const picture = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img" });
  for (const value of new Set(values)) {
    picture.append(
      draw("line", { class: "grid", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
      draw("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, show(value)));
  }
  picture.append(draw("text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, caption));
  return { picture, width: width - left - right, y, low: y(0), top };
}

function showHistogram() {
  const left = 46;
  const sums = bars.edges.slice(1).map((_, bin) => sum(bars.counts.map((counts) => counts[bin])));
  const most = Math.max(...sums);
  const caption = bars.ticks ? "probability of the label (riskier →)" : "risk in nats (riskier →)";
  const { picture, width, y, low, top } =
    framed($("histogram"), caption, left, most, [0, Math.round(most / 2), most], count);
  picture.setAttribute("aria-label", `Histogram of the risk of ${count(data.n_samples)} samples by class`);
  const step = width / nBins;
  const from = (bin) => (bin ? bars.edges[bin] : -Infinity);
  const to = (bin) => (bin < nBins - 1 ? bars.edges[bin + 1] : Infinity);
  sums.forEach((_, bin) => {
    let below = 0;
    const faint = to(bin) > state.from && from(bin) < state.to ? "" : " faint";
    bars.counts.forEach((counts, group) => {
      if (!counts[bin]) return;
      const height = Math.max(low - y(counts[bin]), 1);
      const place = { x: left + bin * step + 0.5, width: Math.max(step - 1, 1), y: y(below) - height, height };
      picture.append(draw("rect", { class: colour(group) + faint, ...place }));
      below += counts[bin];
    });
  });
  const span = bars.edges[nBins] - bars.edges[0];
  const ticks = bars.ticks
    ? bars.ticks.map(([risk, p]) => [risk, `${Number((100 * p).toPrecision(4))} %`])
    : [0, 0.25, 0.5, 0.75, 1].map((part) => [bars.edges[0] + part * span, nats(bars.edges[0] + part * span)]);
  let free = -Infinity;
  for (const [risk, words] of ticks) {
    const x = left + ((risk - bars.edges[0]) / span) * width;
    const at = Math.min(Math.max(x, left + 8), left + width - 14);
    if (at < free) continue;
    free = at + 10 + 7 * words.length;
    picture.append(
      draw("line", { class: "grid", x1: x, x2: x, y1: low, y2: low + 4 }),
      draw("text", { x: at, y: low + 17, "text-anchor": "middle" }, words));
  }
  const brush = draw("rect", { class: "brush", y: top, height: low - top, width: 0 });
  picture.append(brush);
  let start = null;
  const ends = (event) => {
    const x = event.clientX - picture.getBoundingClientRect().left - left;
    const bin = Math.min(nBins - 1, Math.max(0, Math.floor(x / step)));
    start ??= bin;
    return [Math.min(start, bin), Math.max(start, bin)];
  };
  picture.addEventListener("pointerdown", (event) => {
    ends(event);
    picture.setPointerCapture(event.pointerId);
  });
  picture.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const [first, last] = ends(event);
    brush.setAttribute("x", left + first * step);
    brush.setAttribute("width", (last - first + 1) * step);
  });
  picture.addEventListener("pointercancel", showHistogram);
  picture.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const [first, last] = ends(event);
    start = null;
    const isChosen = state.from === from(first) && state.to === to(last);
    const again = first === last && (isChosen || !sums[first]);
    filter(again ? { from: -Infinity, to: Infinity } : { from: from(first), to: to(last) });
  });
  $("histogram").replaceChildren(picture);
}
bars.counts.forEach((_, group) => {
  const name = group < bars.labels.length ? short(classes[bars.labels[group]], 100) : "other classes";
  $("legend").append(make("span", {}, make("i", { class: colour(group) }), name));
});
if (bars.above || bars.below) {
  $("legend").append(make("span", {}, `the outer bars hold ${count(bars.above + bars.below)} that lie further out`));
}

function showCurve() {
  const { epochs, losses, early, reached } = data.curve;
  const left = 44;
  const last = epochs[epochs.length - 1] || 1;
  const most = Math.max(...losses, early) * 1.05 || 1;
  const { picture, width, y, low } =
    framed($("curve"), "epochs of fine-tuning", left, most, [0, most / 2, most], (loss) => loss.toFixed(2));
  const words = `Median training loss from ${losses[0]} to ${losses[losses.length - 1]} nats in ${last} epochs`;
  picture.setAttribute("aria-label", words);
  const x = (epoch) => left + (width * epoch) / last;
  picture.append(
    draw("line", { class: "early", x1: left, x2: left + width, y1: y(early), y2: y(early) }),
    draw("text", { class: "early", x: left + 6, y: y(early) + 14 }, `early point: ${early.toFixed(3)} nats`),
    draw("polyline", { class: "curve", points: epochs.map((epoch, i) => `${x(epoch)},${y(losses[i])}`).join(" ") }),
    draw("text", { x: left, y: low + 17 }, "0"),
    draw("text", { x: left + width, y: low + 17, "text-anchor": "end" }, String(Number(last.toFixed(2)))));
  epochs.forEach((epoch, i) => {
    const title = draw("title", {}, `epoch ${epoch}: ${losses[i]} nats`);
    picture.append(draw("circle", { class: "dot", cx: x(epoch), cy: y(losses[i]), r: 3 }, title));
  });
  $("curve-note").textContent = reached
    ? `The early point was reached at epoch ${Number(last.toFixed(2))}, and risks were read there.`
    : "The early point was not reached: more epochs may tell more.";
  $("curve").replaceChildren(picture);
}

// Classes, confusions, cuts.
let nClasses = 12;
function showClasses() {
  const medians = given.probability ? ["Median probability"] : [];
  const lines = data.by_class.slice(0, nClasses).map((row) => {
    const chosen = state.label === row.label && state.likely === null;
    const choose = () => filter({ label: chosen ? null : row.label, likely: null });
    const name = make("button", { type: "button", "aria-pressed": String(chosen) }, named(row.label));
    return make("tr", { class: chosen ? "chosen" : null, onclick: choose },
      make("th", { scope: "row" }, name),
      number(count(row.n)),
      given.probability ? number(percent(row.probability), "number less") : null,
      number(count(row.n_out)),
      number(`${count(row.n_top)} (${(100 * row.share).toFixed(0)} %)`, "number less"),
      number(`${row.ratio.toFixed(2)} ×`, row.high ? "number high" : "number"));
  });
  const headings = ["Class", "Samples", ...medians, "Stand out", "In riskiest tenth", "Ratio"];
  fillTable($("classes"), headings, lines);
  for (const [i, cell] of $("classes").querySelectorAll("th[scope=col]").entries()) {
    if (/^Median|tenth$/.test(headings[i])) cell.classList.add("less"); // not on phones
  }
  $("more-classes").hidden = data.by_class.length <= nClasses;
}
if (data.n_classes > data.by_class.length) {
  $("more-classes").textContent = `Show ${count(data.by_class.length)} of ${count(data.n_classes)} classes`;
}
$("more-classes").addEventListener("click", () => {
  nClasses = Infinity;
  showClasses();
});

function showMatrix() {
  if (!data.confusions || !data.confusions.n_other) return;
  $("matrix-box").hidden = false;
  const { labels, cells } = data.confusions;
  const known = new Map(cells.map(([row, column, n]) => [`${row} ${column}`, n]));
  const most = Math.max(1, ...cells.filter(([row, column]) => row !== column).map((cell) => cell[2]));
  const cellOf = (row, column) => {
    const n = known.get(`${row} ${column}`);
    if (!n) return number("·", "number none");
    const chosen = state.label === row && state.likely === column;
    const choose = () => {
      filter(chosen ? { label: null, likely: null } : { label: row, likely: column });
      if (!chosen) $("samples").scrollIntoView();
    };
    const words = `${count(n)} of ${classes[row]} that look like ${classes[column]}`;
    const attributes = { type: "button", "aria-pressed": String(chosen), "aria-label": words, onclick: choose };
    const button = make("button", attributes, count(n));
    if (row !== column) button.style.setProperty("--part", `${Math.round((40 * n) / most)}%`);
    return number(button, row === column ? "number same" : "number");
  };
  const lines = labels.filter((label) => sizes[label]).map((row) =>
    make("tr", {}, make("th", { scope: "row" }, named(row)), ...labels.map((column) => cellOf(row, column))));
  const upright = labels.length > 5 ? "upright" : null;
  const headings = labels.map((label) => make("span", { class: upright, title: classes[label] }, short(classes[label], 20)));
  fillTable($("matrix"), ["label ↓ looks like →", ...headings], lines);
}

function showCut() {
  const place = Number($("share").value);
  const mode = $("by-class").checked ? "by_class" : "overall";
  const counts = new Map(cuts.labels.map((label, i) => [label, cuts[mode].counts[place][i]]));
  const expected = cuts[mode].expected[place];
  const total = cuts[mode].n[place];
  $("share-shown").textContent = `${place} %`;
  const errors = expected === undefined || !total ? ""
    : ` The other samples would give about ${count(Math.round(expected))} of these another label.`;
  $("cut-sentence").textContent = `${count(total)} of ${count(data.n_samples)} samples are removed.${errors}`;
  const part = (label) => counts.get(label) / sizes[label];
  const order = cuts.labels.filter((label) => sizes[label]);
  const first = order.sort((a, b) => part(b) - part(a) || a - b).slice(0, 8);
  const lines = first.map((i) => make("tr", {}, make("th", { scope: "row" }, named(i)),
    number(`${count(counts.get(i))} of ${count(sizes[i])}`), number(percent(part(i)))));
  if (data.n_classes > first.length) {
    lines.push(make("tr", {}, make("th", { scope: "row" }, `${count(data.n_classes - first.length)} classes more`),
      number(count(total - sum(first.map((i) => counts.get(i))))), number("")));
  }
  fillTable($("cut-classes"), ["Class", "Removed", "Share"], lines);
  const how = `--share ${place / 100}${mode === "by_class" ? " --by-class" : ""}`;
  showCommand("cut-command", `${data.command.start} ${how} ${data.command.end}`);
}
function cut() {
  showCut();
  showRows();
}
for (const name of ["share", "by-class"]) $(name).addEventListener("input", cut);
for (const button of document.querySelectorAll("[data-share]")) {
  button.addEventListener("click", () => {
    $("share").value = button.dataset.share;
    cut();
  });
}

// The review as a file, commands to copy.
function showReview() {
  const done = rows.filter(marked).map(marked);
  const words = MARKS.map((name) => [done.filter((each) => each.action === name).length, name])
    .filter(([n]) => n).map(([n, name]) => `${count(n)} ${name}`);
  const relabels = done.filter((each) => each.action === "relabel");
  const open = relabels.filter(isOpen).length;
  const parts = [done.length ? `${count(done.length)} marked: ${words.join(", ")}.` : "Nothing is marked yet."];
  if (open) {
    const words = open > 1 ? "need a new label; the export leaves them" : "needs a new label; the export leaves it";
    parts.push(`${count(open)} to relabel still ${words} out.`);
  }
  if (!keeps) parts.push("This browser keeps nothing: export before you close the page.");
  $("review-status").textContent = parts.join(" ");
  $("export").disabled = done.length === open;
  $("clear").disabled = !done.length;
  const label = relabels.length > open ? ` ${data.command.label}` : "";
  showCommand("review-command", `${data.command.start} --review review.csv${label} ${data.command.end}`);
}
const isOpen = ({ action, label }) => action === "relabel" && label === null;
const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
$("export").addEventListener("click", () => {
  const lines = rows.filter((row) => marked(row) && !isOpen(marked(row))).map((row) => {
    const { action, label } = marked(row);
    return [row.id, classes[row.label], action, label === null ? "" : classes[label]];
  });
  const table = [["id", "label", "action", "new_label"], ...lines];
  const text = table.map((line) => `${line.map(cell).join(",")}\n`).join("");
  const href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  make("a", { href, download: "review.csv" }).click();
  setTimeout(() => URL.revokeObjectURL(href), 1000);
});
$("clear").addEventListener("click", () => {
  if (!confirm("Remove all marks?")) return;
  review = {};
  saveReview();
  showRows();
});
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const code = $(button.dataset.copy);
    try {
      await navigator.clipboard.writeText(code.textContent);
    } catch { // an old browser, or one that does not let files
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

for (const part of document.querySelectorAll(".js")) part.hidden = false;
$("curve-box").hidden = !data.curve;
let drawn = 0;
new ResizeObserver(() => {
  if (drawn === innerWidth) return;
  drawn = innerWidth;
  showHistogram();
  if (data.curve) showCurve();
}).observe(document.body);
showCut();
showReview();
filter(all);
if (data.curve) showCurve();
})();

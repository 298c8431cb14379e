"use strict";
(() => {
const data = JSON.parse(document.getElementById("data").textContent);
const { classes, sizes, rows: given, cuts } = data;
const $ = (id) => document.getElementById(id);
const count = (n) => n.toLocaleString("en-US");
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

// Numbers as people read them.
function percent(p) {
  const value = 100 * p;
  if (value > 0 && value < 0.1) return "< 0.1 %";
  return `${value > 99.9 && value < 100 ? "> 99.9" : value.toFixed(value < 10 || value > 90 ? 1 : 0)} %`;
}
const nats = (risk) => (Math.abs(risk) >= HUGE ? (risk > 0 ? "∞" : "−∞") : risk.toFixed(2).replace("-", "−"));
const percentile = (order) => Math.floor((1000 * (data.n_samples - order)) / data.n_samples) / 10;

const own = data.own || [];
const rows = given.id.map((id, i) => ({
  id, rank: given.rank[i], order: given.order[i], place: given.place[i], risk: given.risk[i],
  probability: given.probability ? given.probability[i] : null,
  percentile: percentile(given.order[i]),
  label: given.label[i], likely: given.likely ? given.likely[i] : given.label[i],
  text: given.text ? given.text[i] : null, near: given.near ? given.near[i] : [],
  own: own.map((_, j) => given.own[j][i]),
}));
for (const row of rows) {
  row.found = [row.id, row.text, classes[row.label], ...row.own].join("\n").toLowerCase();
}

// The review, kept in the browser where it lets us.
const store = `smilearn-review-${data.key}`;
let review = {};
let keeps = true;
try { review = JSON.parse(localStorage.getItem(store)) || {}; } catch { keeps = false; }
function mark(row, action, label = row.likely === row.label ? null : row.likely) {
  if (action) review[row.id] = { action, label: action === "relabel" ? label : null };
  else delete review[row.id];
  saveReview();
}
function saveReview() {
  try { localStorage.setItem(store, JSON.stringify(review)); } catch { keeps = false; }
  showReview();
}
const marked = (row) => (Object.hasOwn(review, row.id) ? review[row.id] : null);
const reviewed = () => rows.filter(marked);

// What is shown, and in which order.
const all = { label: null, likely: null, from: -Infinity, to: Infinity, query: "", marked: "" };
const state = { ...all, scope: "overall", sort: "rank", down: false, limit: 50, open: new Set() };
const COLUMNS = [
  { key: "rank", name: "Rank", number: true, value: (r) => (state.scope === "overall" ? r.rank : r.place), order: (r) => (state.scope === "overall" ? r.order : r.place * data.n_samples + r.order) },
  { key: "probability", name: "Probability", number: true, value: (r) => percent(r.probability), order: (r) => r.probability, there: Boolean(given.probability) },
  { key: "percentile", name: "Percentile", number: true, value: (r) => r.percentile.toFixed(1), order: (r) => r.percentile },
  { key: "risk", name: "Risk", number: true, value: (r) => nats(r.risk), order: (r) => r.risk },
  { key: "label", name: "Label", value: (r) => classes[r.label], order: (r) => r.label },
  { key: "likely", name: "Likelier label", value: (r) => (r.likely === r.label ? "the same" : classes[r.likely]), order: (r) => r.likely, there: Boolean(given.likely) },
  { key: "text", name: "Text", value: textOf, order: (r) => r.text, there: Boolean(given.text) },
  { key: "id", name: "Id", value: (r) => r.id, order: (r) => r.id, off: Boolean(given.text) },
  ...own.map((name, j) => ({ key: `own${j}`, name, number: given.own[j].every((v) => v === null || typeof v === "number"), value: (r) => String(r.own[j] ?? ""), order: (r) => r.own[j] ?? "" })),
  { key: "review", name: "Review", value: reviewOf, order: (r) => (marked(r) ? marked(r).action : "") },
].filter((column) => column.there !== false);
const shownColumns = () => COLUMNS.filter((column) => !column.off);

function matching() {
  const query = state.query.toLowerCase();
  const some = rows.filter((r) =>
    (state.label === null || r.label === state.label) && (state.likely === null || r.likely === state.likely) &&
    r.risk >= state.from && r.risk < state.to && (!query || r.found.includes(query)) &&
    (!state.marked || Boolean(marked(r)) === (state.marked === "any")));
  const value = COLUMNS.find((column) => column.key === state.sort).order;
  const sign = state.down ? -1 : 1;
  const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true }));
  return some.sort((a, b) => sign * compare(value(a), value(b)) || a.order - b.order);
}

function goes(row) {
  const share = Number($("share").value) / 100;
  if (row.place === sizes[row.label]) return false; // each class keeps its safest
  if ($("by-class").checked) return row.place <= Math.floor(share * sizes[row.label] + 1e-9);
  return row.order <= Math.floor(share * data.n_samples + 1e-9);
}

function textOf(row) {
  return make("button", { type: "button", class: "text", "aria-expanded": String(state.open.has(row.id)), onclick: () => toggle(row) }, row.text);
}

function toggle(row) {
  if (!state.open.delete(row.id)) state.open.add(row.id);
  showRows(row.id);
}

function detailOf(row, width) {
  const lines = [["Id", row.id], ...own.map((name, j) => [name, String(row.own[j] ?? "")])];
  const sides = [["Nearest with this label", row.label], ["Nearest with the likelier label", row.likely]];
  row.near.forEach((place, side) => {
    if (place >= 0) lines.push([`${sides[side][0]} (${classes[sides[side][1]]})`, data.pool[place]]);
  });
  const list = make("dl", {}, ...lines.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  return make("tr", { class: "detail" }, make("td", { colspan: width }, list));
}

function reviewOf(row) {
  const mine = marked(row);
  const action = make("select", { "aria-label": `Review of ${row.id}`, onchange: (event) => { mark(row, event.target.value); showRows(row.id); } },
    ...["", ...MARKS].map((name) => make("option", { value: name, selected: mine ? mine.action === name : !name }, name || "–")));
  const box = make("span", { class: "review" }, action);
  if (mine && mine.action === "relabel") {
    const labels = sizes.flatMap((n, i) => (i !== row.label && (sizes.length <= 200 || i === row.likely) ? [i] : []));
    box.append(make("select", { "aria-label": `New label of ${row.id}`, onchange: (event) => { mark(row, "relabel", event.target.value === "" ? null : Number(event.target.value)); } },
      make("option", { value: "" }, "new label?"),
      ...labels.map((i) => make("option", { value: i, selected: i === mine.label }, classes[i]))));
  }
  return box;
}

// The table of samples.
function showRows(focused = null) {
  const found = matching();
  const columns = shownColumns();
  const table = $("rows");
  table.querySelector("thead").replaceChildren(make("tr", {}, ...columns.map((column) => {
    const sorted = state.sort === column.key;
    const button = make("button", { type: "button", onclick: () => {
      state.down = sorted ? !state.down : ["percentile", "risk"].includes(column.key);
      state.sort = column.key;
      showRows();
      [...table.querySelectorAll("thead button")].find((b) => b.dataset.key === column.key).focus();
    }, "data-key": column.key }, column.name, make("span", { "aria-hidden": "true" }, sorted ? (state.down ? " ↓" : " ↑") : ""));
    return make("th", { scope: "col", class: column.number ? "number" : null, "aria-sort": sorted ? (state.down ? "descending" : "ascending") : null }, button);
  })));
  const lines = found.slice(0, state.limit).flatMap((row, i) => {
    const mine = marked(row);
    const line = make("tr", { tabindex: row.id === focused || (i === 0 && focused === null) ? "0" : "-1", "data-id": row.id,
      class: [goes(row) ? "goes" : "", mine ? `marked ${mine.action}` : "", state.open.has(row.id) ? "open" : ""].join(" ").trim() || null },
      ...columns.map((column) => make("td", { class: `${column.key}${column.number ? " number" : ""}`, "data-name": column.name }, column.value(row),
        column.key === "rank" && goes(row) ? make("span", { class: "tag" }, "cut") : null)));
    return state.open.has(row.id) ? [line, detailOf(row, columns.length)] : [line];
  });
  if (!lines.length) lines.push(make("tr", { class: "detail" }, make("td", { colspan: columns.length }, "No sample is like that.")));
  table.querySelector("tbody").replaceChildren(...lines);
  const shown = Math.min(state.limit, found.length);
  const listed = rows.length < data.n_samples ? `; this report lists ${count(rows.length)} of ${count(data.n_samples)} samples` : "";
  const cut = data.cut ? ` Texts are cut after ${count(data.cut)} characters.` : "";
  $("status").textContent = `${count(shown)} of ${count(found.length)} ${found.length < rows.length ? "that match" : "samples"}${listed}.${cut}`;
  $("more").hidden = shown === found.length;
  $("reset").disabled = Object.keys(all).every((name) => state[name] === all[name]);
  if (focused !== null) focusRow([...table.querySelectorAll("tr[data-id]")].find((tr) => tr.dataset.id === focused));
}

function focusRow(line) {
  if (!line) return;
  for (const other of $("rows").querySelectorAll('tr[tabindex="0"]')) other.tabIndex = -1;
  line.tabIndex = 0;
  line.focus();
}

$("rows").addEventListener("keydown", (event) => {
  const line = event.target;
  if (!line.dataset.id || event.ctrlKey || event.metaKey || event.altKey) return;
  const row = rows.find((r) => r.id === line.dataset.id);
  const lines = [...$("rows").querySelectorAll("tr[data-id]")];
  const next = lines[lines.indexOf(line) + (event.key === "ArrowUp" ? -1 : 1)];
  const key = event.key.toLowerCase();
  if (event.key === "ArrowDown" || event.key === "ArrowUp") focusRow(next);
  else if (event.key === "Enter") toggle(row);
  else if (key in KEYS) {
    mark(row, KEYS[key]);
    showRows(next && KEYS[key] && KEYS[key] !== "relabel" ? next.dataset.id : row.id);
  } else return;
  event.preventDefault();
});
$("rows").addEventListener("click", (event) => {
  if (!event.target.closest("button, select, dl")) focusRow(event.target.closest("tr[data-id]"));
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
for (const name of ["label", "likely"]) {
  $(name).append(make("option", { value: "" }, "all"), ...classes.flatMap((label, i) => (name === "likely" || sizes[i] ? [make("option", { value: i }, label)] : [])));
  $(name).addEventListener("change", (event) => filter({ [name]: event.target.value === "" ? null : Number(event.target.value) }));
}
for (const [name, empty] of [["from", -Infinity], ["to", Infinity]]) {
  $(name).addEventListener("change", (event) => filter({ [name]: event.target.value === "" ? empty : Number(event.target.value) }));
}
$("search").addEventListener("input", (event) => { state.query = event.target.value; state.limit = 50; showRows(); });
$("marked").addEventListener("change", (event) => filter({ marked: event.target.value }));
$("scope").addEventListener("change", (event) => { Object.assign(state, { scope: event.target.value, sort: "rank", down: false }); showRows(); });
$("reset").addEventListener("click", () => filter(all));
$("more").addEventListener("click", () => { state.limit += 100; showRows(); });
$("chooser").append(...COLUMNS.map((column) => make("label", { class: "check" },
  make("input", { type: "checkbox", checked: !column.off, onchange: (event) => { column.off = !event.target.checked; showRows(); } }), ` ${column.name}`)));
$("likely-box").hidden = !given.likely;

// Charts.
const bars = data.histogram;
const colour = (group) => (group < bars.labels.length ? `c${group}` : "c-rest");
function showHistogram() {
  const box = $("histogram");
  const width = Math.max(280, box.clientWidth);
  const [height, left, top, low] = [220, 38, 8, 40];
  const n = bars.edges.length - 1;
  const sums = bars.counts[0].map((_, bin) => bars.counts.reduce((sum, counts) => sum + counts[bin], 0));
  const tallest = Math.max(...sums);
  const step = (width - left - 8) / n;
  const y = (value) => top + (height - top - low) * (1 - value / tallest);
  const x = (risk) => left + ((risk - bars.edges[0]) / (bars.edges[n] - bars.edges[0])) * n * step;
  const picture = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Histogram of the risk of ${count(data.n_samples)} samples by class` });
  const chosen = (bin) => (bin === n - 1 ? Infinity : bars.edges[bin + 1]) > state.from && (bin ? bars.edges[bin] : -Infinity) < state.to;
  for (const value of new Set([0, Math.round(tallest / 2), tallest])) {
    picture.append(draw("line", { class: "grid", x1: left, x2: width - 8, y1: y(value), y2: y(value) }),
      draw("text", { x: left - 6, y: y(value) + 4, "text-anchor": "end" }, count(value)));
  }
  sums.forEach((_, bin) => {
    let below = 0;
    bars.counts.forEach((counts, group) => {
      if (!counts[bin]) return;
      const tall = Math.max(y(0) - y(counts[bin]), 1);
      picture.append(draw("rect", { class: colour(group) + (chosen(bin) ? "" : " faint"), x: left + bin * step + 0.5, width: Math.max(step - 1, 1), y: y(below) - tall, height: tall }));
      below += counts[bin];
    });
  });
  const ticks = bars.ticks || [0, 0.25, 0.5, 0.75, 1].map((part) => [bars.edges[0] + part * (bars.edges[n] - bars.edges[0]), null]);
  let free = -Infinity;
  for (const [risk, p] of ticks) {
    const words = p === null ? nats(risk) : `${Number((100 * p).toPrecision(4))} %`;
    const at = Math.min(Math.max(x(risk), left + 8), width - 20);
    if (at < free) continue;
    free = at + 10 + 7 * words.length;
    picture.append(draw("line", { class: "grid", x1: x(risk), x2: x(risk), y1: y(0), y2: y(0) + 4 }), draw("text", { x: at, y: y(0) + 17, "text-anchor": "middle" }, words));
  }
  const axis = bars.ticks ? "probability of the label (riskier →)" : "risk in nats (riskier →)";
  picture.append(draw("text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, axis));
  const brush = draw("rect", { class: "brush", y: top, height: height - top - low, width: 0 });
  picture.append(brush);
  let start = null;
  const binAt = (event) => Math.min(n - 1, Math.max(0, Math.floor((event.clientX - picture.getBoundingClientRect().left - left) / step)));
  picture.addEventListener("pointerdown", (event) => { start = binAt(event); picture.setPointerCapture(event.pointerId); });
  picture.addEventListener("pointermove", (event) => {
    if (start === null) return;
    const ends = [start, binAt(event)].sort((a, b) => a - b);
    brush.setAttribute("x", left + ends[0] * step);
    brush.setAttribute("width", (ends[1] - ends[0] + 1) * step);
  });
  picture.addEventListener("pointercancel", () => { start = null; showHistogram(); });
  picture.addEventListener("pointerup", (event) => {
    if (start === null) return;
    const ends = [start, binAt(event)].sort((a, b) => a - b);
    start = null;
    if (ends[0] === ends[1]) filter({ from: -Infinity, to: Infinity });
    else filter({ from: ends[0] ? bars.edges[ends[0]] : -Infinity, to: ends[1] < n - 1 ? bars.edges[ends[1] + 1] : Infinity });
  });
  box.replaceChildren(picture);
}
$("legend").append(...bars.counts.map((_, group) => make("span", {}, make("i", { class: colour(group) }), group < bars.labels.length ? classes[bars.labels[group]] : "other classes")));
if (bars.above || bars.below) $("legend").append(make("span", {}, `the outer bars hold ${count(bars.above + bars.below)} that lie further out`));

function showCurve() {
  const { epochs, losses, early, reached } = data.curve;
  const width = Math.max(280, $("curve").clientWidth);
  const [height, left, top, low] = [220, 44, 14, 40];
  const last = epochs[epochs.length - 1] || 1;
  const most = Math.max(...losses, early) * 1.05 || 1;
  const x = (epoch) => left + ((width - left - 14) * epoch) / last;
  const y = (loss) => top + (height - top - low) * (1 - loss / most);
  const end = epochs.length - 1;
  const picture = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Median training loss from ${losses[0]} to ${losses[end]} nats in ${last} epochs` },
    ...[0, most / 2, most].map((loss) => draw("line", { class: "grid", x1: left, x2: width - 14, y1: y(loss), y2: y(loss) })),
    ...[0, most / 2, most].map((loss) => draw("text", { x: left - 6, y: y(loss) + 4, "text-anchor": "end" }, loss.toFixed(2))),
    draw("line", { class: "early", x1: left, x2: width - 14, y1: y(early), y2: y(early) }),
    draw("text", { class: "early", x: left + 6, y: y(early) + 14 }, `early point: ${early.toFixed(3)} nats`),
    draw("polyline", { class: "curve", points: epochs.map((epoch, i) => `${x(epoch)},${y(losses[i])}`).join(" ") }),
    ...epochs.map((epoch, i) => draw("circle", { class: "dot", cx: x(epoch), cy: y(losses[i]), r: 3 }, draw("title", {}, `epoch ${epoch}: ${losses[i]} nats`))),
    ...[0, last].map((epoch, i) => draw("text", { x: x(epoch), y: y(0) + 17, "text-anchor": i ? "end" : "start" }, String(Number(epoch.toFixed(2))))),
    draw("text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, "epochs of fine-tuning"));
  $("curve-note").textContent = reached ? `The early point was reached at epoch ${Number(last.toFixed(2))}, and risks were read there.` : "The early point was not reached: more epochs may tell more.";
  $("curve").replaceChildren(picture);
}

// Classes, confusions, cuts.
let nClasses = 12;
function showClasses() {
  const probable = Boolean(given.probability);
  const names = ["Class", "Samples", probable ? "Median probability" : null, "Median risk", "In riskiest tenth", "Ratio"].filter(Boolean);
  const less = (name) => (name.startsWith("Median") ? "number less" : "number"); // not on phones
  const lines = data.by_class.slice(0, nClasses).map((row) => {
    const chosen = state.label === row.label && state.likely === null;
    const choose = () => filter({ label: chosen ? null : row.label, likely: null });
    return make("tr", { class: chosen ? "chosen" : null, onclick: choose },
      make("th", { scope: "row" }, make("button", { type: "button", "aria-pressed": String(chosen) }, classes[row.label])),
      ...[count(row.n), probable ? percent(row.probability) : null, nats(row.risk), `${count(row.n_top)} (${(100 * row.share).toFixed(0)} %)`].filter((cell) => cell !== null).map((cell, i) => make("td", { class: less(names[i + 1]) }, cell)),
      make("td", { class: row.ratio >= 1.5 ? "number high" : "number" }, `${row.ratio.toFixed(2)} ×`));
  });
  $("classes").replaceChildren(make("thead", {}, make("tr", {}, ...names.map((name, i) => make("th", { scope: "col", class: i ? less(name) : null }, name)))), make("tbody", {}, ...lines));
  $("more-classes").hidden = data.by_class.length <= nClasses;
}
$("more-classes").addEventListener("click", () => { nClasses = Infinity; showClasses(); });

function showMatrix() {
  if (!data.confusions) return;
  $("matrix-box").hidden = false;
  const { labels, cells } = data.confusions;
  const known = new Map(cells.map(([row, column, n]) => [`${row} ${column}`, n]));
  const most = Math.max(1, ...cells.filter(([row, column]) => row !== column).map((cell) => cell[2]));
  const lines = labels.filter((i) => sizes[i]).map((row) => make("tr", {}, make("th", { scope: "row" }, classes[row]), ...labels.map((column) => {
    const n = known.get(`${row} ${column}`) || 0;
    const chosen = state.label === row && state.likely === column;
    if (!n) return make("td", { class: "number none" }, "·");
    const button = make("button", { type: "button", "aria-pressed": String(chosen), "aria-label": `${count(n)} of ${classes[row]} that look like ${classes[column]}`,
      onclick: () => { filter(chosen ? { label: null, likely: null } : { label: row, likely: column }); if (!chosen) $("samples").scrollIntoView(); } }, count(n));
    if (row !== column) button.style.setProperty("--part", `${Math.round((40 * n) / most)}%`);
    return make("td", { class: row === column ? "number same" : "number" }, button);
  })));
  $("matrix").replaceChildren(make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "label ↓ looks like →"), ...labels.map((i) => make("th", { scope: "col", class: "number" }, classes[i])))), make("tbody", {}, ...lines));
}

function showCut() {
  const place = Number($("share").value);
  const mode = $("by-class").checked ? "by_class" : "overall";
  const counts = cuts[mode].counts[place];
  const total = counts.reduce((a, b) => a + b, 0);
  $("share-shown").textContent = `${place} %`;
  const expected = cuts[mode].expected[place];
  $("cut-sentence").textContent = `${count(total)} of ${count(data.n_samples)} samples go.` +
    (expected === undefined || !total ? "" : ` The others would give about ${count(Math.round(expected))} of them another label: ${data.guess}.`);
  const order = sizes.map((_, i) => i).filter((i) => sizes[i]).sort((a, b) => counts[b] / sizes[b] - counts[a] / sizes[a]);
  const lines = order.slice(0, 12).map((i) => make("tr", {}, make("th", { scope: "row" }, classes[i]), make("td", { class: "number" }, `${count(counts[i])} of ${count(sizes[i])}`), make("td", { class: "number" }, percent(counts[i] / sizes[i]))));
  if (order.length > 12) lines.push(make("tr", {}, make("th", { scope: "row" }, `${count(order.length - 12)} classes more`), make("td", { class: "number" }, count(order.slice(12).reduce((sum, i) => sum + counts[i], 0))), make("td")));
  $("cut-classes").replaceChildren(make("thead", {}, make("tr", {}, ...["Class", "Goes", "Share"].map((name, i) => make("th", { scope: "col", class: i ? "number" : null }, name)))), make("tbody", {}, ...lines));
  $("cut-command").textContent = `${data.command.start} --share ${place / 100}${mode === "by_class" ? " --by-class" : ""} ${data.command.end}`;
}
for (const button of document.querySelectorAll("[data-share]")) {
  button.addEventListener("click", () => { $("share").value = button.dataset.share; showCut(); showRows(); });
}
for (const name of ["share", "by-class"]) $(name).addEventListener("input", () => { showCut(); showRows(); });

// Copy and export.
for (const button of document.querySelectorAll("[data-copy]")) {
  button.addEventListener("click", async () => {
    const code = $(button.dataset.copy);
    try { await navigator.clipboard.writeText(code.textContent); } catch {
      getSelection().selectAllChildren(code);
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
const cell = (value) => (/[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value);
function showReview() {
  const done = reviewed();
  const counts = MARKS.map((name) => [done.filter((row) => marked(row).action === name).length, name]).filter(([n]) => n);
  const open = done.filter((row) => marked(row).action === "relabel" && marked(row).label === null).length;
  $("review-status").textContent = (done.length ? `${count(done.length)} marked: ${counts.map(([n, name]) => `${count(n)} ${name}`).join(", ")}.` : "Nothing is marked yet.") +
    (open ? ` ${count(open)} to relabel still ${open > 1 ? "need" : "needs"} a new label.` : "") +
    (keeps ? "" : " This browser keeps nothing: export before you close the page.");
  $("export").disabled = $("clear").disabled = !done.length;
  const relabels = done.some((row) => marked(row).action === "relabel");
  $("review-command").textContent = `${data.command.start} --review review.csv${relabels ? ` ${data.command.label}` : ""} ${data.command.end}`;
}
$("export").addEventListener("click", () => {
  const lines = reviewed().map((row) => [row.id, classes[row.label], marked(row).action, marked(row).label === null ? "" : classes[marked(row).label]]);
  const text = [["id", "label", "action", "new_label"], ...lines].map((line) => `${line.map(cell).join(",")}\n`).join("");
  const link = make("a", { href: URL.createObjectURL(new Blob([text], { type: "text/csv" })), download: "review.csv" });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
$("clear").addEventListener("click", () => {
  if (confirm("Remove all marks?")) { review = {}; saveReview(); showRows(); }
});

for (const part of document.querySelectorAll(".js")) part.hidden = false;
if (data.curve) $("curve-box").hidden = false;
const redraw = () => { showHistogram(); if (data.curve) showCurve(); };
let drawn = 0;
new ResizeObserver(() => { if (drawn !== innerWidth) { drawn = innerWidth; redraw(); } }).observe(document.body);
redraw();
showClasses();
showMatrix();
showCut();
showReview();
showRows();
})();

"use strict";

// What the page does beyond its HTML: the table of all tags, and the charts over time. Text of the report only ever
// becomes text, never HTML.

const data = JSON.parse(document.getElementById("data").textContent);
const { texts, tags, spans, lanes } = data;
const byId = (id) => document.getElementById(id);

document.documentElement.classList.add("js");

// ---- Words and numbers

const separated = new Intl.NumberFormat("en-US");
const number = (n) => separated.format(n);
const plural = (n, one, more) => (n === 1 ? `1 ${one}` : `${number(n)} ${more}`);

function inBytes(n) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
  let unit = 0;
  for (; n >= 999.5 && unit < units.length - 1; unit++) n /= 1000;
  return (unit > 0 && n < 9.95 ? n.toFixed(1) : Math.round(n)) + " " + units[unit];
}

function inWords(milliseconds) {
  const s = Math.round(milliseconds / 1000);
  if (milliseconds < 10000) return (milliseconds / 1000).toFixed(1) + " s";
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
  return `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
}

// clock is the time of day in UTC, so many milliseconds after the run began.
const clock = (at) => new Date(data.began + at).toISOString().slice(11, 19);
const short = (digest) => digest.replace(/^sha256:/, "").slice(0, 12);
const slug = (outcome) => outcome.replaceAll(" ", "-");

// ---- Elements

function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function shape(name, attributes, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const mark = (outcome) =>
  shape("svg", { class: "mark " + slug(outcome), "aria-hidden": "true" }, shape("use", { href: "#mark-" + slug(outcome) }));

// ---- What is known of a tag

const repositoryOf = (row) => texts[tags.repository[row]];
const nameOf = (row) => repositoryOf(row) + ":" + tags.tag[row];
const outcomeOf = (row) => data.outcomes[tags.outcome[row]];
const sourceOf = (row) => texts[tags.source[row]];
const pushedOf = (row) => texts[tags.pushed[row]];
const causeOf = (row) => texts[tags.cause[row]];

// digestsOf is the digest, or both where GitLab has another than ECR.
function digestsOf(row) {
  const [source, pushed] = [short(sourceOf(row)), short(pushedOf(row))];
  return pushed && source && pushed !== source ? `${source} → ${pushed}` : pushed || source;
}

// worksOf are the spans of the tag's image.
function worksOf(row) {
  const works = [];
  for (let i = 0; i < spans.lane.length; i++) {
    const first = spans.tag[i];
    if (first >= 0 && tags.repository[first] === tags.repository[row] && tags.source[first] === tags.source[row]) works.push(i);
  }
  return works.sort((a, b) => spans.began[a] - spans.began[b]);
}

function inWordsOf(span) {
  const lane = lanes[spans.lane[span]];
  const moved = spans.well[span] ? inBytes(spans.bytes[span]) : "did not end well";
  const what = lane.step === "alone" ? "copied alone" : `${lane.step}, worker ${lane.worker}`;
  return `${what}: ${clock(spans.began[span])}, ${inWords(spans.lasted[span])}, ${moved}`;
}

// showDetail opens all that is known of one tag.
function showDetail(row) {
  const dialog = byId("detail");
  const list = dialog.querySelector("dl");
  list.replaceChildren();
  const add = (term, ...description) => list.append(element("dt", {}, term), element("dd", {}, ...description));
  const addText = (term, text) => text && add(term, text);
  const addCode = (term, text) => text && add(term, element("code", {}, text));
  dialog.querySelector("h2").textContent = nameOf(row);
  add("Outcome", mark(outcomeOf(row)), outcomeOf(row), ` at ${clock(tags.at[row])}`);
  addText("Error", texts[tags.error[row]]);
  addText("What helps", texts[tags.remedy[row]]);
  addCode("Digest in ECR", sourceOf(row));
  addCode("One platform", texts[tags.platform[row]]);
  addCode("Digest at GitLab", pushedOf(row));
  addCode("Reference", `${texts[tags.target[row]]}:${tags.tag[row]}`);
  addText("Size", tags.bytes[row] > 0 && inBytes(tags.bytes[row]));
  addText("Work", worksOf(row).map(inWordsOf).join("\n"));
  dialog.showModal();
}

function setUpDetail() {
  const dialog = byId("detail");
  dialog.querySelector("button").addEventListener("click", () => dialog.close());
}

// ---- The table of all tags. The rows that can be seen have elements, which are used again for others.

const spare = 12; // rows beyond either edge of the window

function setUpTable() {
  const [table, body, search, matches] = ["table", "rows", "search", "matches"].map(byId);
  const tools = document.querySelector(".tools");
  const none = element("p", { class: "none" }, "No tag is like this.");
  const every = Uint32Array.from(tags.tag, (_, row) => row);
  const wanted = new Set(); // outcomes; empty: all of them
  const rows = [];
  let order = every;
  let shown = every;
  let height = 0;
  let haystacks = null;
  let current = 0; // the place that the Tab key leads to

  function newRow() {
    const row = element("div", { role: "row", class: "row" });
    const cells = {};
    for (const name of ["outcome", "name", "digest", "bytes", "at"]) {
      cells[name] = element("span", { role: "cell", class: name });
      row.append(cells[name]);
    }
    const [repository, tag] = ["repository", "tag"].map((name) => element("span", { class: name }));
    const [symbol, word] = [mark("exact"), new Text()];
    const button = element("button", { type: "button", tabindex: -1 }, repository, ":", tag);
    cells.name.append(button);
    cells.outcome.append(symbol, word);
    body.append(row);
    return { row, cells, repository, tag, symbol, word, button, at: -1, tagRow: -1 };
  }

  // fill has the element show a tag at a place of the table.
  function fill(it, at) {
    const tagRow = shown[at];
    if (it.at !== at) {
      it.at = at;
      it.row.style.transform = `translateY(${at * height}px)`;
      it.row.setAttribute("aria-rowindex", at + 2);
    }
    if (it.tagRow === tagRow) return;
    it.tagRow = tagRow;
    const outcome = outcomeOf(tagRow);
    it.symbol.setAttribute("class", "mark " + slug(outcome));
    it.symbol.firstChild.setAttribute("href", "#mark-" + slug(outcome));
    it.word.data = outcome;
    it.repository.textContent = repositoryOf(tagRow);
    it.tag.textContent = tags.tag[tagRow];
    it.button.title = nameOf(tagRow);
    it.cells.digest.textContent = causeOf(tagRow) || digestsOf(tagRow);
    it.cells.digest.classList.toggle("why", causeOf(tagRow) !== "");
    it.cells.bytes.textContent = tags.bytes[tagRow] > 0 ? inBytes(tags.bytes[tagRow]) : "–";
    it.cells.at.textContent = clock(tags.at[tagRow]);
  }

  // render fills the rows in the window and, when the table is outside it, the row nearest to it: without one, the Tab
  // key would pass the table by.
  function render() {
    const top = body.getBoundingClientRect().top;
    const first = Math.max(0, Math.min(Math.floor(-top / height) - spare, shown.length - 1));
    const last = Math.min(shown.length, Math.max(Math.ceil((innerHeight - top) / height) + spare, first + 1));
    for (let at = first; at < last; at++) fill(rows[at % rows.length], at);
    if (current < first || current >= last) current = Math.max(0, Math.min(Math.ceil(-top / height), last - 1));
    for (const it of rows) {
      it.row.hidden = it.at < first || it.at >= last;
      it.button.tabIndex = it.at === current ? 0 : -1;
    }
  }

  function resize() {
    height = parseFloat(getComputedStyle(table).getPropertyValue("--row"));
    table.style.setProperty("--under", tools.offsetHeight - 1 + "px");
    while (rows.length < Math.ceil(innerHeight / height) + 2 * spare + 2) rows.push(newRow());
    for (const it of rows) it.at = -1;
    // A filter leaves the table in the window, however few tags it leaves.
    body.style.minHeight = Math.min(every.length * height, 0.8 * innerHeight) + "px";
    body.style.height = shown.length * height + "px";
    render();
  }

  // show fills the table anew, from its beginning if that is above the window.
  function show() {
    matches.textContent = shown.length === tags.tag.length
      ? plural(shown.length, "tag", "tags") : `${number(shown.length)} of ${plural(tags.tag.length, "tag", "tags")}`;
    table.setAttribute("aria-rowcount", shown.length + 1);
    current = 0;
    if (shown.length > 0) none.remove();
    else body.append(none);
    body.style.height = shown.length * height + "px";
    const above = tools.getBoundingClientRect().bottom + table.firstElementChild.offsetHeight - body.getBoundingClientRect().top;
    if (above > 2) scrollBy(0, -above);
    render();
  }

  // prepare makes what is searched of each tag: before anybody searches, if the browser finds the time.
  function prepare() {
    if (haystacks) return;
    const lower = texts.map((text) => text.toLowerCase());
    haystacks = Array.from(every, (row) => `${lower[tags.repository[row]]}:${tags.tag[row].toLowerCase()}\n${outcomeOf(row)}\n` +
      `${lower[tags.source[row]]}\n${lower[tags.pushed[row]]}\n${lower[tags.error[row]]}`);
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length > 0) prepare();
    shown = words.length === 0 && wanted.size === 0 ? order : order.filter((row) =>
      (wanted.size === 0 || wanted.has(tags.outcome[row])) && words.every((word) => haystacks[row].includes(word)));
    show();
  }

  function sortBy(column, descending) {
    const keys = { name: every, outcome: tags.outcome, bytes: tags.bytes, at: tags.at }[column];
    const sign = descending ? -1 : 1;
    order = every.slice().sort((a, b) => sign * (keys[a] - keys[b]) || a - b);
    filter();
  }

  function sortOn(event) {
    const column = event.currentTarget.dataset.sort;
    sortBy(column, turned(table, event.currentTarget.parentElement, column === "bytes"));
  }

  function setUpOutcomes() {
    const counts = data.outcomes.map(() => 0);
    for (const outcome of tags.outcome) counts[outcome]++;
    data.outcomes.forEach((outcome, i) => {
      if (counts[i] === 0) return;
      const button = element("button", { type: "button", "aria-pressed": "false" },
        mark(outcome), outcome, element("span", { class: "many" }, number(counts[i])));
      button.addEventListener("click", () => {
        if (!wanted.delete(i)) wanted.add(i);
        button.setAttribute("aria-pressed", wanted.has(i));
        filter();
      });
      byId("wanted").append(button);
    });
  }

  // move puts the focus on another row.
  function move(event) {
    const from = rows.find((it) => it.button === event.target)?.at;
    const at = { ArrowDown: from + 1, ArrowUp: from - 1, Home: 0, End: shown.length - 1 }[event.key];
    if (!(at >= 0 && at < shown.length)) return;
    event.preventDefault();
    current = at;
    const top = body.getBoundingClientRect().top + at * height;
    const edge = table.firstElementChild.getBoundingClientRect().bottom;
    if (top < edge) scrollBy(0, top - edge);
    else if (top + height > innerHeight) scrollBy(0, top + height - innerHeight);
    render();
    rows[at % rows.length].button.focus({ preventScroll: true });
  }

  // setUpLinks has the names of repositories lead to their tags.
  function setUpLinks() {
    for (const cell of document.querySelectorAll(".repositories tbody th")) {
      const link = element("a", { href: "#tags" }, cell.textContent);
      link.addEventListener("click", () => {
        search.value = link.textContent + ":";
        filter();
      });
      cell.replaceChildren(link);
    }
  }

  let waiting = false;
  function renderSoon() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; render(); });
  }

  setUpOutcomes();
  setUpLinks();
  search.addEventListener("input", filter);
  body.addEventListener("keydown", move);
  body.addEventListener("click", (event) => {
    const it = rows.find((it) => it.button.contains(event.target));
    if (it) showDetail(it.tagRow);
  });
  for (const button of table.querySelectorAll("[data-sort]")) button.addEventListener("click", sortOn);
  addEventListener("scroll", renderSoon, { passive: true });
  addEventListener("resize", resize);
  resize();
  show();
  (window.requestIdleCallback ?? setTimeout)(prepare);
}

// ---- Charts over time

const left = 66; // pixels for the names of lanes and rates
const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400]; // seconds
const cursors = []; // of all charts: they have the same hours

const many = lanes.length > 40; // lanes are narrow then, and have no room for words

// plotOf is where a chart of this width has its marks. At the right there is room for sums, if it is wide.
function plotOf(width) {
  const right = width < 720 || many ? width : width - 140;
  const lasts = Math.max(data.lasted, 1);
  return { right, width: right - left, x: (at) => left + (right - left) * Math.min(at / lasts, 1) };
}

// sizeTo has the chart shrink where the paper is narrower than the window.
function sizeTo(svg, width, height) {
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
}

function addText(svg, text, attributes) {
  svg.append(shape("text", attributes, text));
}

// addTimeAxis draws lines at round times of day.
function addTimeAxis(svg, plot, height) {
  const step = 1000 * (steps.find((s) => 1000 * s * plot.width >= 76 * data.lasted) ?? 604800);
  const form = step < 60000 ? [11, 19] : [11, 16];
  for (let moment = Math.ceil(data.began / step) * step; moment <= data.began + data.lasted; moment += step) {
    const at = plot.x(moment - data.began);
    const anchor = at > svg.clientWidth - 24 ? "end" : at < 24 ? "start" : "middle";
    svg.append(shape("line", { class: "grid", x1: at, x2: at, y1: 0, y2: height }));
    addText(svg, new Date(moment).toISOString().slice(...form), { x: at, y: height + 17, "text-anchor": anchor });
  }
}

// addCursor has the chart show the moment at the pointer, and so do all others. tellOf gives the text, if there is any.
function addCursor(svg, plot, height, tellOf) {
  const cursor = svg.appendChild(shape("line", { class: "cursor", y1: 0, y2: height, visibility: "hidden" }));
  cursors.push(cursor);
  const leave = () => {
    for (const each of cursors) each.setAttribute("visibility", "hidden");
    tell(null);
  };
  svg.onpointermove = svg.onpointerdown = (event) => {
    const box = svg.getBoundingClientRect();
    const at = event.clientX - box.left;
    if (at < left || at > plot.right) return leave();
    for (const each of cursors) {
      each.setAttribute("visibility", "visible");
      for (const end of ["x1", "x2"]) each.setAttribute(end, at);
    }
    const text = tellOf(at, event.clientY - box.top);
    tell(text ? event : null, text);
  };
  svg.onpointerleave = leave;
}

// rates are the bytes a second in each of so many slices of the run, of these spans.
function rates(list, slices) {
  const length = Math.max(data.lasted, 1) / slices; // milliseconds
  const result = new Float64Array(slices);
  for (const i of list) {
    const [began, lasted] = [spans.began[i], Math.max(spans.lasted[i], 1)];
    const first = Math.min(slices - 1, Math.floor(began / length));
    const last = Math.min(slices - 1, Math.floor((began + lasted) / length));
    for (let slice = first; slice <= last; slice++) {
      const within = Math.min(began + lasted, (slice + 1) * length) - Math.max(began, slice * length);
      result[slice] += (first === last ? 1 : within / lasted) * spans.bytes[i] * 1000 / length;
    }
  }
  return result;
}

// spansBut are all spans but those of a step.
const spansBut = (step) => [...spans.lane.keys()].filter((i) => lanes[spans.lane[i]].step !== step);

// roundUp is the next number that one likes to read, and the half of it, too.
function roundUp(n) {
  const power = 10 ** Math.floor(Math.log10(n));
  return power * [1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((lead) => lead * power >= n || lead === 10);
}

function drawThroughput(svg, width) {
  const height = 168;
  const plot = plotOf(width);
  svg.replaceChildren();
  sizeTo(svg, width, height + 24);
  const slices = Math.max(1, Math.floor(plot.width / 5));
  const length = Math.max(data.lasted, 1) / slices;
  const [pulled, pushed] = [rates(spansBut("push"), slices), rates(spansBut("pull"), slices)];
  const highest = Math.max(...pulled, ...pushed);
  const top = roundUp(Math.max(highest, 1));
  const y = (rate) => 8 + (height - 8) * (1 - rate / top);
  addTimeAxis(svg, plot, height);
  for (const part of [0, 0.5, 1]) {
    svg.append(shape("line", { class: "grid", x1: left, x2: plot.right, y1: y(part * top), y2: y(part * top) }));
    addText(svg, part === 0 ? "0" : inBytes(part * top) + "/s", { x: left - 8, y: y(part * top) + 4, "text-anchor": "end" });
  }
  const points = (list) => Array.from(list, (rate, i) => `${plot.x((i + 0.5) * length).toFixed(1)} ${y(rate).toFixed(1)}`).join("L");
  svg.append(
    shape("path", { class: "pulled", d: `M${left} ${height}L${points(pulled)}L${plot.right} ${height}Z` }),
    shape("path", { class: "pushed", d: "M" + points(pushed) }),
  );
  svg.setAttribute("aria-label", `Throughput over ${inWords(data.lasted)}, at most ${inBytes(highest)} a second`);
  addCursor(svg, plot, height, (at) => {
    const slice = Math.min(slices - 1, Math.floor((at - left) / plot.width * slices));
    return `${clock(slice * length)} to ${clock((slice + 1) * length)}\n` +
      `${inBytes(pulled[slice])}/s from ECR\n${inBytes(pushed[slice])}/s to GitLab`;
  });
}

// A lane is drawn in shades: the stronger, the more bytes a second. The rate of the strongest leaves few out.
const shades = [1, 2, 3, 4];
const shadeOf = (rate, strong) => Math.min(4, 1 + Math.floor(4 * rate / strong));

function strongOf(list) {
  const sorted = list.filter((rate) => rate > 0).sort((a, b) => a - b);
  return roundUp(sorted[Math.floor(sorted.length * 0.9)] || 1);
}

// marksOf are what is drawn of a lane: from and to in pixels, bytes a second, and whether it went well. Where there are
// too many spans to tell one from the other, it is what happened in every few pixels.
function marksOf(list, plot, dense) {
  if (!dense) {
    return list.map((i) => ({
      from: plot.x(spans.began[i]), to: plot.x(spans.began[i] + spans.lasted[i]), well: spans.well[i],
      rate: spans.bytes[i] * 1000 / Math.max(spans.lasted[i], 1),
    }));
  }
  const slices = Math.floor(plot.width / 3);
  const wide = plot.width / slices;
  const moved = rates(list, slices);
  const busy = new Uint8Array(slices); // 1: something that went well, 2: something that did not
  for (const i of list) {
    const [from, to] = [plot.x(spans.began[i]), plot.x(spans.began[i] + spans.lasted[i])];
    const last = Math.min(slices - 1, Math.floor((to - left) / wide));
    for (let slice = Math.floor((from - left) / wide); slice <= last; slice++) busy[slice] |= spans.well[i] ? 1 : 2;
  }
  return Array.from(busy, (state, slice) => ({ state, from: left + slice * wide, to: left + (slice + 1) * wide, well: state < 2, rate: moved[slice] }))
    .filter(({ state }) => state > 0);
}

// boxes are marks as one path. Single spans are a little apart.
function boxes(marks, top, height, gap) {
  const at = (n) => n.toFixed(1);
  return marks.map(({ from, to }) => `M${at(from)} ${top}H${at(Math.max(to - gap, from + 1))}v${height}H${at(from)}z`).join("");
}

// sumsOf says what a worker has done.
function sumsOf(list) {
  const bytes = list.reduce((sum, i) => sum + spans.bytes[i], 0);
  return `${plural(list.length, "image", "images")}, ${inBytes(bytes)}`;
}

function drawLanes(svg, width) {
  const [high, gap] = many ? [5, 1] : [14, 3];
  const height = lanes.length * (high + gap) - gap;
  const plot = plotOf(width);
  svg.replaceChildren();
  sizeTo(svg, width, height + 24);
  const ofLane = lanes.map(() => []);
  spans.lane.forEach((lane, span) => ofLane[lane].push(span)); // which are in the order of time
  const dense = Math.max(...ofLane.map((list) => list.length)) > plot.width / 6;
  const marks = ofLane.map((list) => marksOf(list, plot, dense));
  const strong = strongOf(marks.flat().map(({ rate }) => rate));
  const background = svg.appendChild(shape("g", {}));
  addTimeAxis(svg, plot, height);
  lanes.forEach((lane, i) => {
    const top = i * (high + gap);
    background.append(shape("rect", { class: "lane", x: left, y: top, width: plot.width, height: high }));
    for (const shade of shades) {
      const some = marks[i].filter(({ well, rate }) => well && shadeOf(rate, strong) === shade);
      svg.append(shape("path", { class: `span-${lane.step} shade-${shade}`, d: boxes(some, top, high, dense ? 0 : 1) }));
    }
    svg.append(shape("path", { class: "span-failed", d: boxes(marks[i].filter(({ well }) => !well), top, high, dense ? 0 : 1) }));
    if (many && lane.worker > 1) return;
    const y = top + Math.max(high - 3, 9);
    addText(svg, lane.step === "alone" ? "alone" : `${lane.step} ${lane.worker}`, { x: left - 8, y, "text-anchor": "end" });
    if (plot.right < width) addText(svg, sumsOf(ofLane[i]), { x: width, y, "text-anchor": "end" });
  });
  svg.setAttribute("aria-label", "What each worker did. " +
    lanes.map((lane, i) => `${lane.step} ${lane.worker}: ${sumsOf(ofLane[i])}`).join("; "));
  explainShades(strong);

  // under is the span at the pointer, or the nearest one within a few pixels.
  function under(at, y) {
    let [nearest, distance] = [-1, 4];
    for (const span of ofLane[Math.floor(y / (high + gap))] ?? []) {
      const away = Math.max(plot.x(spans.began[span]) - at, at - plot.x(spans.began[span] + spans.lasted[span]), 0);
      if (away < distance) [nearest, distance] = [span, away];
    }
    return nearest;
  }
  addCursor(svg, plot, height, (at, y) => {
    const span = under(at, y);
    if (span < 0) return "";
    return (spans.tag[span] >= 0 ? nameOf(spans.tag[span]) + "\n" : "") + inWordsOf(span);
  });
  svg.onclick = (event) => {
    const box = svg.getBoundingClientRect();
    const span = under(event.clientX - box.left, event.clientY - box.top);
    if (span >= 0 && spans.tag[span] >= 0) showDetail(spans.tag[span]);
  };
}

// explainShades says what the colours of the lanes are.
function explainShades(strong) {
  const key = (text, ...swatch) => element("span", { class: "key" }, ...swatch, text);
  const ofStep = (step) => element("span", { class: `swatch shades span-${step}` },
    ...shades.map((shade) => element("i", { class: `shade-${shade}` })));
  const keys = [...new Set(lanes.map(({ step }) => step))].map((step) =>
    key(step === "alone" ? "copied alone" : step, ofStep(step)));
  if (spans.well.includes(0)) keys.push(key("failed", element("span", { class: "swatch span-failed" })));
  keys.push(key(`the stronger, the faster: up to ${inBytes(strong)}/s and more`));
  byId("scale").replaceChildren(...keys);
}

// tell shows a text at the pointer, or hides the last one.
function tell(event, text) {
  const tip = byId("tip");
  tip.hidden = !event;
  if (!event) return;
  tip.textContent = text;
  const { width, height } = tip.getBoundingClientRect();
  tip.style.left = Math.max(8, Math.min(event.clientX + 14, innerWidth - width - 8)) + "px";
  tip.style.top = (event.clientY + height + 24 > innerHeight ? event.clientY - height - 10 : event.clientY + 16) + "px";
}

function setUpCharts() {
  let width = 0;
  const draw = () => {
    const now = byId("time").clientWidth;
    if (now === width) return;
    width = now;
    cursors.length = 0;
    drawThroughput(byId("throughput"), width);
    drawLanes(byId("lanes"), width);
  };
  draw();
  addEventListener("resize", draw);
}

// ---- The table of repositories begins with the largest ones.

function setUpRepositories() {
  const table = document.querySelector(".repositories");
  const rows = [...table.tBodies[0].rows];
  for (const cell of table.tHead.querySelectorAll("[data-sort]")) {
    const button = element("button", { type: "button" }, cell.textContent);
    button.addEventListener("click", () => sortRepositories(table, rows, cell));
    cell.replaceChildren(button);
  }
  const further = rows.length - 15;
  if (further <= 0) return;
  const more = element("button", { type: "button", class: "more" }, `Show ${plural(further, "other", "others")}`);
  more.addEventListener("click", () => {
    table.classList.add("all");
    more.remove();
  });
  table.after(more);
}

// sortRepositories sorts by a column, and once more the other way round.
function sortRepositories(table, rows, cell) {
  const column = cell.dataset.sort;
  const descending = turned(table, cell, column !== "name");
  const sign = descending ? -1 : 1;
  const names = new Intl.Collator("en", { numeric: true });
  const byName = (a, b) => names.compare(a.cells[0].textContent, b.cells[0].textContent);
  const byColumn = column === "name" ? byName : (a, b) => a.dataset[column] - b.dataset[column];
  rows.sort((a, b) => sign * byColumn(a, b) || byName(a, b));
  table.tBodies[0].append(...rows);
}

// turned marks the column as that by which a table is sorted, and tells whether it is so from the largest. It is the
// first time, if that is what one looks for.
function turned(table, cell, largest) {
  const before = cell.getAttribute("aria-sort");
  const descending = before ? before === "ascending" : largest;
  for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
  cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
  return descending;
}

setUpDetail();
if (byId("time")) setUpCharts();
if (byId("repositories")) setUpRepositories();
if (byId("tags")) setUpTable();

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

// digestsOf is what the table shows: the digest, or both where GitLab has another than ECR.
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
  addText("Work", spans.lane ? worksOf(row).map(inWordsOf).join("\n") : "");
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

  function newRow() {
    const row = element("div", { role: "row", class: "row" });
    const cells = {};
    for (const name of ["outcome", "name", "digest", "bytes", "at"]) {
      cells[name] = element("span", { role: "cell", class: name });
      row.append(cells[name]);
    }
    const [repository, tag] = ["repository", "tag"].map((name) => element("span", { class: name }));
    const [symbol, word] = [mark("exact"), new Text()];
    const button = element("button", { type: "button" }, repository, ":", tag);
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
    it.cells.digest.textContent = digestsOf(tagRow);
    it.cells.bytes.textContent = tags.bytes[tagRow] > 0 ? inBytes(tags.bytes[tagRow]) : "–";
    it.cells.at.textContent = clock(tags.at[tagRow]);
  }

  function render() {
    const top = body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / height) - spare);
    const last = Math.min(shown.length, Math.ceil((innerHeight - top) / height) + spare);
    for (let at = first; at < last; at++) fill(rows[at % rows.length], at);
    for (const it of rows) it.row.hidden = it.at < first || it.at >= last;
  }

  function resize() {
    height = parseFloat(getComputedStyle(table).getPropertyValue("--row"));
    table.style.setProperty("--under", tools.offsetHeight - 1 + "px");
    while (rows.length < Math.ceil(innerHeight / height) + 2 * spare + 2) rows.push(newRow());
    for (const it of rows) it.at = -1;
    body.style.height = shown.length * height + "px";
    render();
  }

  // show fills the table anew, from its beginning if that is above the window.
  function show() {
    matches.textContent = shown.length === tags.tag.length
      ? plural(shown.length, "tag", "tags") : `${number(shown.length)} of ${plural(tags.tag.length, "tag", "tags")}`;
    table.setAttribute("aria-rowcount", shown.length + 1);
    if (shown.length > 0) none.remove();
    else body.append(none);
    body.style.height = shown.length * height + "px";
    const above = tools.getBoundingClientRect().bottom + table.firstElementChild.offsetHeight - body.getBoundingClientRect().top;
    if (above > 2) scrollBy(0, -above);
    render();
  }

  function haystackOf(row) {
    return [nameOf(row), outcomeOf(row), sourceOf(row), pushedOf(row), texts[tags.error[row]]].join("\n").toLowerCase();
  }

  function filter() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length > 0) haystacks ??= Array.from(every, haystackOf);
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
    const cell = event.currentTarget.parentElement;
    const column = event.currentTarget.dataset.sort;
    const before = cell.getAttribute("aria-sort");
    const descending = before ? before === "ascending" : column === "bytes"; // the largest are what one looks for
    for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", descending ? "descending" : "ascending");
    sortBy(column, descending);
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

  // move puts the focus a row up or down.
  function move(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const at = rows.find((it) => it.button === event.target)?.at + step;
    if (!(at >= 0 && at < shown.length)) return;
    event.preventDefault();
    const top = body.getBoundingClientRect().top + at * height;
    const edge = table.firstElementChild.getBoundingClientRect().bottom;
    if (top < edge) scrollBy(0, top - edge);
    else if (top + height > innerHeight) scrollBy(0, top + height - innerHeight);
    render();
    rows[at % rows.length].button.focus({ preventScroll: true });
  }

  function setUpLinks() {
    for (const link of document.querySelectorAll("a[data-repository]")) {
      link.addEventListener("click", () => {
        search.value = link.dataset.repository + ":";
        filter();
      });
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
}

// ---- Charts over time

const left = 56; // pixels for the names of lanes and rates
const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400]; // seconds

// timeAxis has lines at round times of day, and returns the place of a moment.
function timeAxis(svg, width, height) {
  const lasts = Math.max(data.lasted, 1);
  const x = (at) => left + (width - left) * Math.min(at / lasts, 1);
  const step = 1000 * (steps.find((s) => 1000 * s * (width - left) >= 76 * lasts) ?? 604800);
  const form = step < 60000 ? [11, 19] : [11, 16];
  for (let moment = Math.ceil(data.began / step) * step; moment <= data.began + lasts; moment += step) {
    const at = x(moment - data.began);
    const text = shape("text", { x: at, y: height + 16, "text-anchor": at > width - 16 ? "end" : "middle" });
    text.textContent = new Date(moment).toISOString().slice(...form);
    svg.append(shape("line", { class: "grid", x1: at, x2: at, y1: 0, y2: height }), text);
  }
  return x;
}

// rates are the bytes a second of each of so many slices of the run, pulled and pushed.
function rates(slices) {
  const length = Math.max(data.lasted, 1) / slices; // milliseconds
  const [pulled, pushed] = [new Float64Array(slices), new Float64Array(slices)];
  for (let i = 0; i < spans.lane.length; i++) {
    const [began, lasted] = [spans.began[i], Math.max(spans.lasted[i], 1)];
    const first = Math.min(slices - 1, Math.floor(began / length));
    const last = Math.min(slices - 1, Math.floor((began + lasted) / length));
    const step = lanes[spans.lane[i]].step;
    for (let slice = first; slice <= last; slice++) {
      const within = Math.min(began + lasted, (slice + 1) * length) - Math.max(began, slice * length);
      const rate = (first === last ? 1 : within / lasted) * spans.bytes[i] * 1000 / length;
      if (step !== "push") pulled[slice] += rate;
      if (step !== "pull") pushed[slice] += rate;
    }
  }
  return { length, pulled, pushed };
}

// roundUp is the next number that begins with 1, 2, 4 or 5.
function roundUp(n) {
  const power = 10 ** Math.floor(Math.log10(n));
  return power * [1, 2, 4, 5, 10].find((lead) => lead * power >= n || lead === 10);
}

function drawThroughput(svg, width) {
  const height = 160;
  svg.replaceChildren();
  svg.setAttribute("height", height + 24);
  const slices = Math.max(1, Math.min(300, Math.floor((width - left) / 3)));
  const { length, pulled, pushed } = rates(slices);
  const highest = Math.max(...pulled, ...pushed);
  const top = roundUp(Math.max(highest, 1));
  const y = (rate) => height - height * rate / top;
  for (const part of [0, 0.5, 1]) {
    const text = shape("text", { x: left - 8, y: y(part * top) + 4, "text-anchor": "end" });
    text.textContent = part === 0 ? "0" : inBytes(part * top) + "/s";
    svg.append(shape("line", { class: "grid", x1: left, x2: width, y1: y(part * top), y2: y(part * top) }), text);
  }
  const x = timeAxis(svg, width, height);
  const points = (list) => Array.from(list, (rate, i) => `${x((i + 0.5) * length).toFixed(1)} ${y(rate).toFixed(1)}`).join("L");
  svg.append(
    shape("path", { class: "pulled", d: `M${left} ${height}L${points(pulled)}L${width} ${height}Z` }),
    shape("path", { class: "pushed", d: "M" + points(pushed) }),
  );
  svg.setAttribute("aria-label", `Throughput over ${inWords(data.lasted)}, at most ${inBytes(highest)} a second`);
  const cursor = svg.appendChild(shape("line", { class: "cursor", y1: 0, y2: height, x1: -9, x2: -9 }));
  svg.onpointermove = (event) => {
    const at = Math.max(0, (event.clientX - svg.getBoundingClientRect().left - left) / (width - left));
    const slice = Math.min(slices - 1, Math.floor(at * slices));
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, x((slice + 0.5) * length));
    tell(event, `${clock(slice * length)} to ${clock((slice + 1) * length)}\n` +
      `${inBytes(pulled[slice])}/s from ECR\n${inBytes(pushed[slice])}/s to GitLab`);
  };
  svg.onpointerleave = () => {
    for (const end of ["x1", "x2"]) cursor.setAttribute(end, -9);
    tell(null);
  };
}

// boxes are the spans of a lane as one path. What is nearer than half a pixel becomes one box, so that a path stays
// small however much a worker did.
function boxes(list, x, top, height) {
  const parts = [];
  let [from, to] = [NaN, NaN];
  const end = () => {
    if (to >= from) parts.push(`M${from.toFixed(1)} ${top}H${to.toFixed(1)}v${height}H${from.toFixed(1)}z`);
  };
  for (const span of list) {
    const begins = x(spans.began[span]);
    const ends = Math.max(begins + 0.8, x(spans.began[span] + spans.lasted[span]));
    if (begins - to < 0.5) {
      to = Math.max(to, ends);
      continue;
    }
    end();
    [from, to] = [begins, ends];
  }
  end();
  return parts.join("");
}

function drawLanes(svg, width) {
  const [high, gap] = lanes.length > 40 ? [5, 1] : [12, 3];
  const height = lanes.length * (high + gap);
  svg.replaceChildren();
  svg.setAttribute("height", height + 24);
  const ofLane = lanes.map(() => []);
  spans.lane.forEach((lane, span) => ofLane[lane].push(span)); // which are in the order of time
  const background = svg.appendChild(shape("g", {}));
  const x = timeAxis(svg, width, height);
  lanes.forEach((lane, i) => {
    const top = i * (high + gap);
    background.append(shape("rect", { class: "lane", x: left, y: top, width: width - left, height: high }));
    if (lane.worker === 1 || high > 10) {
      const text = shape("text", { x: left - 8, y: top + high - 2, "text-anchor": "end" });
      text.textContent = lane.step === "alone" ? "alone" : `${lane.step} ${lane.worker}`;
      svg.append(text);
    }
    const well = ofLane[i].filter((span) => spans.well[span]);
    const failed = ofLane[i].filter((span) => !spans.well[span]);
    svg.append(
      shape("path", { class: "span-" + lane.step, d: boxes(well, x, top, high) }),
      shape("path", { class: "span-failed", d: boxes(failed, x, top, high) }),
    );
  });
  svg.setAttribute("aria-label", `What each worker did: ${plural(spans.lane.length, "pull or push", "pulls and pushes")}`);

  // under is the span at the pointer, or the nearest one within a few pixels.
  function under(event) {
    const box = svg.getBoundingClientRect();
    const at = event.clientX - box.left;
    let [nearest, distance] = [-1, 4];
    for (const span of ofLane[Math.floor((event.clientY - box.top) / (high + gap))] ?? []) {
      const away = Math.max(x(spans.began[span]) - at, at - x(spans.began[span] + spans.lasted[span]), 0);
      if (away < distance) [nearest, distance] = [span, away];
    }
    return nearest;
  }
  svg.onpointermove = (event) => {
    const span = under(event);
    const name = span >= 0 && spans.tag[span] >= 0 ? nameOf(spans.tag[span]) + "\n" : "";
    tell(span >= 0 ? event : null, span >= 0 ? name + inWordsOf(span) : "");
  };
  svg.onpointerleave = () => tell(null);
  svg.onclick = (event) => {
    const span = under(event);
    if (span >= 0 && spans.tag[span] >= 0) showDetail(spans.tag[span]);
  };
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
    drawThroughput(byId("throughput"), width);
    drawLanes(byId("lanes"), width);
  };
  draw();
  addEventListener("resize", draw);
}

// ---- The table of repositories begins with the largest ones.

function setUpRepositories() {
  const table = document.querySelector(".repositories");
  const further = table.tBodies[0].rows.length - 15;
  if (further <= 0) return;
  const more = element("button", { type: "button", class: "more" }, `Show ${plural(further, "other", "others")}`);
  more.addEventListener("click", () => {
    table.classList.add("all");
    more.remove();
  });
  table.after(more);
}

setUpDetail();
if (byId("time")) setUpCharts();
if (byId("repositories")) setUpRepositories();
if (byId("tags")) setUpTable();

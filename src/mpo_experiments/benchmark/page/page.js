"use strict";
const board = JSON.parse(document.getElementById("board").textContent);
const at = (id) => document.getElementById(id);
const KINDS = ["sampled", "mode"];
const MARKS = { ahead: "▲", behind: "▼", "not told apart": "" };
const sorting = { by: "overall", down: true };
let pinned = null;

// --- small helpers -------------------------------------------------------------------------------------------------

function element(tag, { text, ...attributes } = {}, ...children) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.filter((child) => child !== null));
  return made;
}
const number = (value, digits = 2) => (value === null ? "–" : value.toFixed(digits).replace("-", "−"));
const interval = ([, low, high]) => `[${number(low)}, ${number(high)}]`;
/** A long id may go on in the next line after a slash, a hyphen or an underscore. */
const breakable = (id) => id.split(/(?<=[/_-])/).flatMap((part, place) => (place ? [element("wbr"), part] : [part]));
const yesNo = (value) => (value === null ? "?" : value ? "yes" : "no");
const chosenKinds = () => (at("kind").value ? [at("kind").value] : KINDS);
const sortKind = () => chosenKinds()[0];

// --- which rows and columns ----------------------------------------------------------------------------------------

const COLUMNS = [
  { key: "family", title: "family", text: (loss) => loss.family },
  { key: "reference", title: "reference", text: (loss) => yesNo(loss.reference) },
  { key: "normalised", title: "length-norm.", text: (loss) => yesNo(loss.normalised) },
];

function shownCells() {
  const fits = (cell) => ["task", "data"].every((name) => !at(name).value || cell[name] === at(name).value);
  return board.cells.map((_, place) => place).filter((place) => fits(board.cells[place]));
}

function shownLosses() {
  const text = at("text").value.trim().toLowerCase();
  const fits = (loss) =>
    (!text || [loss.id, loss.formula, loss.citation].join(" ").toLowerCase().includes(text)) &&
    ["family", "reference", "normalised", "discovered"].every((name) => !at(name).value || String(loss[name]) === at(name).value);
  return board.losses.map((_, place) => place).filter((place) => fits(board.losses[place]));
}

function sortValue(place) {
  const loss = board.losses[place];
  if (sorting.by === "loss") return loss.id;
  if (sorting.by === "overall") return board.overall[place][sortKind()][0];
  const column = COLUMNS.find((one) => one.key === sorting.by);
  if (column) return column.text(loss);
  const score = board.scores[place][Number(sorting.by)];
  return score ? score[sortKind()].iqm[0] : null;
}

function sorted(places) {
  const values = new Map(places.map((place) => [place, sortValue(place)]));
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  return [...places].sort((one, other) => {
    const [a, b] = [values.get(one), values.get(other)];
    const sees = (at) => board.losses[at].sees.length > 0;
    if (typeof a !== "string" && sees(one) !== sees(other)) return sees(one) - sees(other); // those that see more: last
    if (a === null || b === null) return (a === null) - (b === null); // cells that were not run: last, either way
    return (sorting.down ? -1 : 1) * compare(a, b) || one - other;
  });
}

// --- the table -----------------------------------------------------------------------------------------------------

function heading(key, title, attributes = {}, note = "") {
  const direction = sorting.by === key ? (sorting.down ? "descending" : "ascending") : "none";
  const button = element("button", { type: "button", text: title });
  button.addEventListener("click", () => {
    const numbers = key === "overall" || /^\d+$/.test(key);
    sorting.down = sorting.by === key ? !sorting.down : numbers;
    sorting.by = key;
    draw();
  });
  const small = note ? element("small", { text: note }) : null;
  return element("th", { scope: "col", "aria-sort": direction, "data-key": key, ...attributes }, button, ...(small ? [element("br"), small] : []));
}

function draw() {
  const cells = shownCells();
  const losses = sorted(shownLosses());
  const run = board.cells.filter((cell) => cell.run).length;
  document.querySelector("thead").replaceChildren(
    element("tr", {},
      heading("loss", "loss", { class: "loss" }),
      ...COLUMNS.map((one) => heading(one.key, one.title, { class: "wide-only" })),
      heading("overall", "all cells run", {}, `${run} of ${board.cells.length}`),
      ...cells.map((place) => heading(String(place), board.cells[place].task, {}, board.cells[place].data))));
  document.querySelector("tbody").replaceChildren(...losses.map((place, rank) => row(place, rank + 1, cells)));
  document.querySelector("tfoot").replaceChildren(noNoiseRow(cells));
  at("count").textContent = `${losses.length} of ${board.losses.length} losses, ${cells.length} of ${board.cells.length} cells. Point at a score for its units, the comparison and the command; click or tap to keep it open.`;
}

function row(place, rank, cells) {
  const loss = board.losses[place];
  const name = element("th", { scope: "row", class: "loss", title: loss.formula },
    element("span", { class: "rank", text: rank }), ...breakable(loss.id),
    loss.sees.length ? element("small", { text: ` sees ${loss.sees.join(", ")}` }) : null);
  return element("tr", { "data-loss": loss.id }, name,
    ...COLUMNS.map((one) => element("td", { class: "wide-only", text: one.text(loss) })),
    element("td", {}, ...lines((kind) => [board.overall[place][kind], null])),
    ...cells.map((cell) => scoreCell(place, cell)));
}

function lines(of) {
  return chosenKinds().map((kind) => {
    const [iqm, word] = of(kind);
    const prefix = kind === "mode" && chosenKinds().length > 1 ? "mode " : "";
    return element("div", {}, document.createTextNode(`${prefix}${number(iqm[0])} `),
      element("span", { class: "interval", text: interval(iqm) }),
      MARKS[word] ? element("span", { class: word, text: ` ${MARKS[word]}`, title: word }) : null);
  });
}

function scoreCell(place, cell) {
  const score = board.scores[place][cell];
  const made = element("td", { class: score ? "score" : "score absent", tabindex: 0, "data-cell": board.cells[cell].name });
  if (!score) {
    made.append(element("span", { class: "soft", text: "not run" }));
  } else {
    made.append(...lines((kind) => [score[kind].iqm, score[kind].word]));
    if (board.losses[place].id === board.cells[cell].best_tuned)
      made.firstChild.append(element("span", { class: "best", text: " ★", title: "best when tuned" }));
    if (board.losses[place].id === board.cells[cell].best_on_units)
      made.firstChild.append(element("span", { class: "best", text: " ☆", title: "best on these units" }));
    const value = Math.max(-1, Math.min(1, score[sortKind()].iqm[0]));
    made.style.backgroundColor = `rgba(var(--${value < 0 ? "bad" : "good"}), ${(0.3 * Math.abs(value)).toFixed(3)})`;
  }
  made.addEventListener("mouseenter", () => pinned || show(place, cell, made));
  made.addEventListener("mouseleave", () => pinned || hide());
  made.addEventListener("focus", () => pinned || show(place, cell, made));
  made.addEventListener("click", () => pin(place, cell, made));
  made.addEventListener("keydown", (event) => event.key === "Enter" && pin(place, cell, made));
  return made;
}

function noNoiseRow(cells) {
  const text = ({ run, no_noise: value }) =>
    run ? (value === null ? "–" : { sampled: number(value), mode: "0.00", "": `${number(value)}, mode 0.00` }[at("kind").value]) : "not run";
  return element("tr", {}, element("th", { scope: "row", class: "loss", text: "original, no action noise" }),
    ...COLUMNS.map(() => element("td", { class: "wide-only" })), element("td", { text: "–" }),
    ...cells.map((place) => element("td", { text: text(board.cells[place]) })));
}

// --- one score, looked at ------------------------------------------------------------------------------------------

function pin(place, cell, where) {
  const again = pinned === where;
  hide();
  if (again) return;
  show(place, cell, where);
  pinned = where;
  where.classList.add("pinned");
  at("detail").classList.add("pinned");
}

function hide() {
  pinned?.classList.remove("pinned");
  pinned = null;
  at("detail").classList.remove("pinned");
  at("detail").hidden = true;
}

function show(place, cell, where) {
  const [loss, column, score] = [board.losses[place], board.cells[cell], board.scores[place][cell]];
  const close = element("button", { type: "button", class: "close", "aria-label": "Close", text: "×" });
  close.addEventListener("click", hide);
  const command = column.command.replaceAll("THIS_LOSS", loss.argument);
  const copy = element("button", { type: "button", text: "Copy" });
  copy.addEventListener("click", () => navigator.clipboard?.writeText(command).then(() => (copy.textContent = "Copied")));
  const parts = [close, element("h2", { text: `${loss.id}, ${column.name}` })];
  if (loss.formula) parts.push(element("p", { class: "soft", text: loss.formula }));
  parts.push(...(score ? told(loss, cell, score) : [element("p", { text: "not run" })]));
  const again = score ? (column.command.includes("THIS_LOSS") ? "This score again:" : "This cell again:") : "To run this cell:";
  parts.push(element("p", {}, document.createTextNode(`${again} `), copy), element("pre", { text: command }));
  at("detail").replaceChildren(...parts);
  at("detail").hidden = false; // it has a size from here on
  beside(at("detail"), where.getBoundingClientRect());
}

function told(loss, cell, score) {
  const column = board.cells[cell];
  const best = board.losses.findIndex((one) => one.id === column.best_tuned);
  const other = best >= 0 && loss.id !== column.best_tuned ? board.scores[best][cell] : null;
  const parts = [plot(score, other, column.best_tuned)];
  for (const kind of KINDS) {
    const { mean, iqm, gain, p, word, detectable } = score[kind];
    const against = gain
      ? ` Minus ${column.best_tuned}: ${number(gain[0])} ${interval(gain)}, p (Holm) ${p}: ${word} (detectable ${number(detectable)}).`
      : " The best when tuned: what the others are compared with.";
    parts.push(element("p", { text: `${kind}: IQM ${number(iqm[0])} ${interval(iqm)}, mean ${number(mean)}.${against}` }));
  }
  const failed = score.failed ? ` Failed on ${score.failed} of ${column.units} units.` : "";
  const agents = ` Returns of the agents: original ${column.original}, target ${column.target}.`;
  parts.push(element("p", { class: "soft", text: `Settings: ${score.settings}.${failed}${agents}` }));
  return parts;
}

/** Units as dots, the inter-quartile mean with its interval as a bar; below, in blue, the best tuned loss. */
function plot(score, other, otherName) {
  const rows = [[score.sampled, "sampled", "--dot"], [score.mode, "mode", "--dot"]];
  if (other) rows.push([other.sampled, `${otherName}, sampled`, "--other"], [other.mode, `${otherName}, mode`, "--other"]);
  const all = rows.flatMap(([one]) => [...one.units, ...one.iqm.slice(1)]).filter((value) => value !== null);
  const low = Math.min(0, ...all) - 0.08, high = Math.max(1, ...all) + 0.08;
  const [wide, left, high_px] = [360, 6, 26];
  const x = (value) => left + ((value - low) / (high - low)) * (wide - 2 * left);
  const svg = [];
  for (const tick of [-1, -0.5, 0, 0.5, 1, 1.5].filter((value) => value >= low && value <= high)) {
    svg.push(`<line x1="${x(tick)}" x2="${x(tick)}" y1="0" y2="${rows.length * high_px}" stroke="var(--line)"${tick % 1 ? ' stroke-dasharray="2 3"' : ""}/>`,
      `<text x="${x(tick)}" y="${rows.length * high_px + 11}" text-anchor="middle">${number(tick, 1)}</text>`);
  }
  rows.forEach(([one, , colour], place) => {
    const y = place * high_px + 18;
    const [estimate, from, to] = one.iqm.map((value) => x(value ?? one.iqm[0]));
    svg.push(`<line x1="${from}" x2="${to}" y1="${y}" y2="${y}" stroke="var(${colour})" stroke-width="5" opacity=".45"/>`,
      ...one.units.map((value) => `<circle cx="${x(value)}" cy="${y}" r="2.6" fill="none" stroke="var(${colour})"/>`),
      `<rect x="${estimate - 1.5}" y="${y - 6}" width="3" height="12" fill="var(${colour})"/>`);
  });
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  made.setAttribute("viewBox", `0 0 ${wide} ${rows.length * high_px + 15}`);
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", `Scores of ${score.sampled.units.length} units with the 95 % interval`);
  made.innerHTML = svg.join("");
  rows.forEach(([, name], place) => {
    const label = document.createElementNS("http://www.w3.org/2000/svg", "text");
    label.setAttribute("x", left);
    label.setAttribute("y", place * high_px + 9);
    label.textContent = name;
    made.append(label);
  });
  return made;
}

/** Below the cell, above it, or at its side, wherever there is room. */
function beside(box, near) {
  const { width, height } = box.getBoundingClientRect();
  const [below, above] = [near.bottom + 6 + height < innerHeight, near.top - 6 - height > 0];
  const right = near.right + 6 + width < innerWidth ? near.right + 6 : near.left - width - 6;
  const left = below || above ? near.left : right;
  const top = below ? near.bottom + 6 : above ? near.top - height - 6 : near.top;
  box.style.left = `${Math.max(4, Math.min(left, innerWidth - width - 8))}px`;
  box.style.top = `${Math.max(4, Math.min(top, innerHeight - height - 4))}px`;
}

// --- what stands around it -----------------------------------------------------------------------------------------

function options(id, values) {
  at(id).append(...[...new Set(values)].map((value) => element("option", { value, text: value })));
}

function describe() {
  const { about, cells, losses } = board;
  const run = cells.filter((cell) => cell.run);
  const counts = run.length ? [...new Set(run.map((cell) => cell.comparisons))].join(" or ") : "";
  const tried = `${about.budget} settings tried (its published default among them) on ${about.tuning_units} tuning units`;
  at("about").textContent =
    `${losses.length} losses, ${run.length} of ${cells.length} cells run. Each loss: ` +
    `${about.tuned_from ? `settings as they were found in ${about.tuned_from} (those that it lacks: ${tried})` : tried}, then ${about.units} reporting units (${about.preset} size: ${about.rows} pairs, ${about.epochs} epochs; seed ${about.seed}). ` +
    (about.budget < 16 || about.units < 20 ? "That is small: read the intervals, not the order." : "");
  const notes = [
    "A score is the return of the policy that a loss trains, on a scale where the original agent has 0 and the target agent 1: inter-quartile mean over units with a 95 % stratified bootstrap interval. Sampled: actions drawn from the policy; mode: without action noise.",
    `▲ ahead, ▼ behind: the paired t test of means against the best tuned loss (★) has p below 0.05 after Holm's correction for the ${counts} comparisons of a cell; sampled and mode apart. No mark: not told apart. ★ had the highest score on the tuning units, before the reporting units were looked at.`,
    "The tint follows the score: warm above the original agent, cool below it.",
    "Learning curves are not kept for these cells: a score that is looked at shows its units (rings), the inter-quartile mean (bar) and its interval instead.",
    `${about.tuned_from ? "Settings that were not found elsewhere" : "Settings"} were searched by ${about.method === "fixed" ? "random draws from the published ranges, which were not extended" : "successive halving"}${about.tune.length ? `, with ${about.tune.join(" and ")}` : ""}. The luck of tuning is not in the intervals.`,
    "A loss that sees rewards or groups reads what a learner may not have.",
    `Took ${about.hours} h on ${about.device}; horizon ${about.horizon}.`,
  ];
  at("notes").replaceChildren(element("h2", { text: "How to read it" }), element("ul", {}, ...notes.map((text) => element("li", { text }))));
}

function keep(theme) {
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("mpo-theme", theme); } catch { /* a file may have no storage */ }
}

at("theme").addEventListener("click", () => {
  const now = getComputedStyle(document.documentElement).colorScheme;
  keep(now === "dark" ? "light" : "dark");
});
try { const kept = localStorage.getItem("mpo-theme"); if (kept) keep(kept); } catch { /* likewise */ }
document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
document.addEventListener("click", (event) => pinned && !event.target.closest("td.score, #detail") && hide());
at("wide").addEventListener("scroll", hide);
at("filters").addEventListener("input", () => { hide(); draw(); });
at("filters").addEventListener("submit", (event) => event.preventDefault());
options("family", board.losses.map((loss) => loss.family).sort());
options("task", board.cells.map((cell) => cell.task));
options("data", board.cells.map((cell) => cell.data));
describe();
draw();

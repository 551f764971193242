"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [LABEL, STATE, ATTEMPT, JOB, NODE, START, WAITED, RAN, CORES, GPUS, ASKED, PEAK, REQUEUES, LOGS, WORD] = Array(15).keys();
  const PAGE = 100;

  // --- times and sizes ---
  const span = (seconds) => {
    if (seconds === null) return "";
    const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
    let left = Math.round(seconds), said = [];
    for (const [name, size] of units) {
      if (left >= size && said.length < 2) { said.push(`${Math.floor(left / size)} ${name}`); left %= size; }
      else if (said.length) break;
    }
    return said.join(" ") || "0 s";
  };
  const size = (mb) => mb === null ? "" : mb < 1024 ? `${mb} MB` : `${(mb / 1024).toFixed(1)} GB`;
  const when = (seconds) => seconds === null ? "" : new Date(1000 * seconds).toLocaleString("en-GB",
    { day: "2-digit", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });
  for (const element of document.querySelectorAll("time[data-s]")) element.textContent = when(Number(element.dataset.s));

  // --- charts ---
  const embed = (element) => {
    const spec = data.charts[element.dataset.chart];
    if (!spec) { element.textContent = "Nothing has run yet."; return; }
    const page = Math.max(320, element.clientWidth - (spec.facet ? 175 : 80));
    for (const part of [spec, spec.spec, ...(spec.vconcat ?? [])]) if (part?.width === "page") part.width = page;
    if (spec.width === "container") { spec.width = Math.max(320, element.clientWidth - 24, spec.usermeta?.least ?? 0); spec.autosize = { type: "fit-x", contains: "padding" }; }
    return window.vegaEmbed(element, spec, { actions: { export: true, source: false, compiled: false, editor: false }, renderer: "canvas", logLevel: 1 })
      .catch((error) => { console.error(error); element.textContent = `This chart cannot be drawn: ${error.message}`; });
  };
  // --- table ---
  const rows = data.rows.concat(data.never.map(([label, state, why]) => [label, state, "", "", "", null, null, null, "", "", null, null, 0, [], why]));
  const rule = (row) => row[LABEL].split("[", 1)[0];
  const columns = [
    ["task", (row) => row[LABEL], "task"],
    ["state", (row) => data.states[row[STATE]]],
    ["attempt", (row) => row[ATTEMPT], "number"],
    ["Slurm job", (row) => row[JOB]],
    ["node", (row) => row[NODE], "nowrap"],
    ["started", (row) => row[START], "nowrap", when],
    ["in the queue", (row) => row[WAITED], "number", span],
    ["ran", (row) => row[RAN], "number", span],
    ["cores", (row) => row[CORES], "number"],
    ["GPUs", (row) => row[GPUS], "number"],
    ["memory", (row) => row[PEAK], "number", (peak, row) => row[START] === null ? "" : row[ASKED] === null ? size(peak) : `${size(peak) || "?"} of ${size(row[ASKED])}`],
    ["logs", (row) => row[LOGS].length],
  ].filter(([name, value]) => (name !== "GPUs" || rows.some((row) => value(row))) && (name !== "attempt" || rows.some((row) => value(row) > 1)));
  const words = rows.map((row) => [row[LABEL], data.states[row[STATE]], row[JOB], row[NODE], row[WORD]].join(" ").toLowerCase());
  const search = document.getElementById("search"), state = document.getElementById("state"), rules = document.getElementById("rule");
  const body = document.querySelector("#table tbody"), more = document.getElementById("more"), count = document.getElementById("count");
  const option = (select, value, text) => { const made = document.createElement("option"); made.value = value; made.textContent = text; select.append(made); };
  for (const [number, name] of data.states.entries()) {
    const many = rows.filter((row) => row[STATE] === number).length;
    if (many) option(state, number, `${name} (${many})`);
  }
  for (const name of new Set(rows.map(rule))) option(rules, name, name);
  let order = null, falling = false, found = [], shown = 0;

  const cell = (row, [name, value, kind, text]) => {
    const made = document.createElement("td");
    if (kind) made.className = kind;
    if (name === "logs") {
      row[LOGS].forEach((href, number) => {
        const link = document.createElement("a");
        link.href = href;
        link.textContent = number ? "rule's log" : "log";
        if (number) made.append(" · ");
        made.append(link);
      });
      return made;
    }
    if (name === "state") {
      const dot = document.createElement("span");
      dot.className = "dot";
      dot.style.background = data.colours[row[STATE]];
      made.className = "nowrap";
      made.title = row[WORD];
      made.append(dot);
    }
    const known = value(row);
    made.append(text ? text(known, row) : known);
    if (name === "task" && row[REQUEUES]) made.append(` (requeued ${row[REQUEUES]}×)`);
    return made;
  };
  const extend = () => {
    const piece = document.createDocumentFragment();
    for (const row of found.slice(shown, shown + PAGE)) {
      const line = document.createElement("tr");
      line.append(...columns.map((column) => cell(row, column)));
      piece.append(line);
    }
    body.append(piece);
    shown = Math.min(found.length, shown + PAGE);
    more.hidden = shown >= found.length;
    count.textContent = `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")}`;
  };
  const compare = (one, other) => {
    if (one === other) return 0;
    if (one === null || one === "") return 1;
    if (other === null || other === "") return -1;
    const rising = typeof one === "number" && typeof other === "number" ? one - other
      : String(one).localeCompare(String(other), "en", { numeric: true });
    return falling ? -rising : rising;
  };
  const filter = () => {
    const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    found = rows.filter((row, number) => (state.value === "" || row[STATE] === Number(state.value))
      && (rules.value === "" || rule(row) === rules.value) && wanted.every((word) => words[number].includes(word)));
    if (order) found.sort((one, other) => compare(order[1](one), order[1](other)));
    body.replaceChildren();
    shown = 0;
    extend();
  };
  const head = document.createElement("tr");
  for (const column of columns) {
    const made = document.createElement("th");
    made.textContent = column[0];
    if (column[2]) made.className = column[2];
    made.title = "Sort";
    made.addEventListener("click", () => { falling = order === column && !falling; order = column; filter(); });
    head.append(made);
  }
  document.querySelector("#table thead").append(head);
  search.addEventListener("input", filter);
  state.addEventListener("change", filter);
  rules.addEventListener("change", filter);
  more.addEventListener("click", extend);
  filter();

  (async () => { for (const element of document.querySelectorAll("[data-chart]")) await embed(element); })();
})();

"use strict";
// Filters and sorts rows that are there already. It makes no markup: names go into the page as text alone.
(() => {
  const table = document.getElementById("log");
  const form = document.getElementById("filter");
  if (!table || !form) return;
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row, place) => ({
    row, place, text: row.textContent.toLowerCase(),
    verdict: row.className === "d" ? "denied" : "allowed",
    caller: row.cells[2].dataset.v, route: row.cells[4].dataset.v,
  }));
  const part = (name) => document.getElementById("filter-" + name);
  const [text, verdict, caller, route, clear, said] =
    ["text", "verdict", "caller", "route", "clear", "said"].map(part);

  const offer = (select, names) => {
    for (const name of Array.from(new Set(names)).sort()) {
      const option = document.createElement("option");
      option.value = name;
      option.textContent = name.length > 60 ? name.slice(0, 60) + "..." : name;
      select.append(option);
    }
  };
  offer(caller, rows.map((row) => row.caller));
  offer(route, rows.map((row) => row.route));

  const filter = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const it of rows) {
      const suits = (!verdict.value || it.verdict === verdict.value) &&
        (!caller.value || it.caller === caller.value) &&
        (!route.value || it.route === route.value) &&
        words.every((word) => it.text.includes(word));
      it.row.hidden = !suits;
      shown += suits;
    }
    said.textContent = shown === rows.length ? "all rows" : shown + " of " + rows.length + " rows";
  };

  const value = (it, column) => {
    const cell = it.row.cells[column];
    return "v" in cell.dataset ? cell.dataset.v : cell.textContent;
  };
  const compare = (a, b, numbers) => numbers ? (a === "" ? -1 : +a) - (b === "" ? -1 : +b) : a < b ? -1 : a > b ? 1 : 0;
  const heads = Array.from(table.tHead.rows[0].cells);
  const sort = (head, column) => {
    const up = head.getAttribute("aria-sort") === "descending";
    for (const other of heads) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const numbers = head.className === "n";
    const sign = up ? 1 : -1;
    const keyed = rows.map((it) => [value(it, column), it]);
    keyed.sort(([a, x], [b, y]) => sign * compare(a, b, numbers) || x.place - y.place);
    body.append(...keyed.map(([, it]) => it.row));
  };
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    button.addEventListener("click", () => sort(head, column));
    // On paper stands the name alone: a head that is repeated on each page has no buttons.
    const name = document.createElement("span");
    name.className = "name";
    name.textContent = head.textContent;
    head.replaceChildren(name, button);
  });

  for (const control of [text, verdict, caller, route]) control.addEventListener("input", filter);
  clear.addEventListener("click", () => {
    text.value = verdict.value = caller.value = route.value = "";
    filter();
    text.focus();
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") clear.click();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.altKey || event.metaKey || event.target.closest("input, select")) return;
    event.preventDefault();
    text.focus();
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
})();

"use strict";
// What a mark says, beside the pointer or the finger.
const tells = document.createElement("div");
tells.id = "tells";
tells.hidden = true;
tells.setAttribute("role", "status");
document.body.append(tells);
const tell = (event) => {
  const mark = event.target.closest && event.target.closest("[data-tells]");
  tells.hidden = !mark;
  if (!mark) return;
  tells.textContent = mark.dataset.tells;
  const { width, height } = tells.getBoundingClientRect();
  tells.style.left = Math.max(4, Math.min(event.clientX + 12, innerWidth - width - 8)) + "px";
  tells.style.top = (event.clientY + 16 + height > innerHeight ? event.clientY - height - 10 : event.clientY + 16) + "px";
};
document.addEventListener("pointermove", tell);
document.addEventListener("pointerdown", tell);

// Tables: sorted by the column whose head is pressed, filtered by what is typed.
const LONG = 8;
const number = (text) => parseFloat(text.replace(/[^\d.+\-−e].*$/, "").replace("−", "-"));
const compare = (a, b) => {
  const [x, y] = [number(a), number(b)];
  if (!isNaN(x) && !isNaN(y)) return x - y;
  return !isNaN(x) ? -1 : !isNaN(y) ? 1 : a.localeCompare(b);
};
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  if (!body || body.rows.length < 2) continue;
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const text = (row) => row.cells[column].textContent.trim();
      body.append(...[...body.rows].sort((a, b) => (down ? -1 : 1) * compare(text(a), text(b))));
    });
  });
  if (body.rows.length <= LONG) continue;
  const filter = document.createElement("input");
  filter.className = "filter";
  filter.type = "search";
  filter.placeholder = "filter rows";
  filter.setAttribute("aria-label", "filter the rows of the table below");
  filter.addEventListener("input", () => {
    for (const row of body.rows) row.hidden = !row.textContent.toLowerCase().includes(filter.value.toLowerCase());
  });
  table.before(filter);
}

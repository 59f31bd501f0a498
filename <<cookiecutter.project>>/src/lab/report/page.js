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

// Lines through several scales: where one drags along a scale, only those stay that pass there.
const SVG = "http://www.w3.org/2000/svg";
const rectangle = (name, x, y, height) => {
  const made = document.createElementNS(SVG, "rect");
  for (const [key, value] of Object.entries({ class: name, x: x - 9, y, width: 18, height })) made.setAttribute(key, value);
  return made;
};
for (const drawing of document.querySelectorAll("svg.figure")) {
  const threads = [...drawing.querySelectorAll("[data-thread]")].map((line) => {
    const numbers = line.querySelector("path").getAttribute("d").match(/-?[\d.]+/g).map(Number);
    return { line, xs: numbers.filter((_, i) => i % 2 === 0), ys: numbers.filter((_, i) => i % 2) };
  });
  if (!threads.length) continue;
  const heights = threads.flatMap((thread) => thread.ys);
  const [top, bottom] = [Math.min(...heights), Math.max(...heights)];
  const picked = new Map(); // of each scale by its place: the ends
  const passing = document.createElement("p");
  passing.className = "caption passing";
  passing.setAttribute("role", "status");
  drawing.parentElement.after(passing);
  const show = () => {
    drawing.querySelectorAll(".picked").forEach((old) => old.remove());
    for (const [i, [a, b]] of picked) drawing.append(rectangle("picked", threads[0].xs[i], a, b - a));
    const stays = ({ ys }) => [...picked].every(([i, [a, b]]) => ys[i] >= a - 1 && ys[i] <= b + 1);
    for (const thread of threads) thread.line.classList.toggle("out", !stays(thread));
    const count = threads.filter(stays).length;
    const all = "Drag along a scale to keep the lines that pass there.";
    passing.textContent = picked.size ? `${count} of ${threads.length} pass there. A click on the scale lifts it.` : all;
  };
  threads[0].xs.forEach((x, i) => {
    const scale = rectangle("scale", x, top - 6, bottom - top + 12);
    const at = (event) => new DOMPoint(event.clientX, event.clientY).matrixTransform(drawing.getScreenCTM().inverse()).y;
    let start = null;
    scale.addEventListener("pointerdown", (event) => {
      start = at(event);
      scale.setPointerCapture(event.pointerId);
      picked.delete(i);
      show();
    });
    scale.addEventListener("pointermove", (event) => {
      if (start === null) return;
      const ends = [start, at(event)].sort((a, b) => a - b);
      if (ends[1] - ends[0] > 3) picked.set(i, ends);
      show();
    });
    for (const end of ["pointerup", "pointercancel"]) scale.addEventListener(end, () => (start = null));
    drawing.append(scale);
  });
  show();
}

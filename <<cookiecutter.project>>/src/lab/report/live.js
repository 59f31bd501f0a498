"use strict";
// The live page of `lab ui`: asks for what `lab status --json` prints, again and again, and shows it.
const PAUSE = 2000; // milliseconds
const SVG = "http://www.w3.org/2000/svg";
const make = (tag, properties, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const drawn = (tag, attributes, ...children) => {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
};
const short = (value) => (Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4))));
// Numbers of one column, with decimals alike.
const alike = (values) => {
  const texts = values.map(short);
  const places = Math.max(...texts.map((text) => (text.split(".")[1] || "").length));
  return texts.some((text) => text.includes("e")) ? short : (value) => value.toFixed(places);
};
const clock = (seconds) => {
  const [whole, two] = [Math.round(seconds), (part) => String(part).padStart(2, "0")];
  return `${Math.floor(whole / 3600)}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
};
const counted = (runs) => {
  const counts = new Map();
  for (const run of runs) counts.set(run.status, (counts.get(run.status) || 0) + 1);
  return [...counts].map(([status, count]) => `${count} ${status}`).join(", ");
};
const table = (heads, rows) => {
  const row = (tag, cells) => make("tr", {}, ...cells.map((cell) => make(tag, {}, cell)));
  return make("table", {}, make("thead", {}, row("th", heads)), make("tbody", {}, ...rows.map((cells) => row("td", cells))));
};

// Its interval on the scale that all arms share.
const interval = (arm, low, high) => {
  const at = (value) => 4 + (112 * (value - low)) / (high - low || 1);
  const marks = [drawn("circle", { cx: at(arm.mean), cy: 8, r: 4 })];
  if (arm.low !== null) marks.unshift(drawn("path", { d: `M${at(arm.low)} 8H${at(arm.high)}` }));
  return drawn("svg", { class: "interval", width: 120, height: 16, "aria-hidden": "true" }, ...marks);
};
const standings = (arms, metric) => {
  const ends = arms.flatMap((arm) => [arm.low ?? arm.mean, arm.high ?? arm.mean]);
  const [low, high] = [Math.min(...ends), Math.max(...ends)];
  const written = alike(ends);
  const told = (arm) => written(arm.mean) + (arm.low === null ? "" : ` [${written(arm.low)},\u00a0${written(arm.high)}]`);
  const rows = arms.map((arm) => [arm.arm, `${arm.seeds}/${arm.of}`, told(arm), interval(arm, low, high)]);
  return table(["arm so far", "seeds", metric, ""], rows);
};

const opened = new Set(); // the logs that somebody reads
const logs = (design, run) => {
  const name = `${design} ${run.arm} ${run.seed}`;
  const log = make("details", { open: opened.has(name) });
  log.append(make("summary", {}, `${run.arm}, seed ${run.seed}: what it printed last`), make("pre", {}, run.at.log.join("\n")));
  log.addEventListener("toggle", () => (log.open ? opened.add(name) : opened.delete(name)));
  return log;
};
const running = (runs) =>
  runs.map(({ arm, seed, at }) => {
    const bar = at.epochs ? make("progress", { max: at.epochs, value: at.epoch }) : "";
    if (bar) bar.setAttribute("aria-label", `epochs of ${arm}, seed ${seed}`);
    const epoch = at.epoch ? ` ${at.epoch}/${at.epochs || "?"}` : "";
    const metrics = Object.entries(at.metrics).map(([name, value]) => `${name} ${short(value)}`);
    const left = at.seconds === null ? "" : `${clock(at.seconds)} left`;
    return [arm, `seed ${seed}`, bar, `${at.stage}${epoch}${at.node && ` on ${at.node}`}`, metrics.join(", "), left];
  });
const section = (stand) => {
  const parts = [make("h2", {}, stand.title || stand.design), make("p", {}, make("code", {}, stand.design))];
  if (stand.answer) {
    const badge = make("strong", { className: `badge ${stand.answer.outcome.split(" ")[0]}` }, stand.answer.outcome);
    parts.push(make("p", { className: "answer" }, badge, " ", stand.answer.sentence));
  }
  const waves = [...new Set(stand.runs.map((run) => run.wave))].sort((a, b) => a - b);
  for (const [place, wave] of waves.entries()) {
    const label = waves.length > 1 ? `wave ${place + 1}/${waves.length}: ` : "";
    parts.push(make("p", { className: "wave" }, label + counted(stand.runs.filter((run) => run.wave === wave))));
  }
  if (stand.seconds) parts.push(make("p", { className: "left" }, `about ${clock(stand.seconds)} to go`));
  const now = stand.runs.filter((run) => run.at);
  if (now.length) parts.push(table(["running", "", "", "stage", "", ""], running(now)));
  if (stand.arms.length) parts.push(standings(stand.arms, stand.metric));
  parts.push(...now.filter((run) => run.at.log.length).map((run) => logs(stand.design, run)));
  return make("section", {}, ...parts);
};

const [state, designs] = [document.querySelector("#state"), document.querySelector("#designs")];
const told = (text) => {
  if (state.textContent !== text) state.textContent = text; // it is read aloud where it changes
};
const known = new Map(); // what was at work since the page was opened stays, with its answer
const asked = async (address) => {
  const answer = await fetch(address);
  const found = await answer.json();
  if (found.error) throw new Error(found.error);
  return found;
};
const look = async () => {
  if (document.hidden) return;
  try {
    const overview = await asked("status.json");
    for (const name of new Set([...known.keys(), ...Object.keys(overview.designs)]))
      known.set(name, await asked(`status.json?design=${encodeURIComponent(name)}`));
    designs.replaceChildren(...[...known.values()].map(section));
    const workers = Object.values(overview.workers).reduce((sum, count) => sum + (count || 0), 0);
    const runs = [...known.values()].flatMap((stand) => stand.runs);
    const number = runs.filter((run) => run.at).length;
    const count = (what, many) => `${many} ${what}${many === 1 ? "" : "s"}`;
    told(number || workers ? `${count("run", number)} under way, ${count("worker", workers)}` : "Nothing runs. lab run DESIGN starts what is shown here.");
    document.title = number ? `${number} running` : "Runs as they go on";
  } catch (error) {
    told(error instanceof TypeError ? "lab ui has ended: this is how it stood." : error.message);
  }
};
const again = () => look().finally(() => setTimeout(again, PAUSE));
again();
document.addEventListener("visibilitychange", look);

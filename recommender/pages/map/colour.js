/* Colour by column, and its legend. */
const PALETTE = ["#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#e8833a", "#5b5bd6", "#1f9e89", "#b5651d",
  "#d64f9b", "#7fb800", "#0d8fbf", "#a67c00", "#c0392b", "#6c8ebf", "#8e44ad", "#2e8b57", "#d4a017", "#708090"];
const OTHER = "#9b958c88";
/* Viridis: even steps for the eye, and for those who do not see all colours. */
const RAMP = ["#440154", "#482173", "#433e85", "#38598c", "#2d708e", "#25858e", "#1e9b8a", "#2ab07f", "#52c569", "#86d549", "#c2df23", "#fde725"];
const STEPS = RAMP.length;
let colours = new Uint8Array(n), inks = [PALETTE[0]];

const shownValue = (kind, value) => (kind === "date" ? new Date(value * 1000).toISOString().slice(0, 10) : number.format(value));
const nameOf = (position) => data.columns[position]?.name.replaceAll("_", " ");
const fieldsOf = (i) => data.columns
  .map((c, position) => [nameOf(position), c.kind === "category" ? c.values[c.codes[i]] : c.numbers[i] === null ? null : shownValue(c.kind, c.numbers[i])])
  .filter(([, value]) => value != null && value !== "");

function colourBy(position) {
  column = position; picked = null;
  const chosen = data.columns[position];
  $("#legend").replaceChildren(); $("#values").replaceChildren();
  $("#key").hidden = chosen?.kind !== "category";
  if (!chosen) { colours.fill(0); inks = [PALETTE[0]]; } else if (chosen.kind === "category") colourByValue(chosen); else colourByNumber(chosen);
  draw();
}
function colourByValue({ values, codes, counts }) {
  inks = [...PALETTE.slice(0, values.length), OTHER];
  const other = inks.length - 1;
  colours = Uint8Array.from(codes, (code) => (code < 0 || code >= PALETTE.length ? other : code));
  $("#key summary").textContent = `${number.format(values.length)} value${values.length === 1 ? "" : "s"}`;
  $("#values").replaceChildren(...values.slice(0, 200).map((value, code) => {
    const button = make("button", { title: value }, make("i"), make("span", { textContent: value }), make("small", { textContent: number.format(counts[code]) }));
    button.firstChild.style.background = inks[Math.min(code, other)];
    button.setAttribute("aria-pressed", false);
    button.onclick = () => {
      picked = picked === code ? null : code;
      for (const each of $("#values").children) each.firstChild.setAttribute("aria-pressed", picked !== null && each.firstChild === button);
      draw();
    };
    return make("li", {}, button);
  }));
}
function colourByNumber({ kind, numbers }) {
  const known = numbers.filter((value) => value !== null).sort((a, b) => a - b);
  const cuts = Array.from({ length: STEPS - 1 }, (_, i) => known[Math.floor(((i + 1) * known.length) / STEPS)]);
  inks = [...RAMP, OTHER];
  colours = Uint8Array.from(numbers, (value) => { if (value === null) return STEPS; let step = 0; while (step < STEPS - 1 && value >= cuts[step]) step++; return step; });
  const scale = make("div", { className: "scale" }), ends = make("div", { className: "ends" });
  scale.style.background = `linear-gradient(to right, ${RAMP.join()})`;
  for (const value of known.length ? [known[0], known[Math.floor(known.length / 2)], known[known.length - 1]] : []) ends.append(make("span", { textContent: shownValue(kind, value) }));
  $("#legend").replaceChildren(scale, ends);
}
$("#column").append(...data.columns.map((_, position) => new Option(nameOf(position), position)));
$("#column").onchange = (event) => colourBy(+event.target.value);

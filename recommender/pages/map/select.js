/* Search, the list of products shown, the lasso, and the selection's export. */
let lowered = null, lasso = null;
$("#search").oninput = (event) => {
  const words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
  lowered ??= data.ids.map((id, i) => `${id} ${data.titles?.[i] ?? ""}`.toLowerCase());
  matches = words.length ? Uint8Array.from(lowered, (text) => (words.every((word) => text.includes(word)) ? 1 : 0)) : null;
  const count = matches ? matches.reduce((sum, hit) => sum + hit, 0) : 0;
  $("#found").hidden = !matches;
  $("#found").textContent = `${number.format(count)} found${count ? "; Enter shows where" : ""}`;
  draw();
};
function clearSearch() { $("#search").value = ""; $("#search").oninput({ target: $("#search") }); fitAll(); }
function showFound() {
  const found = matches ? positionsOf(isShown) : [];
  if (found.length) { fit(found); hover(found.length === 1 ? found[0] : -1); }
}

/* The products of the map as buttons, for keyboards and screen readers: those in view, or those found. */
const LISTED = 100;
function listShown(seen) {
  const shown = matches || selection ? positionsOf(isShown) : seen;
  const label = `List: ${number.format(shown.length)} ${matches || selection ? "products" : "products in view"}`;
  if ($("#listing summary").textContent !== label) $("#listing summary").textContent = label;
  const listed = $("#listing").open ? shown.slice(0, LISTED) : [], key = listed.join();
  if ($("#list").dataset.key === key) return;
  $("#list").dataset.key = key;
  $("#list").replaceChildren(...listed.map((i) => productButton(i, 0)));
}
$("#listing").ontoggle = draw;

function drawLasso() {
  if (!lasso) return;
  pen.beginPath(); lasso.forEach(([x, y]) => pen.lineTo(x, y)); pen.closePath();
  pen.fillStyle = dark.matches ? "#ffffff14" : "#0000000f"; pen.fill();
  pen.strokeStyle = dark.matches ? "#fff" : "#000"; pen.lineWidth = 1.5; pen.setLineDash([5, 4]); pen.stroke(); pen.setLineDash([]);
}
/* Even-odd rule: a ray from the point crosses the outline an odd number of times. */
function isInside(x, y, outline) {
  let inside = false;
  outline.forEach(([x1, y1], at) => {
    const [x0, y0] = outline.at(at - 1);
    if (y0 > y !== y1 > y && x < x0 + ((x1 - x0) * (y - y0)) / (y1 - y0)) inside = !inside;
  });
  return inside;
}
function armLasso(armed) { $("#lasso").setAttribute("aria-pressed", armed); canvas.classList.toggle("lasso", armed); }
const isLassoArmed = () => canvas.classList.contains("lasso");
function endLasso() {
  const outline = lasso;
  lasso = null; armLasso(false);
  if (outline.length > 2) select(positionsOf((i) => passes(i) && isInside(screenX(i), screenY(i), outline)));
  draw();
}

function select(some) {
  selection = some.length ? new Uint8Array(n) : null;
  for (const i of some) selection[i] = 1;
  $("#selection").hidden = !selection;
  $("#selected").textContent = `${number.format(some.length)} selected`;
  draw();
}
const selectedIds = () => data.ids.filter((_, i) => selection?.[i]);
async function copy(text, what) {
  try { await navigator.clipboard.writeText(text); $("#selected").textContent = `Copied ${what} of ${number.format(selectedIds().length)} products`; }
  catch { $("#selected").textContent = "The browser does not let this page copy; Download has the ids"; }
}
$("#copy-ids").onclick = () => copy(selectedIds().join("\n"), "the ids");
$("#copy-filter").onclick = () => copy(JSON.stringify({ ids: selectedIds() }), "a filter");
$("#download").onclick = () => {
  const href = URL.createObjectURL(new Blob([selectedIds().join("\n") + "\n"], { type: "text/plain" }));
  make("a", { href, download: "ids.txt" }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000);
};
$("#clear").onclick = () => select([]);
$("#lasso").onclick = () => armLasso(!isLassoArmed());

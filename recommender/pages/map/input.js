/* Pointer and keyboard, and the first picture. */
const pointers = new Map();
let travelled = 0; // pixels since the pointer went down: a click travels little
canvas.onpointerdown = (event) => {
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, event);
  travelled = 0;
  lasso = (isLassoArmed() || event.shiftKey) && pointers.size === 1 ? [[event.clientX, event.clientY]] : null;
  if (lasso) hover(-1);
};
canvas.onpointerup = (event) => {
  pointers.delete(event.pointerId);
  if (lasso && travelled > 4) endLasso();
  else if (travelled <= 4 && !pointers.size) {
    lasso = null;
    const i = nearest(event.clientX, event.clientY);
    if (i >= 0) openProduct(i); else closeProduct();
  }
};
canvas.onpointercancel = (event) => { pointers.delete(event.pointerId); lasso = null; draw(); };
canvas.onpointerleave = () => { if (!pointers.size) hover(-1); };
canvas.onpointermove = (event) => {
  const before = pointers.get(event.pointerId);
  if (!before) { hover(nearest(event.clientX, event.clientY)); return; }
  const other = [...pointers.values()].find((each) => each.pointerId !== event.pointerId);
  const moved = [event.clientX - before.clientX, event.clientY - before.clientY];
  travelled += Math.hypot(...moved) + (other ? 5 : 0);
  if (other) {
    const reach = (each) => Math.hypot(each.clientX - other.clientX, each.clientY - other.clientY);
    lasso = null;
    zoom(reach(event) / (reach(before) || 1), other.clientX, other.clientY);
  } else if (lasso) { lasso.push([event.clientX, event.clientY]); draw(); } else pan(...moved);
  pointers.set(event.pointerId, event);
  if (hovered >= 0) showTip();
};
canvas.addEventListener("wheel", (event) => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), event.clientX, event.clientY); hover(nearest(event.clientX, event.clientY)); }, { passive: false });

function escape() {
  if (lasso || isLassoArmed()) { lasso = null; armLasso(false); draw(); }
  else if (opened >= 0) closeProduct();
  else if (document.activeElement === $("#search") || matches) clearSearch();
  else if (selection) select([]);
}
const KEYS = {
  ArrowLeft: () => pan(60, 0), ArrowRight: () => pan(-60, 0), ArrowUp: () => pan(0, 60), ArrowDown: () => pan(0, -60),
  "+": () => zoom(1.4), "=": () => zoom(1.4), "-": () => zoom(1 / 1.4), 0: fitAll,
  "/": () => $("#search").focus(), l: () => armLasso(!isLassoArmed()), Escape: escape,
};
document.onkeydown = (event) => {
  const typing = event.target.matches("input, select");
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target === $("#search") && event.key === "Enter") showFound();
  else if (KEYS[event.key] && (!typing || event.key === "Escape")) KEYS[event.key]();
  else return;
  event.preventDefault();
};
$("#in").onclick = () => zoom(1.4);
$("#out").onclick = () => zoom(1 / 1.4);
$("#fit").onclick = fitAll;

addEventListener("resize", resize);
dark.addEventListener("change", draw);
const first = Math.max(0, data.columns.findIndex(({ name }) => name === "product_type"));
$("#column").value = first;
if (innerWidth <= 640) $("#key").open = false;
colourBy(first);
resize();
fitAll();

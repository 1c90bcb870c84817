/* The products, the view, and what is drawn: points, photos, labels. */
const $ = (selector) => document.querySelector(selector);
const data = JSON.parse($("#products").textContent);
const n = data.ids.length, coordinates = Uint16Array.from(data.coordinates), grid = data.grid;
const canvas = $("#map"), pen = canvas.getContext("2d");
const dark = matchMedia("(prefers-color-scheme: dark)");
const number = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });
const view = { x: 0, y: 0, scale: 1, fitted: 1 };
const make = (tag, properties = {}, ...children) => { const made = Object.assign(document.createElement(tag), properties); made.append(...children); return made; };
const titleOf = (i) => data.titles?.[i] || data.ids[i];
const neighboursOf = (i) => data.neighbours.slice(i * data.k, (i + 1) * data.k).filter((j) => j >= 0);

/* What is emphasized: products of the picked value that match the search and are in the selection. */
let column = 0, picked = null, matches = null, selection = null, hovered = -1, opened = -1, due = false;
const passes = (i) => (picked === null || data.columns[column].codes[i] === picked) && (matches === null || matches[i] === 1);
const isShown = (i) => passes(i) && (selection === null || selection[i] === 1);
const positionsOf = (predicate) => Array.from({ length: n }, (_, i) => i).filter(predicate);

/* A grid index: points are sorted by cell, so that the nearest to the pointer is found without a scan. */
const CELLS = 128, cellOf = (v) => Math.min(CELLS - 1, Math.floor((v / (grid + 1)) * CELLS));
const starts = new Uint32Array(CELLS * CELLS + 1), sorted = new Uint32Array(n);
{
  const cell = (i) => cellOf(coordinates[2 * i + 1]) * CELLS + cellOf(coordinates[2 * i]);
  for (let i = 0; i < n; i++) starts[cell(i) + 1]++;
  for (let c = 0; c < CELLS * CELLS; c++) starts[c + 1] += starts[c];
  const next = starts.slice();
  for (let i = 0; i < n; i++) sorted[next[cell(i)]++] = i;
}
const screenX = (i) => (coordinates[2 * i] / grid) * view.scale + view.x;
const screenY = (i) => (coordinates[2 * i + 1] / grid) * view.scale + view.y;
function* within(left, top, right, bottom) {
  const to = (value, origin) => Math.max(0, Math.min(grid, ((value - origin) / view.scale) * grid));
  const [x0, x1] = [cellOf(to(left, view.x)), cellOf(to(right, view.x))];
  for (let y = cellOf(to(top, view.y)); y <= cellOf(to(bottom, view.y)); y++)
    for (let at = starts[y * CELLS + x0]; at < starts[y * CELLS + x1 + 1]; at++) yield sorted[at];
}
function nearest(x, y, reach = 16) {
  let best = -1, least = reach ** 2;
  for (const i of within(x - reach, y - reach, x + reach, y + reach)) {
    const away = (screenX(i) - x) ** 2 + (screenY(i) - y) ** 2;
    if (away < least && isShown(i)) [best, least] = [i, away];
  }
  return best;
}

/* A sprite sheet is decoded when one of its tiles is first drawn. */
const SHEETS = document.querySelectorAll(".sheet"), decoded = [];
function sheetOf(i) {
  const place = Math.floor(i / data.side ** 2);
  if (!decoded[place] && SHEETS[place]) {
    const image = (decoded[place] = new Image());
    image.src = "data:image/webp;base64," + SHEETS[place].textContent;
    image.ready = image.decode();
    image.ready.then(draw);
  }
  return decoded[place];
}
function drawTile(target, i, x, y, size) {
  const sheet = data.has_image[i] && sheetOf(i);
  if (!sheet || !sheet.complete) return false;
  const tile = i % data.side ** 2, [left, top] = [tile % data.side, Math.floor(tile / data.side)];
  target.drawImage(sheet, left * data.tile, top * data.tile, data.tile, data.tile, x, y, size, size);
  return true;
}
/* Draws a product's photo into a canvas of its own, once the sheet is decoded. */
function showPhoto(target, i) {
  target.hidden = !data.has_image[i];
  target.dataset.product = i;
  const brush = target.getContext("2d");
  brush.clearRect(0, 0, target.width, target.height);
  if (data.has_image[i]) sheetOf(i).ready.then(() => { if (+target.dataset.product === i) drawTile(brush, i, 0, 0, target.width); });
  return target;
}

const PHOTOS = 300, DISCS = 4000; // as many products in view are drawn as photos, and of one colour as discs
function draw() { if (!due) { due = true; requestAnimationFrame(paint); } }
function paint() {
  due = false;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  pen.clearRect(0, 0, width, height);
  const seen = [], faint = [];
  for (const i of within(-40, -40, width + 40, height + 40)) (isShown(i) ? seen : faint).push(i);
  const size = Math.max(2, Math.min(7, 1.4 * Math.sqrt(view.scale / Math.sqrt(n)) / 1.6));
  pen.fillStyle = dark.matches ? "#34312e" : "#dfdad2";
  drawDots(faint, size);
  const byInk = inks.map(() => []);
  for (const i of seen) byInk[colours[i]].push(i);
  byInk.forEach((some, ink) => {
    pen.fillStyle = inks[ink];
    drawDots(some, size);
  });
  if (seen.length <= PHOTOS) drawPhotos(seen);
  drawLabels();
  if (opened >= 0) drawNeighbours(opened);
  for (const i of [opened, hovered]) if (i >= 0) ring(i, size + 3);
  drawLasso();
  listShown(seen);
}
function drawDots(some, size) {
  if (some.length > DISCS) for (const i of some) pen.fillRect(screenX(i) - size / 2, screenY(i) - size / 2, size, size);
  else {
    pen.beginPath();
    for (const i of some) { pen.moveTo(screenX(i), screenY(i)); pen.arc(screenX(i), screenY(i), size / 2 + 0.4, 0, 7); }
    pen.fill();
  }
}
/* Photos that would hide half of another stay dots. */
function drawPhotos(seen) {
  const side = Math.max(28, Math.min(data.tile, Math.sqrt((canvas.clientWidth * canvas.clientHeight) / Math.max(seen.length, 1)) / 2)), drawn = [];
  for (const i of seen) {
    const [x, y] = [screenX(i) - side / 2, screenY(i) - side / 2];
    if (drawn.some(([x0, y0]) => Math.abs(x - x0) < side * 0.7 && Math.abs(y - y0) < side * 0.7) || !drawTile(pen, i, x, y, side)) continue;
    drawn.push([x, y]);
    pen.strokeStyle = inks[colours[i]]; pen.lineWidth = 2; pen.strokeRect(x, y, side, side);
  }
}
function ring(i, radius) {
  pen.strokeStyle = dark.matches ? "#fff" : "#000"; pen.lineWidth = 2;
  pen.beginPath(); pen.arc(screenX(i), screenY(i), radius, 0, 7); pen.stroke();
}
function drawNeighbours(i) {
  pen.strokeStyle = dark.matches ? "#ffffff90" : "#00000070"; pen.lineWidth = 1.2;
  for (const j of neighboursOf(i)) { pen.beginPath(); pen.moveTo(screenX(i), screenY(i)); pen.lineTo(screenX(j), screenY(j)); pen.stroke(); }
}

/* Labels of regions: a level has four times the regions of the one before, and fades into it as the view is doubled. */
const FINEST = Math.max(0, ...data.labels.map((label) => label.level));
data.labels.sort((a, b) => b.n - a.n);
const opacityOf = (level) => {
  const zoomed = Math.log2(view.scale / view.fitted) - 0.5, wanted = Math.max(0, Math.min(FINEST, zoomed));
  return Math.max(0, Math.min(1, 1.5 - 2 * Math.abs(level - wanted), 4.5 + FINEST - zoomed));
};
function drawLabels() {
  const style = getComputedStyle(document.body), taken = [];
  pen.textAlign = "center"; pen.textBaseline = "middle"; pen.lineJoin = "round"; pen.lineWidth = 4;
  pen.fillStyle = style.color; pen.strokeStyle = style.backgroundColor;
  for (const label of data.labels) {
    pen.globalAlpha = opacityOf(label.level);
    if (!pen.globalAlpha) continue;
    const height = 17 - 2 * Math.min(label.level, 2);
    pen.font = `600 ${height}px ${style.fontFamily}`;
    const half = pen.measureText(label.text).width / 2 + 6, y = label.y * view.scale + view.y;
    let x = label.x * view.scale + view.x;
    if (x < 0 || x > canvas.clientWidth || y < 0 || y > canvas.clientHeight) continue;
    x = Math.max(half, Math.min(canvas.clientWidth - half, x));
    const box = [x - half, y - height, x + half, y + height];
    if (taken.some(([x0, y0, x1, y1]) => box[0] < x1 && box[2] > x0 && box[1] < y1 && box[3] > y0)) continue;
    taken.push(box);
    pen.strokeText(label.text, x, y); pen.fillText(label.text, x, y);
  }
  pen.globalAlpha = 1;
}

/* What the panels leave free of the window. */
function room() {
  const [width, height] = [canvas.clientWidth, canvas.clientHeight], narrow = width <= 640;
  const panel = $(".panel").getBoundingClientRect(), product = $("#product").getBoundingClientRect();
  if (narrow) { const top = (panel.height ? Math.min(panel.bottom, height * 0.45) : 0) + 20; return { x: 20, y: top, w: width - 40, h: (product.height ? product.top : height - 56) - top - 12 }; }
  const left = panel.right + 34;
  return { x: left, y: 34, w: Math.max(80, (product.width ? product.left : width) - left - 34), h: height - 100 };
}
function fit(some) {
  let [x0, y0, x1, y1] = [grid, grid, 0, 0];
  for (const i of some) {
    x0 = Math.min(x0, coordinates[2 * i]); x1 = Math.max(x1, coordinates[2 * i]);
    y0 = Math.min(y0, coordinates[2 * i + 1]); y1 = Math.max(y1, coordinates[2 * i + 1]);
  }
  const free = room(), least = grid / 200, across = Math.max(x1 - x0, least), down = Math.max(y1 - y0, least);
  view.scale = Math.min((free.w / across) * grid, (free.h / down) * grid);
  view.x = free.x + free.w / 2 - ((x0 + x1) / 2 / grid) * view.scale;
  view.y = free.y + free.h / 2 - ((y0 + y1) / 2 / grid) * view.scale;
  draw();
}
function fitAll() { fit(Array(n).keys()); view.fitted = view.scale; }
function pan(x, y) { view.x += x; view.y += y; draw(); }
function zoom(factor, x = canvas.clientWidth / 2, y = canvas.clientHeight / 2) {
  factor = Math.max(view.fitted / 4, Math.min(view.fitted * 4000, view.scale * factor)) / view.scale;
  view.x = x - (x - view.x) * factor; view.y = y - (y - view.y) * factor; view.scale *= factor; draw();
}
/* Moves the view so that a product is in the free part of the window. */
function reveal(i) {
  const free = room(), [x, y] = [screenX(i), screenY(i)];
  if (x < free.x || x > free.x + free.w || y < free.y || y > free.y + free.h) pan(free.x + free.w / 2 - x, free.y + free.h / 2 - y);
}
function resize() {
  const ratio = devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * ratio; canvas.height = canvas.clientHeight * ratio;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  draw();
}

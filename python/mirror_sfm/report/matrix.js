// The matrix: painting it, and the cursor in it.

const canvas = $(".field canvas");
const cellText = $("#cell");
const bin = Math.ceil(photos / 1024);
const side = Math.ceil(photos / bin);
canvas.width = canvas.height = side;
canvas.classList.toggle("fine", side > 500);
let sequence = orders.order;
let paintsSurface = false;
let at = [0, Math.min(1, photos - 1)];

function colour(text) {
  const probe = make("canvas", { width: 1, height: 1 }).getContext("2d");
  probe.fillStyle = text;
  probe.fillRect(0, 0, 1, 1);
  return probe.getImageData(0, 0, 1, 1).data;
}
function paint() {
  const style = getComputedStyle(document.documentElement);
  const [accent, quiet] = ["--accent", "--quiet"].map((name) => colour(style.getPropertyValue(name)));
  const position = new Uint32Array(photos);
  sequence.forEach((photo, k) => {
    position[photo] = Math.floor(k / bin);
  });
  const level = new Uint8Array(side * side);
  const [start, partners, values] = paintsSurface
    ? [surfaceStart, surface.partner, surface.overlap]
    : [cellStart, cells.partner, cells.probability];
  for (let a = 0; a < photos; a++) {
    for (let k = start[a]; k < start[a + 1]; k++) {
      const [x, y] = [position[a], position[partners[k]]];
      const value = values[k];
      if (level[y * side + x] < value) level[y * side + x] = level[x * side + y] = value;
    }
  }
  const image = new ImageData(side, side);
  for (let k = 0; k < level.length; k++) {
    const own = bin === 1 && k % (side + 1) === 0;
    image.data.set(own ? quiet : accent, 4 * k);
    image.data[4 * k + 3] = own ? 50 : level[k]; // the ground shows through, on paper too
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}
function showCell(withPictures = true) {
  const [a, b] = [sequence[at[1]], sequence[at[0]]];
  $(".cross.across").style.top = `${((at[1] + 0.5) / photos) * 100}%`;
  $(".cross.down").style.left = `${((at[0] + 0.5) / photos) * 100}%`;
  if (a === b) {
    cellText.replaceChildren(make("p", { className: "name", textContent: names[a] }));
    return;
  }
  const pictures = [picture(a), picture(b)].filter(Boolean);
  cellText.replaceChildren(
    ...(withPictures && pictures.length ? [make("div", { className: "couple" }, ...pictures)] : []),
    make(
      "p",
      {},
      make("strong", { className: "name", textContent: names[a] }),
      " and ",
      make("strong", { className: "name", textContent: names[b] }),
    ),
    make("p", { className: "quiet", textContent: cellWords(a, b).join(" · ") }),
  );
}
function cellWords(a, b) {
  return surface ? [`overlap ${percent(surfaceCell(a, b) / 255)}`, ...described(a, b)] : described(a, b);
}
const openCell = () => openFromElsewhere(sequence[at[1]], at[0] === at[1] ? -1 : sequence[at[0]]);
canvas.addEventListener("pointermove", (event) => {
  const box = canvas.getBoundingClientRect();
  const index = (offset, size) => Math.min(photos - 1, Math.max(0, Math.floor((offset / size) * photos)));
  const next = [index(event.clientX - box.left, box.width), index(event.clientY - box.top, box.height)];
  if (next[0] === at[0] && next[1] === at[1]) return;
  at = next;
  showCell();
});
canvas.addEventListener("click", openCell);
canvas.addEventListener("keydown", (event) => {
  if (arrows[event.key]) {
    const stride = event.shiftKey ? 10 : 1;
    at = at.map((value, axis) => Math.min(photos - 1, Math.max(0, value + arrows[event.key][axis] * stride)));
    showCell();
  } else if (event.key === "Enter") openCell();
  else return;
  event.preventDefault();
});
for (const button of document.querySelectorAll("[data-order]")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("[data-order]"))
      other.setAttribute("aria-pressed", String(other === button));
    sequence = button.dataset.order === "graph" ? orders.order : orders.name;
    paint();
    showCell();
  });
}
for (const button of document.querySelectorAll("[data-shows]")) {
  button.addEventListener("click", () => {
    for (const other of document.querySelectorAll("[data-shows]"))
      other.setAttribute("aria-pressed", String(other === button));
    paintsSurface = button.dataset.shows === "overlap";
    paint();
  });
}
window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  paint();
  if (pair >= 0) drawMatches();
});

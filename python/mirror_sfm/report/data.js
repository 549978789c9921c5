// What the page's data says, and how to make elements. Text enters the page as text only: nothing here makes HTML from
// strings. The scripts of this folder are one function, put together in page.py; each sees what those before it name.

const $ = (selector) => document.querySelector(selector);
const read = (id) => JSON.parse(document.getElementById(id).textContent);
const data = read("data");
const names = data.names;
const photos = names.length;
if (!photos) return;

// -- data -------------------------------------------------------------------------------------------------------------
const arrays = { u1: Uint8Array, u2: Uint16Array, u4: Uint32Array };
function unpack({ type, data: base64 }) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let k = 0; k < bytes.length; k++) bytes[k] = text.charCodeAt(k);
  return new arrays[type](bytes.buffer);
}
const unpackAll = (table) => Object.fromEntries(Object.entries(table).map(([key, value]) => [key, unpack(value)]));
function starts(counts) {
  const sums = new Uint32Array(counts.length + 1);
  for (let k = 0; k < counts.length; k++) sums[k + 1] = sums[k] + counts[k];
  return sums;
}
const { witnesses: packedWitnesses, ...packedPairs } = data.pairs;
const pairs = unpackAll(packedPairs);
const witnesses = unpackAll(packedWitnesses);
const matches = unpackAll(data.matches);
const cells = unpackAll(data.cells);
const widths = unpack(data.widths);
const heights = unpack(data.heights);
const part = unpack(data.part);
const orders = {
  attention: unpack(data.attention),
  order: unpack(data.order),
  name: Uint32Array.from(names, (_, k) => k),
};
const matchStart = starts(matches.drawn);
const pointStart = starts(matches.points);
const cellStart = starts(cells.counts);
const notChosen = data.reasons.length - 1;
const parts = new Set(part).size;

const pairsOf = Array.from({ length: photos }, () => []);
const pairOf = new Map();
for (let row = 0; row < pairs.a.length; row++) {
  pairsOf[pairs.a[row]].push(row);
  pairsOf[pairs.b[row]].push(row);
  pairOf.set(pairs.a[row] * photos + pairs.b[row], row);
}
const chosen = (row) => pairs.reason[row] !== notChosen;
for (const rows of pairsOf) {
  rows.sort(
    (a, b) =>
      chosen(b) - chosen(a) || pairs.probability[b] - pairs.probability[a] || pairs.score[b] - pairs.score[a] || a - b,
  );
}
const partner = (row, photo) => (pairs.a[row] === photo ? pairs.b[row] : pairs.a[row]);
const findPair = (a, b) => pairOf.get(Math.min(a, b) * photos + Math.max(a, b));
function findCell(a, b) {
  const [row, column] = [Math.min(a, b), Math.max(a, b)];
  let [low, high] = [cellStart[row], cellStart[row + 1]];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (cells.partner[middle] < column) low = middle + 1;
    else high = middle;
  }
  return low < cellStart[row + 1] && cells.partner[low] === column ? low : -1;
}

const percent = (share) =>
  share > 0.995 && share < 1 ? "99.5+ %" : share > 0 && share < 0.005 ? "< 0.5 %" : `${Math.round(100 * share)} %`;
const many = (count, what) =>
  `${count.toLocaleString("en")} ${what}${count === 1 ? "" : /(s|x|ch)$/.test(what) ? "es" : "s"}`;
function described(a, b) {
  const row = findPair(a, b);
  if (row !== undefined) {
    const words = [
      `probability ${percent(pairs.probability[row] / data.fine)}`,
      `score ${((pairs.score[row] / 65535) * data.highest).toPrecision(3)}`,
    ];
    words.push(chosen(row) ? `chosen: ${data.reasons[pairs.reason[row]]}` : data.reasons[notChosen]);
    if (pairs.evidence[row] !== data.notExamined) words.push(many(matches.found[row], "good match"));
    return words;
  }
  const cell = findCell(a, b);
  if (cell < 0) return ["probability below 0.2 %", "not chosen"];
  return [
    `probability ${percent(cells.probability[cell] / 255)}`,
    `score ${((cells.score[cell] / 255) * data.highest).toPrecision(2)}`,
    "not chosen",
  ];
}

// -- pictures ---------------------------------------------------------------------------------------------------------
let encoded = null;
function source(photo) {
  encoded ??= read("thumbnails");
  return encoded[photo] ? `data:image/jpeg;base64,${encoded[photo]}` : "";
}
function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}
function picture(photo, alt = "") {
  const url = source(photo);
  return url ? make("img", { src: url, alt, decoding: "async" }) : "";
}

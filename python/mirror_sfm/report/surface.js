// Overlap on a surface: which part of each photo its partner sees too. Only where the report was given one.

const cellsOfMask = 56;
const surface = data.surface && unpackAll(data.surface);
const surfaceStart = surface && starts(surface.counts);
let showsSurface = false;

// Shared cells in yellow, what only one photo sees in red on the first and in green on the second.
const [sharedColour, ownColours] = [[255, 214, 0], [[226, 44, 44], [38, 166, 84]]];
function tint(row, side, position) {
  const photo = side === 0 ? pairs.a[row] : pairs.b[row];
  const bytes = (cellsOfMask * cellsOfMask) / 8;
  const bit = (array, start, cell) => start >= 0 && (array[start + (cell >> 3)] >> (7 - (cell & 7))) & 1;
  const mask = surface.row[row] ? (2 * (surface.row[row] - 1) + side) * bytes : -1;
  const image = new ImageData(cellsOfMask, cellsOfMask);
  for (let cell = 0; cell < cellsOfMask * cellsOfMask; cell++) {
    const shared = bit(surface.masks, mask, cell);
    if (!shared && !bit(surface.covered, photo * bytes, cell)) continue;
    image.data.set([...(shared ? sharedColour : ownColours[position]), 120], 4 * cell);
  }
  const canvas = make("canvas", { width: cellsOfMask, height: cellsOfMask });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}
function drawSurface(context, row, left, boxes) {
  boxes.forEach((box, position) => {
    const side = (pairs.a[row] === left) === (position === 0) ? 0 : 1;
    context.drawImage(tint(row, side, position), box.x, box.y, box.width, box.height);
  });
}
function surfaceWords(row, left) {
  const [first, second] = pairs.a[row] === left ? [0, 1] : [1, 0];
  const share = (side) => percent(surface.shares[2 * row + side] / data.fine);
  return `sees ${share(first)} of this photo, is seen ${share(second)}`;
}
function surfaceCell(a, b) {
  const [row, column] = [Math.min(a, b), Math.max(a, b)];
  for (let k = surfaceStart[row]; k < surfaceStart[row + 1]; k++)
    if (surface.partner[k] === column) return surface.overlap[k];
  return 0;
}
function toggleSurface() {
  if (!surface || pair < 0) return;
  showsSurface = !showsSurface;
  showPair();
}

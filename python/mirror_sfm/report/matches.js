// Matches of the open pair, drawn on both photos.

const images = new Map();
function decoded(photo) {
  if (!images.has(photo)) {
    if (images.size > 200) images.clear();
    const url = source(photo);
    images.set(
      photo,
      url
        ? new Promise((done) => {
            const image = new Image();
            image.onload = () => done(image);
            image.onerror = () => done(null);
            image.src = url;
          })
        : Promise.resolve(null),
    );
  }
  return images.get(photo);
}
// Where the two photos go on a stage of a width: side by side, one above the other where it is narrow.
function frames(width, shape) {
  const [gap, tallest] = [6, 520];
  if (width < 560) {
    const tall = shape.map((aspect) => Math.min(width / aspect, tallest));
    return tall.map((height, k) => ({
      x: (width - height * shape[k]) / 2,
      y: k * (tall[0] + gap),
      width: height * shape[k],
      height,
    }));
  }
  const height = Math.min((width - gap) / (shape[0] + shape[1]), tallest);
  const start = (width - gap - height * (shape[0] + shape[1])) / 2;
  return shape.map((aspect, k) => ({ x: start + k * (height * shape[0] + gap), y: 0, width: height * aspect, height }));
}

async function drawMatches() {
  const row = pair;
  const [left, right] = [current, partner(row, current)];
  const [first, second] = await Promise.all([decoded(left), decoded(right)]);
  if (row !== pair || left !== current) return;
  const width = card.clientWidth;
  if (!width) return;
  const boxes = frames(
    width,
    [left, right].map((photo) => widths[photo] / heights[photo]),
  );
  const height = Math.ceil(Math.max(...boxes.map((box) => box.y + box.height)));
  const scale = window.devicePixelRatio || 1;
  stage.width = Math.round(width * scale);
  stage.height = Math.round(height * scale);
  const context = stage.getContext("2d");
  context.scale(scale, scale);
  const colours = getComputedStyle(document.documentElement);
  [first, second].forEach((image, k) => {
    const { x, y, width: wide, height: high } = boxes[k];
    if (image) {
      context.drawImage(image, x, y, wide, high);
    } else {
      context.strokeStyle = colours.getPropertyValue("--line");
      context.strokeRect(x + 0.5, y + 0.5, wide - 1, high - 1);
    }
  });
  if (showsSurface) drawSurface(context, row, left, boxes);
  else drawLines(context, placed(row, left, right, boxes));
}

// Both ends of every match of a pair, on the stage.
function placed(row, left, right, boxes) {
  const swapped = pairs.a[row] !== left;
  const at = (photo, point, box) => {
    const k = pointStart[photo] + point;
    return [box.x + (matches.x[k] / 65535) * box.width, box.y + (matches.y[k] / 65535) * box.height];
  };
  const ends = [];
  for (let k = matchStart[row]; k < matchStart[row + 1]; k++) {
    const [own, others] = swapped ? [matches.second[k], matches.first[k]] : [matches.first[k], matches.second[k]];
    ends.push([at(left, own, boxes[0]), at(right, others, boxes[1])]);
  }
  return ends;
}

function drawLines(context, ends) {
  const clear = Math.min(1, Math.max(0.35, 14 / Math.sqrt(ends.length + 1) / 2));
  context.globalAlpha = clear;
  context.lineWidth = 1.1;
  context.strokeStyle = "#ff8a3d";
  context.beginPath();
  for (const [[ax, ay], [bx, by]] of ends) {
    context.moveTo(ax, ay);
    context.lineTo(bx, by);
  }
  context.stroke();
  context.globalAlpha = 1;
  context.lineWidth = 1;
  context.strokeStyle = "#ffffff";
  context.fillStyle = "#e8590c";
  for (const both of ends) {
    for (const [x, y] of both) {
      context.beginPath();
      context.arc(x, y, 2.6, 0, 7);
      context.fill();
      context.stroke();
    }
  }
}

new ResizeObserver(() => pair >= 0 && drawMatches()).observe(card);

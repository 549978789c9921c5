"use strict";
// Draws what the page's data says. Text enters the page as text only: nothing here makes HTML from strings.
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const data = read("data");
  const names = data.names;
  const photos = names.length;
  if (!photos) return;

  // -- data -----------------------------------------------------------------------------------------------------------
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
  const orders = { attention: unpack(data.attention), order: unpack(data.order), name: Uint32Array.from(names, (_, k) => k) };
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
    rows.sort((a, b) => chosen(b) - chosen(a) || pairs.probability[b] - pairs.probability[a] || pairs.score[b] - pairs.score[a] || a - b);
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

  const percent = (share) => (share > 0.995 && share < 1 ? "99.5+ %" : share > 0 && share < 0.005 ? "< 0.5 %" : `${Math.round(100 * share)} %`);
  const many = (count, what) => `${count.toLocaleString("en")} ${what}${count === 1 ? "" : /(s|x|ch)$/.test(what) ? "es" : "s"}`;
  function described(a, b) {
    const row = findPair(a, b);
    if (row !== undefined) {
      const words = [`probability ${percent(pairs.probability[row] / data.fine)}`, `score ${((pairs.score[row] / 65535) * data.highest).toPrecision(3)}`];
      words.push(chosen(row) ? `chosen: ${data.reasons[pairs.reason[row]]}` : data.reasons[notChosen]);
      if (pairs.evidence[row] !== data.notExamined) words.push(many(matches.found[row], "good match"));
      return words;
    }
    const cell = findCell(a, b);
    if (cell < 0) return ["probability below 0.2 %", "not chosen"];
    return [`probability ${percent(cells.probability[cell] / 255)}`, `score ${((cells.score[cell] / 255) * data.highest).toPrecision(2)}`, "not chosen"];
  }

  // -- pictures -------------------------------------------------------------------------------------------------------
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

  // -- state ----------------------------------------------------------------------------------------------------------
  const $ = (selector) => document.querySelector(selector);
  const list = $(".list");
  const search = $("input[type=search]");
  const card = $(".card");
  const said = $("#said");
  const items = new Map([...list.children].map((item) => [Number(item.dataset.photo), item]));
  let visible = [...orders.attention];
  let current = -1;
  let pair = -1;

  // -- list of photos -------------------------------------------------------------------------------------------------
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        seen.unobserve(target);
        target.querySelector(".thumb").append(picture(Number(target.dataset.photo)));
      }
    },
    { root: list, rootMargin: "300px" },
  );
  for (const item of items.values()) seen.observe(item);

  function refill() {
    const wanted = search.value.trim().toLowerCase();
    visible = [...orders[$("select").value]].filter((photo) => names[photo].toLowerCase().includes(wanted));
    list.replaceChildren(...visible.map((photo) => items.get(photo)));
    $(".count").textContent = wanted ? `${visible.length.toLocaleString("en")} of ${many(photos, "photo")}` : many(photos, "photo");
    if (visible.length && !visible.includes(current)) open(visible[0]);
  }
  search.addEventListener("input", refill);
  $("select").addEventListener("change", refill);
  list.addEventListener("click", (event) => {
    const item = event.target.closest("li");
    if (item) open(Number(item.dataset.photo));
  });

  function open(photo, withPartner = -1) {
    items.get(current)?.setAttribute("aria-selected", "false");
    current = photo;
    const item = items.get(photo);
    item.setAttribute("aria-selected", "true");
    list.setAttribute("aria-activedescendant", item.id);
    if (item.isConnected) {
      const [box, frame] = [item.getBoundingClientRect(), list.getBoundingClientRect()];
      if (box.top < frame.top) list.scrollTop -= frame.top - box.top;
      if (box.bottom > frame.bottom) list.scrollTop += box.bottom - frame.bottom;
    }
    pair = withPartner < 0 ? (pairsOf[photo][0] ?? -1) : (findPair(photo, withPartner) ?? -1);
    showCard(withPartner);
    for (const network of networks) network.mark(photo);
  }
  function openFromElsewhere(photo, withPartner = -1) {
    if (!visible.includes(photo)) {
      search.value = "";
      refill();
    }
    open(photo, withPartner);
    $("#photos").scrollIntoView();
    list.focus({ preventScroll: true });
  }
  document.addEventListener("click", (event) => {
    const link = event.target.closest("button[data-photo]");
    if (link) openFromElsewhere(Number(link.dataset.photo), Number(link.dataset.partner ?? -1));
  });

  // -- card of one photo ----------------------------------------------------------------------------------------------
  const stage = make("canvas", { role: "img" });
  const caption = make("figcaption");
  let buttons = new Map();

  function showCard(withPartner) {
    const rows = pairsOf[current];
    const own = rows.filter(chosen);
    const facts = [own.length ? many(own.length, "pair") : "no pair"];
    if (own.length) facts.push(`${(own.reduce((sum, row) => sum + pairs.probability[row], 0) / data.fine).toFixed(1)} expected to match`);
    if (parts > 1) facts.push(`part ${part[current] + 1}`);
    facts.push(`${widths[current]} × ${heights[current]}`);
    const head = make("header", {}, make("h3", { className: "name", textContent: names[current] }), make("p", { className: "quiet", textContent: facts.join(" · ") }));
    const content = [head];
    const why = data.isolated[current];
    if (why) content.push(make("p", { className: "note", textContent: why }));
    if (data.missing[current]) content.push(make("p", { className: "quiet", textContent: `No thumbnail: ${data.missing[current]}.` }));
    if (pair < 0 && withPartner >= 0) {
      content.push(make("p", { className: "note" }, make("span", { className: "name", textContent: names[withPartner] }), `: ${described(current, withPartner).join(", ")}.`));
    }
    if (pair >= 0) content.push(make("figure", {}, make("div", { className: "stage" }, stage), caption));
    else if (source(current)) content.push(make("img", { className: "single", src: source(current), alt: "" }));
    buttons = new Map();
    const groups = [["Chosen pairs", "", own], ["Best pairs not chosen", " rejected", rows.filter((row) => !chosen(row))]];
    for (const [title, extra, members] of groups) {
      if (!members.length) continue;
      content.push(make("h4", { textContent: title }), make("ol", { className: `pairs${extra}` }, ...members.map((row) => make("li", {}, pairButton(row)))));
    }
    card.replaceChildren(...content);
    showPair();
  }

  function pairButton(row) {
    const other = partner(row, current);
    const probability = pairs.probability[row] / data.fine;
    const bar = make("span");
    bar.style.width = `${100 * probability}%`;
    const words = [percent(probability)];
    if (pairs.evidence[row] !== data.notExamined) words.push(many(matches.found[row], "match"));
    if (chosen(row)) words.push(data.reasons[pairs.reason[row]]);
    const button = make(
      "button",
      { type: "button", className: "pair", "aria-pressed": "false", title: names[other] },
      make("span", { className: "thumb" }, picture(other)),
      make(
        "span",
        { className: "text" },
        make("span", { className: "name", textContent: names[other] }),
        make("span", { className: "meter", "aria-hidden": "true" }, bar),
        make("span", { className: "facts", textContent: words.join(" · ") }),
      ),
    );
    button.addEventListener("click", () => {
      pair = row;
      showPair();
    });
    button.addEventListener("dblclick", () => open(other, current));
    buttons.set(row, button);
    return button;
  }

  function showPair() {
    for (const [row, button] of buttons) button.setAttribute("aria-pressed", String(row === pair));
    if (pair < 0) {
      said.textContent = names[current];
      return;
    }
    const other = partner(pair, current);
    const words = described(current, other);
    if (pairs.evidence[pair] !== data.notExamined) words.push(`evidence ${(pairs.evidence[pair] / 10).toFixed(1)}`);
    else words.push("geometry not examined");
    for (const [name, factor] of Object.entries(witnesses)) words.push(`${name} × ${(factor[pair] / data.fine).toFixed(2)}`);
    if (matches.drawn[pair] < matches.found[pair]) words.push(`${matches.drawn[pair]} drawn`);
    const jump = make("button", { type: "button", className: "link", textContent: "Open this photo" });
    jump.addEventListener("click", () => open(other, current));
    caption.replaceChildren(make("strong", { className: "name", textContent: names[other] }), make("span", { textContent: words.join(" · ") }), jump);
    stage.setAttribute("aria-label", `Matches of ${names[current]} and ${names[other]}: ${words.join(", ")}`);
    said.textContent = `${names[current]} and ${names[other]}: ${words.join(", ")}`;
    drawMatches();
  }

  // -- matches on both photos -----------------------------------------------------------------------------------------
  const images = new Map();
  function decoded(photo) {
    if (!images.has(photo)) {
      if (images.size > 200) images.clear();
      const url = source(photo);
      images.set(photo, url ? new Promise((done) => {
        const image = new Image();
        image.onload = () => done(image);
        image.onerror = () => done(null);
        image.src = url;
      }) : Promise.resolve(null));
    }
    return images.get(photo);
  }
  async function drawMatches() {
    const row = pair;
    const [left, right] = [current, partner(row, current)];
    const [first, second] = await Promise.all([decoded(left), decoded(right)]);
    if (row !== pair || left !== current) return;
    const width = card.clientWidth;
    if (!width) return;
    const stacked = width < 560;
    const gap = 6;
    const shape = [left, right].map((photo) => widths[photo] / heights[photo]);
    const tallest = 520;
    let boxes;
    if (stacked) {
      const tall = shape.map((aspect) => Math.min(width / aspect, tallest));
      boxes = tall.map((height, k) => ({ x: (width - height * shape[k]) / 2, y: k * (tall[0] + gap), width: height * shape[k], height }));
    } else {
      const height = Math.min((width - gap) / (shape[0] + shape[1]), tallest);
      const start = (width - gap - height * (shape[0] + shape[1])) / 2;
      boxes = shape.map((aspect, k) => ({ x: start + k * (height * shape[0] + gap), y: 0, width: height * aspect, height }));
    }
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

  // -- tip that follows the pointer or the cursor ---------------------------------------------------------------------
  const tip = $("#tip");
  function showTip(x, y, photo) {
    tip.replaceChildren(picture(photo), make("p", { className: "name", textContent: names[photo] }));
    tip.hidden = false;
    const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
    tip.style.left = `${Math.max(4, Math.min(x + 14, window.innerWidth - wide - 4))}px`;
    tip.style.top = `${y + 14 + high > window.innerHeight ? Math.max(4, y - high - 10) : y + 14}px`;
  }
  const hideTip = () => { tip.hidden = true; };
  window.addEventListener("scroll", hideTip, { passive: true });

  // -- graph and map --------------------------------------------------------------------------------------------------
  const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  const networks = [...document.querySelectorAll(".network")].map((figure) => {
    const svg = figure.querySelector("svg");
    const own = figure.querySelector(".own");
    const dots = new Map([...figure.querySelectorAll("circle")].map((dot) => [Number(dot.dataset.photo), dot]));
    const place = (photo) => ["cx", "cy"].map((key) => Number(dots.get(photo).getAttribute(key)));
    let marked = [];
    let cursor = -1;
    function mark(photo) {
      for (const dot of marked) dot.classList.remove("here", "partner");
      marked = [];
      own.setAttribute("d", "");
      if (!dots.has(photo)) return;
      cursor = photo;
      const [x, y] = place(photo);
      const lines = [];
      for (const row of pairsOf[photo].filter(chosen)) {
        const dot = dots.get(partner(row, photo));
        if (!dot) continue;
        dot.classList.add("partner");
        marked.push(dot);
        lines.push(`M${x} ${y}L${dot.getAttribute("cx")} ${dot.getAttribute("cy")}`);
      }
      own.setAttribute("d", lines.join(""));
      dots.get(photo).classList.add("here");
      marked.push(dots.get(photo));
    }
    function point(photo) {
      mark(photo);
      const box = dots.get(photo).getBoundingClientRect();
      showTip(box.right, box.bottom, photo);
      svg.setAttribute("aria-label", `${names[photo]}, ${many(pairsOf[photo].filter(chosen).length, "pair")}. Arrow keys walk, Enter opens.`);
    }
    function step([dx, dy]) {
      const [x, y] = place(cursor);
      let [best, least] = [-1, Infinity];
      for (const photo of dots.keys()) {
        const [px, py] = place(photo);
        const along = (px - x) * dx + (py - y) * dy;
        const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
        if (photo !== cursor && along > 0 && along >= aside * 0.6 && along + 2 * aside < least) [best, least] = [photo, along + 2 * aside];
      }
      if (best >= 0) point(best);
    }
    svg.addEventListener("pointerover", (event) => {
      if (event.target.dataset.photo) point(Number(event.target.dataset.photo));
    });
    svg.addEventListener("pointerout", () => { hideTip(); mark(current); });
    svg.addEventListener("click", (event) => {
      if (event.target.dataset.photo) openFromElsewhere(Number(event.target.dataset.photo));
    });
    svg.addEventListener("focus", () => { if (cursor < 0) cursor = dots.keys().next().value; });
    svg.addEventListener("blur", () => { hideTip(); mark(current); });
    svg.addEventListener("keydown", (event) => {
      if (arrows[event.key]) step(arrows[event.key]);
      else if (event.key === "Enter") openFromElsewhere(cursor);
      else return;
      event.preventDefault();
    });
    return { mark };
  });

  // -- matrix ---------------------------------------------------------------------------------------------------------
  const canvas = $(".field canvas");
  const cellText = $("#cell");
  const bin = Math.ceil(photos / 1024);
  const side = Math.ceil(photos / bin);
  canvas.width = canvas.height = side;
  canvas.classList.toggle("fine", side > 500);
  let sequence = orders.order;
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
    sequence.forEach((photo, k) => { position[photo] = Math.floor(k / bin); });
    const level = new Uint8Array(side * side);
    for (let a = 0; a < photos; a++) {
      for (let k = cellStart[a]; k < cellStart[a + 1]; k++) {
        const [x, y] = [position[a], position[cells.partner[k]]];
        const value = cells.probability[k];
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
      make("p", {}, make("strong", { className: "name", textContent: names[a] }), " and ", make("strong", { className: "name", textContent: names[b] })),
      make("p", { className: "quiet", textContent: described(a, b).join(" · ") }),
    );
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
      for (const other of document.querySelectorAll("[data-order]")) other.setAttribute("aria-pressed", String(other === button));
      sequence = button.dataset.order === "graph" ? orders.order : orders.name;
      paint();
      showCell();
    });
  }
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { paint(); if (pair >= 0) drawMatches(); });

  // -- keys -----------------------------------------------------------------------------------------------------------
  function move(step) {
    if (!visible.length) return;
    const place = visible.indexOf(current);
    open(visible[Math.min(visible.length - 1, Math.max(0, place + step))]);
    const box = card.getBoundingClientRect();
    if (box.top > window.innerHeight * 0.8 || box.bottom < 60) $("#photos").scrollIntoView();
  }
  function movePair(step) {
    const rows = pairsOf[current];
    if (!rows.length) return;
    pair = rows[Math.min(rows.length - 1, Math.max(0, rows.indexOf(pair) + step))];
    showPair();
    buttons.get(pair).scrollIntoView({ block: "nearest" });
  }
  const inList = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8, Home: -photos, End: photos };
  list.addEventListener("keydown", (event) => {
    if (!(event.key in inList)) return;
    move(inList[event.key]);
    event.preventDefault();
  });
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "Enter") list.focus();
    else if (event.key === "Escape") {
      search.value = "";
      refill();
      list.focus();
    } else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest("input, select")) return;
    if (event.key === "/") {
      search.focus();
      search.select();
    } else if (event.key === "j" || event.key === "k") {
      move(event.key === "j" ? 1 : -1);
    } else if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
      movePair(event.key === "ArrowRight" ? 1 : -1);
    } else if (event.key === "Escape") {
      hideTip();
      if (search.value) {
        search.value = "";
        refill();
      }
      list.focus();
    } else return;
    event.preventDefault();
  });

  paint();
  showCell();
  refill();
})();

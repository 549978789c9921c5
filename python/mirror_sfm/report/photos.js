// The list of photos, and the card of the one that is open.

// -- state ------------------------------------------------------------------------------------------------------------
const list = $(".list");
const search = $("input[type=search]");
const card = $(".card");
const said = $("#said");
const items = new Map([...list.children].map((item) => [Number(item.dataset.photo), item]));
let visible = [...orders.attention];
let current = -1;
let pair = -1;

// -- list of photos ---------------------------------------------------------------------------------------------------
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
  $(".count").textContent = wanted
    ? `${visible.length.toLocaleString("en")} of ${many(photos, "photo")}`
    : many(photos, "photo");
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

// -- card of one photo ------------------------------------------------------------------------------------------------
const stage = make("canvas", { role: "img" });
const caption = make("figcaption");
let buttons = new Map();

function showCard(withPartner) {
  const rows = pairsOf[current];
  const own = rows.filter(chosen);
  const facts = [own.length ? many(own.length, "pair") : "no pair"];
  if (own.length)
    facts.push(
      `${(own.reduce((sum, row) => sum + pairs.probability[row], 0) / data.fine).toFixed(1)} expected to match`,
    );
  if (parts > 1) facts.push(`part ${part[current] + 1}`);
  facts.push(`${widths[current]} × ${heights[current]}`);
  const head = make(
    "header",
    {},
    make("h3", { className: "name", textContent: names[current] }),
    make("p", { className: "quiet", textContent: facts.join(" · ") }),
  );
  const content = [head];
  const why = data.isolated[current];
  if (why) content.push(make("p", { className: "note", textContent: why }));
  if (data.missing[current])
    content.push(make("p", { className: "quiet", textContent: `No thumbnail: ${data.missing[current]}.` }));
  if (pair < 0 && withPartner >= 0) {
    content.push(
      make(
        "p",
        { className: "note" },
        make("span", { className: "name", textContent: names[withPartner] }),
        `: ${described(current, withPartner).join(", ")}.`,
      ),
    );
  }
  if (pair >= 0) content.push(make("figure", {}, make("div", { className: "stage" }, stage), caption));
  else if (source(current)) content.push(make("img", { className: "single", src: source(current), alt: "" }));
  buttons = new Map();
  const groups = [
    ["Chosen pairs", "", own],
    ["Best pairs not chosen", " rejected", rows.filter((row) => !chosen(row))],
  ];
  for (const [title, extra, members] of groups) {
    if (!members.length) continue;
    content.push(
      make("h4", { textContent: title }),
      make("ol", { className: `pairs${extra}` }, ...members.map((row) => make("li", {}, pairButton(row)))),
    );
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

function surfaceSwitch() {
  if (!surface) return "";
  const textContent = showsSurface ? "Show matches" : "Show overlap";
  const button = make("button", { type: "button", className: "link", textContent });
  button.addEventListener("click", toggleSurface);
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
  for (const [name, factor] of Object.entries(witnesses))
    words.push(`${name} × ${(factor[pair] / data.fine).toFixed(2)}`);
  if (matches.drawn[pair] < matches.found[pair]) words.push(`${matches.drawn[pair]} drawn`);
  if (surface) words.push(surfaceWords(pair, current));
  const jump = make("button", { type: "button", className: "link", textContent: "Open this photo" });
  jump.addEventListener("click", () => open(other, current));
  caption.replaceChildren(
    make("strong", { className: "name", textContent: names[other] }),
    make("span", { textContent: words.join(" · ") }),
    jump,
    surfaceSwitch(),
  );
  stage.setAttribute("aria-label", `Matches of ${names[current]} and ${names[other]}: ${words.join(", ")}`);
  said.textContent = `${names[current]} and ${names[other]}: ${words.join(", ")}`;
  drawMatches();
}

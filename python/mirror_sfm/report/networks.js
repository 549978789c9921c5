// Graph and map: walking through the dots, and the tip that follows.

// -- tip that follows the pointer or the cursor -----------------------------------------------------------------------
const tip = $("#tip");
function showTip(x, y, photo) {
  tip.replaceChildren(picture(photo), make("p", { className: "name", textContent: names[photo] }));
  tip.hidden = false;
  const [wide, high] = [tip.offsetWidth, tip.offsetHeight];
  tip.style.left = `${Math.max(4, Math.min(x + 14, window.innerWidth - wide - 4))}px`;
  tip.style.top = `${y + 14 + high > window.innerHeight ? Math.max(4, y - high - 10) : y + 14}px`;
}
const hideTip = () => {
  tip.hidden = true;
};
window.addEventListener("scroll", hideTip, { passive: true });

// -- graph and map ----------------------------------------------------------------------------------------------------
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
    svg.setAttribute(
      "aria-label",
      `${names[photo]}, ${many(pairsOf[photo].filter(chosen).length, "pair")}. Arrow keys walk, Enter opens.`,
    );
  }
  function step([dx, dy]) {
    const [x, y] = place(cursor);
    let [best, least] = [-1, Infinity];
    for (const photo of dots.keys()) {
      const [px, py] = place(photo);
      const along = (px - x) * dx + (py - y) * dy;
      const aside = Math.abs((px - x) * dy) + Math.abs((py - y) * dx);
      if (photo !== cursor && along > 0 && along >= aside * 0.6 && along + 2 * aside < least)
        [best, least] = [photo, along + 2 * aside];
    }
    if (best >= 0) point(best);
  }
  svg.addEventListener("pointerover", (event) => {
    if (event.target.dataset.photo) point(Number(event.target.dataset.photo));
  });
  svg.addEventListener("pointerout", () => {
    hideTip();
    mark(current);
  });
  svg.addEventListener("click", (event) => {
    if (event.target.dataset.photo) openFromElsewhere(Number(event.target.dataset.photo));
  });
  svg.addEventListener("focus", () => {
    if (cursor < 0) cursor = dots.keys().next().value;
  });
  svg.addEventListener("blur", () => {
    hideTip();
    mark(current);
  });
  svg.addEventListener("keydown", (event) => {
    if (arrows[event.key]) step(arrows[event.key]);
    else if (event.key === "Enter") openFromElsewhere(cursor);
    else return;
    event.preventDefault();
  });
  return { mark };
});

// Keys that work anywhere on the page; then the first drawing of everything.

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
  } else if (event.key === "o") {
    toggleSurface();
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

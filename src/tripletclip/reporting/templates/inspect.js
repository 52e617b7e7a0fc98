const rows = JSON.parse(document.getElementById("rows").textContent);
const cards = rows.map((row, place) => document.getElementById("row-" + place));
const filters = document.querySelector(".filters");
const search = document.querySelector(".search");
const steps = document.querySelector(".steps");
const [previous, next] = steps.querySelectorAll("button");
let status = "";
let shown = cards;
let current = -1;

function say() {
  const where = current < 0 ? shown.length + " of " + cards.length + " rows" : current + 1 + " of " + shown.length;
  steps.querySelector("output").textContent = shown.length ? where : "no row fits";
  previous.disabled = current <= 0;
  next.disabled = current >= shown.length - 1;
}

function go(place) {
  if (place < 0 || place >= shown.length) return;
  for (const card of cards) card.classList.remove("current");
  current = place;
  shown[place].classList.add("current");
  shown[place].focus({ preventScroll: true });
  shown[place].scrollIntoView({ block: "start" });
  say();
}

function filter() {
  const words = search.querySelector("input").value.toLowerCase().split(/\s+/).filter(Boolean);
  const select = search.querySelector("select");
  const category = select ? select.value : "*";
  const kept = current < 0 ? null : shown[current];
  shown = cards.filter((card, place) => {
    const row = rows[place];
    card.hidden = !(
      (status === "" || row.status === status) &&
      (category === "*" || row.category === category) &&
      words.every((word) => row.text.includes(word))
    );
    return !card.hidden;
  });
  current = shown.indexOf(kept);
  if (kept && current < 0) kept.classList.remove("current");
  say();
}

filters.addEventListener("click", (event) => {
  const chosen = event.target.closest("button");
  if (!chosen) return;
  for (const button of filters.querySelectorAll("button")) button.setAttribute("aria-pressed", button === chosen);
  status = chosen.dataset.status;
  filter();
});
search.addEventListener("input", filter);
previous.addEventListener("click", () => go(current - 1));
next.addEventListener("click", () => go(current + 1));
document.addEventListener("keydown", (event) => {
  if (event.altKey || event.ctrlKey || event.metaKey || event.target.closest("input, select")) return;
  if (event.key === "ArrowRight") go(current + 1);
  else if (event.key === "ArrowLeft") go(current - 1);
  else return;
  event.preventDefault();
});
for (const part of [filters, search, steps]) part.hidden = false;
filter();

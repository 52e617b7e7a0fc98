const filters = document.querySelector(".filters");
if (filters) {
  filters.hidden = false;
  filters.addEventListener("click", (event) => {
    const chosen = event.target.closest("button");
    if (!chosen) return;
    for (const button of filters.querySelectorAll("button")) button.setAttribute("aria-pressed", button === chosen);
    for (const card of document.querySelectorAll(".card")) {
      card.hidden = chosen.dataset.split !== "" && card.dataset.split !== chosen.dataset.split;
    }
  });
}

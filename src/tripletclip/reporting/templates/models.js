const filter = document.querySelector(".filter");
if (filter) {
  filter.hidden = false;
  filter.querySelector("select").addEventListener("change", (event) => {
    for (const card of document.querySelectorAll(".card")) {
      card.hidden = event.target.value !== "" && card.dataset.group !== event.target.value;
    }
  });
}
window.addEventListener("beforeprint", () => {
  for (const section of document.querySelectorAll("details.benchmark, #facts details")) section.open = true;
});

// called by the HTML in pieces.py; changes only what is shown
window.pp = {
  fit(image) {
    const pair = image.parentElement, box = pair.parentElement;
    const zoom = Number(box.parentElement.querySelector("select").value);
    pair.style.width = zoom ? `${zoom * image.naturalWidth}px` : `min(100%, ${Math.max(image.naturalWidth, 512)}px)`;
    pair.classList.toggle("enlarged", pair.offsetWidth > image.naturalWidth);
  },
  zoom(select) {
    this.fit(select.closest("figure").querySelector(".pp-after"));
  },
  cut(range) {
    range.closest("figure").querySelector(".pp-pair").style.setProperty("--cut", `${range.value}%`);
  },
  crop(range, name) {
    range.closest(".pp-compare").style.setProperty(name, range.value);
  },
  step(range) {
    const root = range.closest(".pp-learn"), k = Number(range.value), n = Number(range.max);
    for (const frame of root.querySelectorAll(".pp-frame"))
      frame.style.backgroundPositionY = `${n ? (100 * k) / n : 0}%`;
    for (const figure of root.querySelectorAll(".pp-curve")) {
      const x = figure.dataset.points.split(" ")[k].split(",")[0], marker = figure.querySelector(".pp-at");
      marker.setAttribute("x1", x), marker.setAttribute("x2", x);
    }
    const row = JSON.parse(root.dataset.rows)[k];
    root.querySelector("output").textContent = row;
    range.setAttribute("aria-valuetext", row);
  },
};
document.addEventListener("pointermove", (event) => {
  const pair = event.buttons === 1 && event.target.closest && event.target.closest(".pp-pair");
  if (!pair) return;
  const box = pair.getBoundingClientRect(), range = pair.closest("figure").querySelector("input[type=range]");
  range.value = (100 * (event.clientX - box.left)) / box.width;
  window.pp.cut(range);
});
document.addEventListener("dragstart", (event) => event.target.closest(".pp-pair") && event.preventDefault());
document.documentElement.lang = "en";

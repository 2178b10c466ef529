"use strict";
(async () => {
  const specs = JSON.parse(document.getElementById("specs").textContent);
  const config = {
    font: 'system-ui, "Segoe UI", "DejaVu Sans", sans-serif',
    axis: { labelFontSize: 12, titleFontSize: 13, gridColor: "#e6e9ec", titleFontWeight: "normal",
      labelFlush: false, labelOverlap: "greedy", labelSeparation: 8 },
    legend: { symbolOpacity: 1, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" },
    header: { labelFontSize: 13 },
    view: { stroke: "#8c959f" },
  };
  const options = {
    mode: "vega-lite",
    renderer: "svg",
    ast: true, // expressions are read, never run as code
    actions: { export: true, source: false, compiled: false, editor: false },
    config,
  };
  // Data come by columns, texts as numbers of a list: rows are made of them here.
  function rowsOf({ columns, texts, rows }) {
    return Array.from({ length: rows }, (_, i) => {
      const row = {};
      for (const [name, values] of Object.entries(columns)) row[name] = values[i];
      for (const [name, { texts: all, at }] of Object.entries(texts)) row[name] = all[at[i]];
      return row;
    });
  }
  function filled(part) {
    if (Array.isArray(part)) return part.map(filled);
    if (part === null || typeof part !== "object") return part;
    if ("columns" in part && "texts" in part) return { values: rowsOf(part) };
    return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, filled(value)]));
  }
  async function draw(place) {
    const figure = place.closest("figure");
    const spec = filled(specs[Number(place.dataset.chart)]);
    spec.background = "white";
    spec.description = figure.querySelector("figcaption").textContent.trim();
    try {
      await window.vegaEmbed(place, spec, options);
    } catch (error) {
      const text = document.createElement("p");
      text.className = "error";
      text.textContent = `This picture cannot be drawn: ${error.message}`;
      place.replaceChildren(text);
      console.error(error);
    }
  }
  const all = [...document.querySelectorAll(".chart[data-chart]")];
  const isHidden = (place) => place.closest("details:not([open])") !== null;
  const pause = () => new Promise((resume) => setTimeout(resume));
  const inSight = (place) => !isHidden(place) && place.getBoundingClientRect().top < window.innerHeight;
  for (const place of all.filter(inSight)) {
    await draw(place);
    await pause();
  }
  document.documentElement.dataset.ready = Math.round(performance.now());
  // The rest is drawn in the meantime, folded away or not: it is there when it is seen or printed.
  for (const place of all.filter((one) => one.childElementCount === 0)) {
    await draw(place);
    await pause();
  }
  document.documentElement.dataset.done = Math.round(performance.now());
  let opened = [];
  window.addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details:not([open])")].filter((d) => !d.closest(".vega-embed"));
    for (const one of opened) one.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });
})();

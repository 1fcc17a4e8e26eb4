/* What the page does in the browser besides htmx: the theme, the banner, plots, and a few conveniences. */
(() => {
  "use strict";
  const root = document.documentElement;
  const kept = localStorage.getItem("theme");
  if (kept) root.dataset.theme = kept;

  const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches);

  // What comes out of a package knows the dark theme by this name.
  const mark = () => root.classList.toggle("dark-mode", isDark());
  mark();

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-theme-switch]");
    if (button) {
      root.dataset.theme = isDark() ? "light" : "dark";
      localStorage.setItem("theme", root.dataset.theme);
      mark();
      drawAll(document);
    }
    const copied = event.target.closest("[data-copy]");
    if (copied) navigator.clipboard?.writeText(document.getElementById(copied.dataset.copy).textContent);
    const download = event.target.closest("[data-download]");
    if (download) {
      const [id, format] = download.dataset.download.split(".");
      Plotly.downloadImage(id, { format, filename: id, width: 1200, height: 700 });
    }
  });

  // What cannot be undone is asked about first.
  let leaving = false;
  document.addEventListener("submit", (event) => {
    const question = event.submitter?.dataset.confirm;
    if (question && !confirm(question)) event.preventDefault();
    else if (event.target.method === "post") leaving = true;
  });
  addEventListener("pageshow", () => { leaving = false; });

  document.addEventListener("change", (event) => {
    if (event.target.matches("[data-check-all]"))
      for (const box of document.querySelectorAll("input[name=job]")) box.checked = event.target.checked;
    if (event.target.matches("[data-submit]")) event.target.form.requestSubmit();
  });

  // What is drawn anew keeps what was selected, chosen or typed, and where the cursor was.
  let filled = new Map();
  let cursor = [];
  const controls = (within) => [...within.querySelectorAll(":is(input, select, textarea)[name]:not([type=hidden])")];
  const key = (control) => JSON.stringify([control.form?.getAttribute("action"), control.name, control.type === "checkbox" && control.value]);
  const initial = (select) => Math.max(0, [...select.options].findIndex((option) => option.defaultSelected));
  const isTouched = (control) => {
    if (control.type === "checkbox") return control.checked !== control.defaultChecked;
    return control.options ? control.selectedIndex !== initial(control) : control.value !== control.defaultValue;
  };
  document.addEventListener("htmx:beforeSwap", (event) => {
    const now = isLive(event.detail.target) ? controls(event.detail.target) : [];
    const kept = now.filter((control) => isTouched(control) || control === document.activeElement);
    filled = new Map(kept.map((control) => [key(control), control]));
    const { activeElement } = document;
    cursor = [activeElement, activeElement?.selectionStart, activeElement?.selectionEnd];
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    for (const control of controls(event.detail.target)) {
      const before = filled.get(key(control));
      if (!before) continue;
      if (control.type === "checkbox") control.checked = before.checked;
      else if (!control.options || [...control.options].some((option) => option.value === before.value)) control.value = before.value;
      if (before !== cursor[0]) continue;
      control.focus({ preventScroll: true });
      if (control.type === "text") control.setSelectionRange(cursor[1], cursor[2]);
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, textarea, select")) {
      const search = document.querySelector("[data-search]");
      if (search) { event.preventDefault(); search.focus(); }
    }
  });

  // A connection that is lost is said. Once there is one, also the first, everything is looked at anew: it may have
  // changed since the page was made.
  let lost = false;
  const banner = () => document.getElementById("banner");
  document.addEventListener("htmx:sseError", () => { lost = true; banner().hidden = false; });
  document.addEventListener("htmx:sseOpen", () => {
    lost = false;
    htmx.trigger(document.body, "refresh");
  });
  document.addEventListener("htmx:beforeSwap", (event) => {
    // Errors of a form are shown where the form is.
    if (!isLive(event.detail.elt) && [409, 422, 503].includes(event.detail.xhr.status)) { event.detail.shouldSwap = true; event.detail.isError = false; }
  });

  // The parts of a page that change: every event asks for them anew, and is answered by a request that begins after it.
  // What happens while a request is on its way, or within `data-pace` milliseconds of it, is asked for once, after that;
  // a request that fails is made again. (Of htmx's own means, `throttle` passes over the last event and `hx-sync`'s
  // `replace` ends no request at all where events come faster than answers.)
  const AGAIN = 3000;
  const parts = new WeakMap();
  const isLive = (element) => Boolean(element?.dataset?.pace);
  function ask(part) {
    part.resting = false;
    if (!part.wanted) return;
    part.wanted = false;
    part.asking = true;
    part.request();
  }
  document.addEventListener("htmx:confirm", (event) => {
    const { elt, issueRequest } = event.detail;
    if (!isLive(elt)) return;
    event.preventDefault();
    const part = parts.get(elt) ?? { request: () => issueRequest(true), wanted: false, asking: false, resting: false };
    parts.set(elt, part);
    part.wanted = true;
    if (!part.asking && !part.resting) ask(part);
  });
  document.addEventListener("htmx:afterRequest", (event) => {
    const { elt, successful, xhr } = event.detail;
    const part = parts.get(elt);
    if (!part) return;
    // It is gone, which the whole page says; unless what deleted it leads to another page.
    if (xhr.status === 404) return leaving || location.reload();
    part.asking = false;
    part.resting = true;
    part.wanted ||= !successful;
    banner().hidden = successful && !lost;
    setTimeout(() => ask(part), successful ? Number(elt.dataset.pace) : AGAIN);
  });

  // What is being pressed stays: a press that ends on another element than it began on would do nothing.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { elt, target } = event.detail;
    if (!isLive(elt) || !target.querySelector(":active")) return;
    event.detail.shouldSwap = false;
    parts.get(elt).wanted = true;
  });

  const style = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const colours = () => isDark()
    ? ["#7db8f5", "#f0a35e", "#6fd3a0", "#d8a0f0", "#f0d05e", "#ff9d96", "#7fd6d6", "#c5c9cd"]
    : ["#0b5cad", "#b3560a", "#146c43", "#7a3aa0", "#8a6d00", "#a8201a", "#0f6f73", "#5c636b"];

  async function draw(element) {
    let figure;
    try {
      const answer = await fetch(element.dataset.plot, { headers: { Accept: "application/json" } });
      if (!answer.ok) { element.textContent = "no plot"; return; }
      figure = await answer.json();
    } catch { return; }
    if (!figure.data.length) { element.textContent = figure.empty || "nothing to draw yet"; element.classList.add("quiet"); return; }
    const axis = { gridcolor: style("--line"), linecolor: style("--line"), zerolinecolor: style("--line"), automargin: true };
    const layout = {
      ...figure.layout, autosize: true, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: colours(),
      font: { color: style("--ink"), family: "system-ui, sans-serif", size: 13 }, margin: { l: 60, r: 16, t: 12, b: 48 },
      legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0 },
    };
    for (const name of Object.keys({ xaxis: 1, yaxis: 1, ...figure.layout })) if (/^[xy]axis/.test(name)) layout[name] = { ...axis, ...layout[name] };
    if (layout.xaxis?.type === "date" && element.clientWidth < 500) Object.assign(layout.xaxis, { nticks: 4, tickangle: 0 });
    for (const trace of figure.data) if (trace.type === "bar" && trace.error_y) trace.error_y.color = style("--ink");
    await Plotly.react(element, figure.data, layout, { displayModeBar: false, responsive: true });
    for (const svg of element.querySelectorAll("svg.main-svg")) svg.setAttribute("aria-hidden", "true");
  }
  function drawAll(within) {
    if (typeof Plotly === "undefined") return;
    for (const element of within.querySelectorAll("[data-plot]")) draw(element);
  }
  document.addEventListener("DOMContentLoaded", () => drawAll(document));
  document.addEventListener("htmx:afterSwap", (event) => drawAll(event.detail.target));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { mark(); drawAll(document); });
})();
